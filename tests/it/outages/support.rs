use integration_tests::application::SessionTokens;
pub use integration_tests::outbox::events;
use integration_tests::{Application, Request, Response, Stack, Value, json};

/// How many events of a kind there are.
pub async fn count_of(stack: &Stack, kind: &str) -> usize {
    events(stack).await.iter().filter(|event| event.kind == kind).count()
}

/// Marks of ends that Redis has not acknowledged.
pub async fn pending(stack: &Stack) -> usize {
    entries(stack, "pending").await
}

/// Entries of the revocation ledger in a scope.
pub async fn entries(stack: &Stack, scope: &str) -> usize {
    let table = &stack.aws.tables.revocations;
    let scan = stack.aws.dynamodb.scan().table_name(table).consistent_read(true).send().await.expect("Scan succeeds");
    let of_scope = |item: &&std::collections::HashMap<_, aws_sdk_dynamodb::types::AttributeValue>| {
        item.get("scope").and_then(|value| value.as_s().ok()).is_some_and(|found| found == scope)
    };
    scan.items().iter().filter(of_scope).count()
}

/// A refusal that says that the same request may succeed later.
#[track_caller]
pub fn expect_away(what: &str, response: &Response) {
    assert_eq!(response.status, 503, "{what}: {response:?}");
    assert!(response.function.is_some(), "{what}: the function itself answers: {response:?}");
    assert_eq!(response.header("retry-after"), "1", "{what}: {response:?}");
    let body = response.json();
    assert_eq!((&body["code"], &body["retryable"]), (&json!("dependency_unavailable"), &json!(true)), "{what}");
}

pub async fn session_with_data(app: &Application, user: &str) -> SessionTokens {
    SessionTokens::from_created(&app.create_session(json!({ "userId": user, "data": { "note": "canary" } })).await)
}

/// Uses every function of sessions once, so that its environment is warm.
pub async fn warm_up(stack: &Stack) {
    let app = &stack.app;
    let session = session_with_data(app, "warm").await;
    app.get(&session.session_id).await.expect(200);
    let put = app.put(&session.session_id, "\"1\"", json!({ "data": { "note": "canary" } })).await.expect(200);
    app.patch(&session.session_id, put.header("etag"), json!({ "data": { "more": 1 } })).await.expect(200);
    app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
    app.list("warm").await.expect(200);
    app.introspect(&session.access_token).await.expect(200);
    app.revoke(&session.refresh_token).await.expect(200);
    app.delete(&session.session_id).await.expect(204);
    app.delete_user_sessions("warm").await.expect(204);
}

/// Requests that a live session answers with success, one per function that checks life.
pub const CHECKS: [&str; 7] = ["get", "get by holder", "put", "refresh", "introspect", "list", "list by holder"];

/// One of [`CHECKS`].
pub fn check(app: &Application, session: &SessionTokens, name: &str) -> Request {
    let path = format!("/sessions/{}", session.session_id);
    match name {
        "get" => app.request("GET", &path),
        "get by holder" => app.request("GET", &path).bearer(&session.access_token),
        "put" => app.request("PUT", &path).header("if-match", "*").json(&json!({ "data": { "note": "changed" } })),
        "refresh" => {
            let body = json!({ "refreshToken": session.refresh_token });
            app.request("POST", &format!("{path}/refresh")).anonymous().json(&body)
        }
        "introspect" => app.request("POST", "/introspect").form(&[("token", &session.access_token)]),
        "list" | "list by holder" => {
            let user = session.document["session"]["userId"].as_str().expect("the user of the session");
            let list =
                app.request("GET", &format!("/sessions/user/{}", integration_tests::routes::percent_encode(user)));
            if name == "list" { list } else { list.bearer(&session.access_token) }
        }
        other => panic!("{other}"),
    }
}

/// Asserts that an answer to a check gives an ended session no life.
#[track_caller]
pub fn expect_dead(name: &str, session: &SessionTokens, response: &Response) {
    let body: Value = response.json();
    let dead = match name {
        "introspect" => response.status == 200 && body == json!({ "active": false }),
        "list" => {
            let sessions = body["sessions"].as_array();
            response.status == 200
                && sessions.is_some_and(|all| all.iter().all(|one| one["sessionId"] != session.session_id.as_str()))
        }
        "get by holder" | "refresh" | "list by holder" => response.status == 401,
        _ => response.status == 404,
    };
    assert!(dead, "{name}: {response:?}");
}
