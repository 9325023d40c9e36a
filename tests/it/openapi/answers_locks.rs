//! Every documented answer of locking and unlocking, and what a lock adds to changing data, given by the real functions.

use std::time::Duration;

use integration_tests::{Request, Stack, json};

use super::api::{Api, too_large};

#[tokio::test]
async fn locking_and_unlocking_answer_as_documented() {
    let stack = Stack::builder().with_clock().start().await;
    let api = Api::new(&stack);
    let session = api.session(&stack.app, "alice").await;
    let ended = api.session(&stack.app, "bob").await;
    let stranger = api.application(&["devices:manage"]).await;
    let of_session = format!("/sessions/{}", session.session_id);
    let path = format!("{of_session}/lock");
    let gone = format!("/sessions/{}/lock", ended.session_id);
    let other_token = "lk_AAAAAAAAAAAAAAAAAAAAAA";

    let granted = api.app("POST", &path, |r| r.json(&json!({}))).await.expect(201).json();
    let token = granted["lockToken"].as_str().expect("a token").to_owned();
    let renew = json!({ "ttlSeconds": 60, "lockToken": token });
    api.send("POST", &path, |r| r.bearer(&session.access_token).json(&renew)).await.expect(200);
    let locked = api.app("POST", &path, |r| r.json(&json!({}))).await;
    assert_eq!(locked.expect_problem(423, "session_locked").header("retry-after"), "60");
    let other = json!({ "lockToken": other_token });
    api.app("POST", &path, |r| r.json(&other)).await.expect_problem(409, "lock_lost");
    for method in ["PUT", "PATCH"] {
        let change = |r: Request| r.header("if-match", "*").json(&json!({ "data": {} }));
        let refused = api.app(method, &of_session, change).await;
        refused.expect_problem(423, "session_locked");
        let late = api.app(method, &of_session, |r| change(r).header("session-lock", other_token)).await;
        late.expect_problem(409, "lock_lost");
        api.app(method, &of_session, |r| change(r).header("session-lock", &token)).await.expect(200);
        let malformed = api.app(method, &of_session, |r| change(r).header("session-lock", "lk_")).await;
        malformed.expect_problem(400, "invalid_request");
    }
    for _ in 0..6 {
        stack.advance(Duration::from_secs(50));
        let renewed = api.app("POST", &path, |r| r.json(&renew)).await;
        if renewed.status != 200 {
            renewed.expect_problem(409, "lock_lost");
        }
    }
    let short = api.app("POST", &path, |r| r.json(&json!({ "ttlSeconds": 60 }))).await.expect(201).json();
    let token = short["lockToken"].as_str().expect("a token").to_owned();
    let renew = json!({ "lockToken": token });
    for _ in 0..10 {
        api.app("POST", &path, |r| r.json(&renew)).await.expect(200);
    }
    api.app("POST", &path, |r| r.json(&renew)).await.expect_problem(409, "lock_not_renewable");

    for wrong in [json!({ "ttlSeconds": 61 }), json!({ "lockToken": "lk_" }), json!({ "other": 1 })] {
        api.app("POST", &path, |r| r.json(&wrong)).await.expect_problem(400, "invalid_request");
    }
    api.app("POST", &path, |r| r.json(&too_large())).await.expect_problem(413, "payload_too_large");
    api.app("POST", &path, |r| r.body("text/plain", b"{}")).await.expect_problem(415, "unsupported_media_type");
    api.app("DELETE", &path, |r| r).await.expect_problem(400, "invalid_request");
    let with_other = |r: Request| r.header("session-lock", other_token);
    api.app("DELETE", &path, with_other).await.expect_problem(409, "lock_lost");
    api.app("DELETE", &path, |r| r.header("session-lock", &token)).await.expect(204);

    api.send("DELETE", &format!("/sessions/{}", ended.session_id), |r| r.bearer(&ended.access_token)).await.expect(204);
    for method in ["POST", "DELETE"] {
        let with = |r: Request| if method == "POST" { r.json(&json!({})) } else { with_other(r) };
        api.send(method, &path, with).await.expect_problem(401, "credential_missing");
        api.send(method, &path, |r| with(r.bearer("no"))).await.expect_problem(401, "credential_invalid");
        api.send(method, &path, |r| with(r.bearer(&stranger.key))).await.expect_problem(403, "insufficient_scope");
        api.app(method, "/sessions/none/lock", with).await.expect_problem(404, "not_found");
        api.app(method, &gone, with).await.expect_problem(404, "session_ended");
        let over = api.send(method, &gone, |r| with(r.bearer(&ended.access_token))).await;
        over.expect_problem(401, "session_ended");
    }
    stack.redis().stop().await;
    for method in ["POST", "DELETE"] {
        let with = |r: Request| if method == "POST" { r.json(&json!({})) } else { with_other(r) };
        api.app(method, &path, with).await.expect_problem(503, "dependency_unavailable");
    }
    api.assert_complete(&["lockSession", "unlockSession"]);
}
