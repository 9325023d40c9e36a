//! A dependency that is away is a 503 with `Retry-After`, never a 500 and never a false answer.

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::{Request, Response, Stack, json};

use super::{expect_ended, session_path};

#[track_caller]
fn expect_away(name: &str, answer: &Response) {
    assert_eq!((answer.status, answer.code().as_str()), (503, "dependency_unavailable"), "{name}: {answer:?}");
    assert_eq!((answer.header("retry-after"), &answer.json()["retryable"]), ("1", &json!(true)), "{name}");
}

/// Every route that needs a store, by name.
fn requests(stack: &Stack, session: &SessionTokens) -> Vec<(&'static str, Request)> {
    let app = &stack.app;
    let path = session_path(&session.session_id);
    let data = json!({ "data": { "a": 1 } });
    let token = [("token", session.refresh_token.as_str())];
    vec![
        ("create", app.request("POST", "/sessions").json(&json!({ "userId": "bob" }))),
        ("get", app.request("GET", &path)),
        ("get by holder", stack.request("GET", &path).bearer(&session.access_token)),
        ("put", app.request("PUT", &path).header("if-match", "\"1\"").json(&data)),
        ("patch", app.request("PATCH", &path).header("if-match", "*").json(&data)),
        (
            "refresh",
            app.request("POST", &format!("{path}/refresh")).json(&json!({ "refreshToken": session.refresh_token })),
        ),
        ("list", app.request("GET", "/sessions/user/ada")),
        ("introspect", app.request("POST", "/introspect").form(&token)),
        ("introspect access", app.request("POST", "/introspect").form(&[("token", session.access_token.as_str())])),
        ("delete", app.request("DELETE", &path)),
        ("delete user", app.request("DELETE", "/sessions/user/ada")),
        ("revoke", app.request("POST", "/revoke").form(&token)),
    ]
}

async fn warm(stack: &Stack) {
    let session = stack.app.start_session("warm").await;
    for (_, request) in requests(stack, &session) {
        request.send().await;
    }
}

#[tokio::test]
async fn without_redis_nothing_is_served_and_every_end_is_kept() {
    let stack = Stack::builder().with_redis_proxy().start().await;
    warm(&stack).await;
    let session = stack.app.start_session("ada").await;
    stack.redis_proxy().go_offline().await;
    for (name, request) in requests(&stack, &session) {
        let answer = request.send().await;
        match name {
            "delete" | "delete user" => assert_eq!(answer.status, 202, "{name}: {answer:?}"),
            "revoke" => assert_eq!(answer.status, 200, "{name}: {answer:?}"),
            _ => expect_away(name, &answer),
        }
    }
    for path in ["/health", "/openapi.json", "/.well-known/jwks.json"] {
        stack.request("GET", path).send().await.expect(200);
    }
    stack.redis_proxy().go_online().await;
    assert_eq!(stack.app.get(&session.session_id).await.expect(404).code(), "session_ended");
}

#[tokio::test]
async fn an_end_accepted_without_redis_is_in_force_when_it_returns() {
    for operation in ["delete", "delete user", "revoke"] {
        let stack = Stack::builder().with_redis_proxy().start().await;
        warm(&stack).await;
        let session = stack.app.start_session("ada").await;
        stack.redis_proxy().go_offline().await;
        let all = requests(&stack, &session);
        let (_, request) = all.into_iter().find(|(name, _)| *name == operation).expect("listed");
        request.send().await;
        stack.redis_proxy().go_online().await;
        let reason = match operation {
            "delete" => "admin",
            "delete user" => "revoke_all",
            _ => "token_revoked",
        };
        expect_ended(stack.app.get(&session.session_id).await, reason);
    }
}

#[tokio::test]
async fn a_silent_redis_is_not_waited_for_without_end() {
    let stack = Stack::builder().with_redis_proxy().start().await;
    warm(&stack).await;
    let session = stack.app.start_session("ada").await;
    stack.redis_proxy().stall();
    for (name, request) in requests(&stack, &session).into_iter().take(2) {
        expect_away(name, &request.send().await);
    }
    stack.redis_proxy().resume();
    stack.redis_proxy().go_online().await;
    stack.app.get(&session.session_id).await.expect(200);
}

#[tokio::test]
async fn cold_functions_without_aws_answer_503_and_recover() {
    let stack = Stack::builder().with_moto_proxy().with_environments(1).start().await;
    warm(&stack).await;
    let session = stack.app.start_session("ada").await;
    stack.fleet.recycle_all().await;
    stack.moto_proxy().go_offline().await;
    let mut all = requests(&stack, &session);
    all.push(("jwks", stack.request("GET", "/.well-known/jwks.json")));
    // At once, since each waits out the back-off between its attempts.
    let answers = join_all(all.into_iter().map(|(name, request)| async move { (name, request.send().await) })).await;
    for (name, answer) in answers {
        expect_away(name, &answer);
    }
    for path in ["/health", "/openapi.json"] {
        stack.request("GET", path).send().await.expect(200);
    }
    stack.moto_proxy().go_online().await;
    for (name, request) in requests(&stack, &session) {
        let answer = request.send().await;
        assert!((200..300).contains(&answer.status), "{name}: {answer:?}");
    }
    stack.request("GET", "/.well-known/jwks.json").send().await.expect(200);
}

/// The warm path needs neither DynamoDB nor KMS; an end that can not be made durable is not promised.
#[tokio::test]
async fn warm_functions_serve_without_aws_but_promise_no_end() {
    let stack = Stack::builder().with_moto_proxy().with_environments(1).start().await;
    warm(&stack).await;
    let session = stack.app.start_session("ada").await;
    stack.moto_proxy().go_offline().await;
    for (name, request) in requests(&stack, &session) {
        let answer = request.send().await;
        match name {
            "delete" | "delete user" | "revoke" => expect_away(name, &answer),
            _ => assert!((200..300).contains(&answer.status), "{name}: {answer:?}"),
        }
    }
}
