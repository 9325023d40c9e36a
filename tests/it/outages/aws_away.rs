//! F-20, F-21, F-25: DynamoDB (with KMS behind the same line) can not be reached, refuses, or does not answer.

use std::time::Duration;

use integration_tests::{Stack, json};

use super::support::*;

const THROTTLED: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}"#;
const BROKEN: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"broken"}"#;

fn http(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {length}\r\n\r\n{body}")
}

async fn stack() -> Stack {
    Stack::builder().with_moto_proxy().with_environments(2).start().await
}

/// Warm paths serve; ends are refused rather than half promised; refused ends succeed afterwards.
async fn expect_warm_service_and_honest_ends(stack: &Stack, break_line: impl AsyncFn()) {
    let app = &stack.app;
    warm_up(stack).await;
    let session = session_with_data(app, "ada").await;
    let (deleted, revoked) = (session_with_data(app, "bob").await, session_with_data(app, "bob").await);
    let (first, second) = (session_with_data(app, "cyd").await, session_with_data(app, "cyd").await);
    break_line().await;

    app.get(&session.session_id).await.expect(200);
    let refreshed = app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    app.put(&session.session_id, "\"1\"", json!({ "data": { "note": "changed" } })).await.expect(200);
    assert_eq!(app.introspect(&session.access_token).await.expect(200).json()["active"], true);
    app.list("ada").await.expect(200);
    app.start_session("ada").await;

    expect_away("delete", &app.delete(&deleted.session_id).await);
    let own = app.request("DELETE", &format!("/sessions/{}", second.session_id)).bearer(&first.access_token);
    expect_away("delete by holder", &own.send().await);
    expect_away("revoke", &app.revoke(&revoked.refresh_token).await);
    expect_away("end all of a user", &app.delete_user_sessions("cyd").await);
    expect_away("a cold environment", &check(app, &session, "get").on_environment(1).send().await);

    stack.moto_proxy().go_online().await;
    app.delete(&deleted.session_id).await.expect(204);
    app.revoke(&revoked.refresh_token).await.expect(200);
    app.delete_user_sessions("cyd").await.expect(204);
    for ended in [&deleted, &revoked, &first, &second] {
        expect_dead("get", ended, &check(app, ended, "get").send().await);
    }
    check(app, &session, "get").on_environment(1).send().await.expect(200);
    let next = refreshed["refreshToken"].as_str().expect("a token");
    app.refresh(&session.session_id, next).await.expect(200);
    // An end that was refused and then repeated is one end.
    let ends = events(stack).await.into_iter().filter(|event| event.kind == "session.ended");
    let mut sessions: Vec<String> = ends.map(|event| event.session).collect();
    let all = sessions.len();
    sessions.sort();
    sessions.dedup();
    assert_eq!((all, sessions.len()), (5, 5), "the one of the warming up, and four");
}

#[tokio::test]
async fn f_21_without_dynamodb_warm_paths_serve_and_no_end_is_promised() {
    let stack = stack().await;
    expect_warm_service_and_honest_ends(&stack, async || stack.moto_proxy().go_offline().await).await;
}

#[tokio::test]
async fn f_20_a_throttled_dynamodb_is_away() {
    let stack = stack().await;
    let reply = http("400 Bad Request", THROTTLED);
    let throttle = async || stack.moto_proxy().intercept(b"DynamoDB_20120810.", reply.as_bytes());
    expect_warm_service_and_honest_ends(&stack, throttle).await;
}

#[tokio::test]
async fn f_20_a_broken_dynamodb_is_away() {
    let stack = stack().await;
    let reply = http("500 Internal Server Error", BROKEN);
    let fail = async || stack.moto_proxy().intercept(b"DynamoDB_20120810.", reply.as_bytes());
    expect_warm_service_and_honest_ends(&stack, fail).await;
}

#[tokio::test]
async fn f_20_a_dynamodb_that_does_not_answer_is_away() {
    let stack = stack().await;
    expect_warm_service_and_honest_ends(&stack, async || stack.moto_proxy().stall()).await;
}

/// One lost connection or one refused attempt is no outage: the client tries again.
#[tokio::test]
async fn f_22_one_failed_attempt_costs_no_request() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    for user in ["ada", "bob", "cyd"] {
        let session = session_with_data(app, user).await;
        stack.moto_proxy().cut_next_reply_to(b"DynamoDB_20120810.PutItem");
        app.delete(&session.session_id).await.expect(204);
        stack.moto_proxy().cut_next_reply_to(b"DynamoDB_20120810.UpdateItem");
        app.delete_user_sessions(user).await.expect(204);
        assert_eq!(stack.moto_proxy().pending_cuts(), 0);
        expect_dead("get", &session, &check(app, &session, "get").send().await);
    }
}

/// The function answers for itself; the gateway's opaque error, and the end of the environment, never come.
#[tokio::test]
async fn f_25_a_deadline_that_comes_near_is_a_503_of_the_function() {
    let stack = Stack::builder().with_clock().with_moto_proxy().with_environments(1).start().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let session = session_with_data(app, "ada").await;
    let pids = [stack.environment("get-session", 0).await.pid(), stack.environment("delete-session", 0).await.pid()];
    // The record of the application has to be read again.
    stack.advance(Duration::from_secs(61));
    stack.moto_proxy().stall();
    let near = Duration::from_millis(1300);
    expect_away("get", &check(app, &session, "get").timeout(near).send().await);
    let delete = app.request("DELETE", &format!("/sessions/{}", session.session_id)).timeout(near);
    expect_away("delete", &delete.clone().send().await);
    stack.moto_proxy().go_online().await;
    app.get(&session.session_id).await.expect(200);
    delete.send().await.expect(204);
    let after = [stack.environment("get-session", 0).await.pid(), stack.environment("delete-session", 0).await.pid()];
    assert_eq!(after, pids, "the environments live on");
}
