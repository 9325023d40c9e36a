//! Every documented answer of the operations on one session, given by the real functions.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Stack, json};
use redis::AsyncCommands;

use super::api::{Api, too_large};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn create_session_answers_as_documented() {
    let policy = json!({ "sessionLimit": { "max": 2, "onLimit": "reject" } });
    let stack = Stack::builder().with_clock().with_policy(policy).start().await;
    let api = Api::new(&stack);
    let body = json!({ "userId": "alice" });
    let first = SessionTokens::from_created(&api.app("POST", "/sessions", |r| r.json(&body)).await);
    let keyed = |request: integration_tests::request::Request| request.header("idempotency-key", "one");
    let second = SessionTokens::from_created(&api.app("POST", "/sessions", |r| keyed(r).json(&body)).await);
    let full = api.app("POST", "/sessions", |r| r.json(&body)).await;
    full.expect_problem(409, "session_limit_reached");
    let other = json!({ "userId": "alice", "acr": "aal2" });
    api.app("POST", "/sessions", |r| keyed(r).json(&other)).await.expect_problem(422, "idempotency_key_reused");
    api.app("DELETE", &format!("/sessions/{}", second.session_id), |r| r).await.expect(204);
    api.app("POST", "/sessions", |r| keyed(r).json(&body)).await.expect_problem(404, "session_ended");
    // A store that lost the record and kept the claim.
    let mut redis = stack.redis().connection().await;
    let records: Vec<String> = redis.keys("s:*").await.expect("keys");
    let _: () = redis.del(records).await.expect("deleted");
    api.app("POST", "/sessions", |r| keyed(r).json(&body)).await.expect_problem(404, "not_found");

    let legacy = json!({ "userId": "carol", "legacySession": "4f1c" });
    api.app("POST", "/sessions", |r| r.json(&legacy)).await.expect(201);
    api.app("POST", "/sessions", |r| r.json(&legacy)).await.expect(201);
    stack.advance(Duration::from_secs(60));
    let late = api.app("POST", "/sessions", |r| r.json(&legacy)).await;
    late.expect_problem(409, "legacy_session_exchanged");

    let on_device = json!({ "userId": "bob", "device": { "deviceId": "a1f4" } });
    api.app("POST", "/sessions", |r| r.json(&on_device)).await.expect(201);
    stack.app.request("PATCH", "/users/bob/devices/a1f4").json(&json!({ "trust": "blocked" })).send().await.expect(200);
    api.app("POST", "/sessions", |r| r.json(&on_device)).await.expect_problem(403, "device_blocked");
    api.app("POST", "/sessions", |r| r.json(&json!({}))).await.expect_problem(400, "invalid_request");
    api.app("POST", "/sessions", |r| r.json(&too_large())).await.expect_problem(413, "payload_too_large");
    api.app("POST", "/sessions", |r| r.body(FORM, b"userId=alice")).await.expect_problem(415, "unsupported_media_type");
    api.send("POST", "/sessions", |r| r.json(&body)).await.expect_problem(401, "credential_missing");
    api.send("POST", "/sessions", |r| r.bearer("sk_x_y").json(&body)).await.expect_problem(401, "credential_invalid");
    api.send("POST", "/sessions", |r| r.bearer(&first.access_token).json(&body))
        .await
        .expect_problem(403, "application_only");
    let reader = api.application(&["sessions:read"]).await;
    api.send("POST", "/sessions", |r| r.bearer(&reader.key).json(&body))
        .await
        .expect_problem(403, "insufficient_scope");
    stack.redis().stop().await;
    api.app("POST", "/sessions", |r| r.json(&body)).await.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["createSession"]);
}

#[tokio::test]
async fn reading_changing_and_ending_answer_as_documented() {
    let stack = Stack::builder().with_moto_proxy().start().await;
    let api = Api::new(&stack);
    let session = api.session(&stack.app, "alice").await;
    let ended = api.session(&stack.app, "bob").await;
    let stranger = api.application(&["devices:manage"]).await;
    let path = format!("/sessions/{}", session.session_id);
    let gone = format!("/sessions/{}", ended.session_id);
    let change = json!({ "data": { "step": 1 } });
    let updates = ["PUT", "PATCH"];

    api.send("GET", &path, |r| r.bearer(&session.access_token)).await.expect(200);
    api.app("GET", &path, |r| r).await.expect(200);
    for method in updates {
        api.app(method, &path, |r| r.header("if-match", "*").json(&change)).await.expect(200);
        let send = |tag: &'static str, body: serde_json::Value| {
            let path = &path;
            let api = &api;
            async move {
                api.app(method, path, |r| {
                    if tag.is_empty() { r.json(&body) } else { r.header("if-match", tag).json(&body) }
                })
                .await
            }
        };
        send("\"999\"", change.clone()).await.expect_problem(412, "version_mismatch");
        send("", change.clone()).await.expect_problem(428, "if_match_required");
        send("*", json!({ "other": 1 })).await.expect_problem(400, "invalid_request");
        send("*", too_large()).await.expect_problem(413, "payload_too_large");
        let form = api.app(method, &path, |r| r.header("if-match", "*").body(FORM, b"data=1")).await;
        form.expect_problem(415, "unsupported_media_type");
    }
    for method in ["GET", "DELETE"] {
        api.app(method, &format!("{path}?extra=1"), |r| r).await.expect_problem(400, "invalid_request");
    }
    api.send("DELETE", &gone, |r| r.bearer(&ended.access_token)).await.expect(204);
    api.app("DELETE", &gone, |r| r).await.expect(204);
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let with = |request: integration_tests::request::Request| match updates.contains(&method) {
            true => request.header("if-match", "*").json(&change),
            false => request,
        };
        api.send(method, &path, with).await.expect_problem(401, "credential_missing");
        api.send(method, &path, |r| with(r.bearer("no"))).await.expect_problem(401, "credential_invalid");
        api.send(method, &path, |r| with(r.bearer(&stranger.key))).await.expect_problem(403, "insufficient_scope");
        api.app(method, "/sessions/none", with).await.expect_problem(404, "not_found");
        let over = api.send(method, &gone, |r| with(r.bearer(&ended.access_token))).await;
        match method {
            // Ending what has ended is a success; the holder of another ended session of the user hears that it is.
            "DELETE" => drop(over.expect(204)),
            _ => {
                assert_eq!(over.expect_problem(401, "session_ended").json()["reason"], "user");
                api.app(method, &gone, with).await.expect_problem(404, "session_ended");
            }
        }
    }
    let sibling = api.session(&stack.app, "bob").await;
    let by_ended = |r: integration_tests::request::Request| r.bearer(&ended.access_token);
    let sibling_path = format!("/sessions/{}", sibling.session_id);
    api.send("DELETE", &sibling_path, by_ended).await.expect_problem(401, "session_ended");

    // RFC 9470: who authenticated long ago does not end other sessions.
    let long_ago = json!({ "userId": "bob", "authTime": "2026-03-02T09:29:56Z" });
    let stale = SessionTokens::from_created(&api.app("POST", "/sessions", |r| r.json(&long_ago)).await);
    let refused = api.send("DELETE", &sibling_path, |r| r.bearer(&stale.access_token)).await;
    refused.expect_problem(401, "insufficient_user_authentication");
    let locked = api.app("POST", &format!("{path}/lock"), |r| r.json(&json!({}))).await.expect(201).json();
    let token = locked["lockToken"].as_str().expect("a token");
    for method in updates {
        let with = |r: integration_tests::request::Request| r.header("if-match", "*").json(&change);
        api.app(method, &path, with).await.expect_problem(423, "session_locked");
        let other = api.app(method, &path, |r| with(r).header("session-lock", "lk_AAAAAAAAAAAAAAAAAAAAAA")).await;
        other.expect_problem(409, "lock_lost");
    }
    api.app("DELETE", &format!("{path}/lock"), |r| r.header("session-lock", token)).await.expect(204);

    // Without its ledger an end is not promised; without Redis it is accepted.
    stack.moto_proxy().go_offline().await;
    api.app("DELETE", &path, |r| r).await.expect_problem(503, "dependency_unavailable");
    stack.moto_proxy().go_online().await;
    stack.redis().stop().await;
    api.app("DELETE", &path, |r| r).await.expect(202);
    api.app("GET", &path, |r| r).await.expect_problem(503, "dependency_unavailable");
    for method in updates {
        let response = api.app(method, &path, |r| r.header("if-match", "*").json(&change)).await;
        response.expect_problem(503, "dependency_unavailable");
    }
    api.assert_complete(&["getSession", "replaceSessionData", "patchSessionData", "deleteSession"]);
}

#[tokio::test]
async fn refresh_answers_as_documented() {
    let stack = Stack::start().await;
    let api = Api::new(&stack);
    let session = api.session(&stack.app, "alice").await;
    let path = format!("/sessions/{}/refresh", session.session_id);
    let present = |token: &str| json!({ "refreshToken": token });
    let next = api.send("POST", &path, |r| r.json(&present(&session.refresh_token))).await.expect(200).json();
    let second = next["refreshToken"].as_str().expect("a token").to_owned();
    let client = json!({ "refreshToken": second, "client": { "ip": "203.0.113.9" } });
    api.send("POST", &path, |r| r.json(&client)).await.expect_problem(400, "invalid_request");
    api.app("POST", &path, |r| r.json(&client)).await.expect(200);

    let stepped = api.session(&stack.app, "alice").await;
    let step_up = json!({ "authTime": super::sharing::later(&stack) });
    let stepped_path = format!("/sessions/{}", stepped.session_id);
    api.app("POST", &format!("{stepped_path}/step-up"), |r| r.json(&step_up)).await.expect(200);
    let superseded =
        api.send("POST", &format!("{stepped_path}/refresh"), |r| r.json(&present(&stepped.refresh_token))).await;
    superseded.expect_problem(401, "refresh_token_superseded");

    let limited = api.application(&["sessions:create"]).await;
    let its = api.session(&limited, "alice").await;
    let its_path = format!("/sessions/{}/refresh", its.session_id);
    let with_key = |key: &str| {
        let key = key.to_owned();
        let body = present(&its.refresh_token);
        move |r: integration_tests::request::Request| r.bearer(&key).json(&body)
    };
    api.send("POST", &its_path, with_key(&limited.key)).await.expect_problem(403, "insufficient_scope");
    api.send("POST", &its_path, with_key("sk_no_no")).await.expect_problem(401, "credential_invalid");
    api.app("POST", &its_path, |r| r.json(&present(&its.refresh_token)))
        .await
        .expect_problem(401, "refresh_token_invalid");
    api.send("POST", &path, |r| r.json(&present("rt_no"))).await.expect_problem(401, "refresh_token_invalid");
    api.send("POST", "/sessions/none/refresh", |r| r.json(&present(&second)))
        .await
        .expect_problem(401, "refresh_token_invalid");
    api.send("POST", &path, |r| r.body(FORM, b"refreshToken=x")).await.expect_problem(415, "unsupported_media_type");
    api.send("POST", &path, |r| r.json(&too_large())).await.expect_problem(413, "payload_too_large");

    let replayed = api.send("POST", &path, |r| r.json(&present(&session.refresh_token))).await;
    replayed.expect_problem(401, "refresh_token_reused");
    let over = api.send("POST", &path, |r| r.json(&present(&second))).await.expect_problem(401, "session_ended");
    assert_eq!(over.json()["reason"], "reuse");
    stack.redis().stop().await;
    let away = api.send("POST", &its_path, |r| r.json(&present(&its.refresh_token))).await;
    away.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["refreshSession"]);
}
