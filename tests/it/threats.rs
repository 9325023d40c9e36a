//! Attacks of the threat table that no single feature answers. Those that belong to one feature are tested beside it;
//! `docs/SECURITY.md` lists where.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, Value, json};

fn successor(response: &Response) -> String {
    response.json()["refreshToken"].as_str().expect("a refresh token").to_owned()
}

/// A session whose token somebody has copied: `(session, first token)`, one grace window after the first rotation.
async fn stolen(stack: &Stack) -> (SessionTokens, String) {
    let session = stack.app.start_session("ada").await;
    let second = successor(&stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200));
    stack.advance(Duration::from_secs(11));
    (session, second)
}

async fn events(stack: &Stack, kind: &str) -> i64 {
    stack.run_write_audit().await;
    let database = stack.database().connect().await;
    let row = database.query_one("SELECT count(*) FROM audit_events WHERE event_type = $1", &[&kind]).await;
    row.expect("a count").get(0)
}

async fn expect_over_for_all(stack: &Stack, session: &SessionTokens, tokens: [&str; 2]) {
    for token in tokens {
        let refused = stack.app.refresh(&session.session_id, token).await.expect_problem(401, "session_ended");
        assert_eq!(refused.json()["reason"], "reuse");
        assert_eq!(stack.app.introspect(token).await.expect(200).json(), json!({ "active": false }));
    }
    assert_eq!(events(stack, "refresh.replayed").await, 1);
}

#[tokio::test]
async fn t_02_a_thief_who_refreshes_first_loses_the_session_when_the_victim_comes() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let (session, of_thief) = stolen(&stack).await;
    let victim = stack.app.refresh(&session.session_id, &session.refresh_token).await;
    victim.expect_problem(401, "refresh_token_reused");
    expect_over_for_all(&stack, &session, [&of_thief, &session.refresh_token]).await;
}

#[tokio::test]
async fn t_03_a_thief_who_comes_second_gets_nothing_and_ends_the_session() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let (session, of_victim) = stolen(&stack).await;
    let of_victim = successor(&stack.app.refresh(&session.session_id, &of_victim).await.expect(200));
    let thief = stack.app.refresh(&session.session_id, &session.refresh_token).await;
    thief.expect_problem(401, "refresh_token_reused");
    expect_over_for_all(&stack, &session, [&of_victim, &session.refresh_token]).await;
}

/// Consumed generations are told for the whole life of a session, not only for a window.
#[tokio::test]
async fn t_07_the_first_generation_is_a_replay_at_the_fiftieth_weeks_later() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let mut newest = session.refresh_token.clone();
    for _ in 0..50 {
        stack.advance(Duration::from_secs(12 * 3600));
        newest = successor(&stack.app.refresh(&session.session_id, &newest).await.expect(200));
    }
    let replay = stack.app.refresh(&session.session_id, &session.refresh_token).await;
    replay.expect_problem(401, "refresh_token_reused");
    stack.app.refresh(&session.session_id, &newest).await.expect_problem(401, "session_ended");
}

/// Every credential in every slot but its own is refused, and none is used up by the attempt.
#[tokio::test]
async fn t_11_no_credential_works_in_the_place_of_another() {
    let stack = Stack::start().await;
    let other =
        stack.create_application(json!({ "name": "Other", "scopes": ["sessions:write", "sessions:read"] })).await;
    let session = stack.app.start_session("ada").await;
    let path = format!("/sessions/{}", session.session_id);
    for token in [&session.refresh_token, &session.session_id, &other.key] {
        let refused = stack.request("GET", &path).bearer(token).send().await;
        assert!([401, 404].contains(&refused.status), "{refused:?}");
    }
    for token in [&session.access_token, &stack.app.key, &session.session_id] {
        stack.app.refresh(&session.session_id, token).await.expect_problem(401, "refresh_token_invalid");
    }
    other.refresh(&session.session_id, &session.refresh_token).await.expect_problem(401, "refresh_token_invalid");
    other.revoke(&session.refresh_token).await.expect(200);
    other.revoke(&session.access_token).await.expect(200);
    assert_eq!(other.introspect(&session.refresh_token).await.json(), json!({ "active": false }));
    stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
}

/// Handles and tokens are made here and nowhere else.
#[tokio::test]
async fn t_18_a_caller_can_not_propose_a_session_or_its_tokens() {
    let stack = Stack::start().await;
    let known = stack.app.start_session("ada").await;
    for (field, value) in [
        ("sessionId", known.session_id.as_str()),
        ("refreshToken", known.refresh_token.as_str()),
        ("accessToken", known.access_token.as_str()),
    ] {
        let body = json!({ "userId": "mallory", field: value });
        let refused = stack.app.create_session(body).await.expect_problem(400, "invalid_request").json();
        assert_eq!(refused["errors"][0]["field"], field);
    }
    let body = json!({ "userId": "mallory" });
    let path = format!("/sessions?sessionId={}", known.session_id);
    stack.app.request("POST", &path).json(&body).send().await.expect_problem(400, "invalid_request");
    let cookie = format!("sid={}", known.session_id);
    let created = stack.app.request("POST", "/sessions").header("cookie", &cookie).json(&body).send().await;
    assert_ne!(SessionTokens::from_created(&created).session_id, known.session_id);
}

/// A credential in a URL is refused wherever it stands, even where it would be a good one.
#[tokio::test]
async fn t_19_a_token_in_a_url_is_refused() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let path = format!("/sessions/{}", session.session_id);
    for name in ["access_token", "token", "accessToken"] {
        let asked = format!("{path}?{name}={}", session.access_token);
        let refused = stack.request("GET", &asked).send().await.expect_problem(400, "invalid_request");
        assert_eq!(refused.json()["errors"][0]["field"], name);
    }
    let asked = format!("{path}/refresh?refreshToken={}", session.refresh_token);
    let body = json!({ "refreshToken": session.refresh_token });
    stack.request("POST", &asked).json(&body).send().await.expect_problem(400, "invalid_request");
    let asked = format!("/introspect?token={}", session.access_token);
    let refused = stack.app.request("POST", &asked).form(&[("token", &session.access_token)]).send().await;
    assert_eq!(refused.status, 400);
    stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
}

/// The absolute end is set once: a refresh just before it does not move it. I-5.
#[tokio::test]
async fn t_20_nothing_but_an_authentication_moves_the_absolute_end() {
    let stack = Stack::builder().with_clock().start().await;
    let body = json!({ "userId": "ada", "absoluteTimeoutSeconds": 3600, "idleTimeoutSeconds": 3600 });
    let session = SessionTokens::from_created(&stack.app.create_session(body).await);
    let end = session.document["session"]["absoluteExpiresAt"].clone();
    stack.advance(Duration::from_secs(3599));
    let refreshed = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    assert_eq!(refreshed["session"]["absoluteExpiresAt"], end);
    assert!(refreshed["expiresIn"].as_u64().is_some_and(|seconds| seconds <= 1), "{refreshed}");
    stack.advance(Duration::from_secs(1));
    let newest = refreshed["refreshToken"].as_str().expect("a token");
    stack.app.refresh(&session.session_id, newest).await.expect_problem(401, "session_ended");
}

/// The application comes from the credential alone.
#[tokio::test]
async fn t_59_no_header_or_field_names_another_application() {
    let stack = Stack::start().await;
    let other = stack.create_application(json!({ "name": "Other", "scopes": ["sessions:create"] })).await;
    for field in ["applicationId", "tenantId", "groupId"] {
        let body = json!({ "userId": "ada", field: other.id });
        let refused = stack.app.create_session(body).await.expect_problem(400, "invalid_request").json();
        assert_eq!(refused["errors"][0]["field"], field);
    }
    let request = stack.app.request("POST", "/sessions").json(&json!({ "userId": "ada" }));
    let request = request.header("x-application-id", &other.id).header("x-tenant-id", &other.id);
    let created = request.header("x-user-id", "mallory").send().await.expect(201).json();
    assert_eq!(created["session"]["applicationId"], Value::from(stack.app.id.clone()));
    assert_eq!(created["session"]["userId"], "ada");
}

/// Scopes are compared whole: no prefix, wildcard or other case of a scope opens anything.
#[tokio::test]
async fn t_60_scopes_are_exact() {
    let stack = Stack::start().await;
    for scope in ["sessions:*", "*", "sessions", "Sessions:read", "sessions:read "] {
        let application = json!({ "name": "Tricky", "scopes": [scope] });
        let event = json!({ "action": "create", "application": application });
        assert!(stack.invoke("manage-applications", &event).await.is_err(), "{scope}");
    }
    let reader = stack.create_application(json!({ "name": "Reader", "scopes": ["sessions:read"] })).await;
    for (method, path) in [("POST", "/sessions"), ("DELETE", "/sessions/user/ada")] {
        let refused = reader.request(method, path).json(&json!({ "userId": "ada" })).send().await;
        refused.expect_problem(403, "insufficient_scope");
    }
}

/// The key of one application opens no session of another, whatever it asks.
#[tokio::test]
async fn t_64_an_application_reaches_its_own_sessions_only() {
    let stack = Stack::start().await;
    let scopes = ["sessions:create", "sessions:read", "sessions:write", "users:manage"];
    let other = stack.create_application(json!({ "name": "Other", "scopes": scopes })).await;
    let session = SessionTokens::from_created(
        &stack.app.create_session(json!({ "userId": "ada", "data": { "secret": 1 } })).await,
    );
    other.get(&session.session_id).await.expect_problem(404, "not_found");
    other.patch(&session.session_id, "*", json!({ "data": { "secret": 2 } })).await.expect_problem(404, "not_found");
    other.delete(&session.session_id).await.expect_problem(404, "not_found");
    assert_eq!(other.list("ada").await.expect(200).json()["sessions"], json!([]));
    other.delete_user_sessions("ada").await.expect(204);
    assert_eq!(stack.app.get(&session.session_id).await.expect(200).json()["data"], json!({ "secret": 1 }));
}
