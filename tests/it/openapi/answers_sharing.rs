//! Every documented answer of sharing and step-up, given by the real functions.

use integration_tests::{Stack, Value, json};

use super::api::{Api, too_large};
use super::sharing::{later, related_application};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn sharing_redeeming_and_withdrawing_answer_as_documented() {
    let stack = Stack::builder().with_moto_proxy().start().await;
    let api = Api::new(&stack);
    let related = related_application(&stack).await;
    let stranger = api.application(&["devices:manage"]).await;
    let session = api.session(&stack.app, "alice").await;
    let ended = api.session(&stack.app, "bob").await;
    let path = |id: &str| format!("/sessions/{id}/share");
    let (own, gone) = (path(&session.session_id), path(&ended.session_id));
    let query = format!("applicationId={}", related.id);
    let body = json!({ "applicationId": related.id });
    let code = |answer: integration_tests::Response| answer.expect(201).json()["code"].clone();

    let first = code(api.send("POST", &own, |r| r.bearer(&session.access_token).json(&body)).await);
    let of_ended = code(api.app("POST", &gone, |r| r.json(&body)).await);
    let redeem = |key: &str, code: &Value| {
        let (api, key, body) = (&api, key.to_owned(), json!({ "code": code }));
        async move { api.send("POST", "/sessions/redeem", |r| r.bearer(&key).json(&body)).await }
    };
    let share = redeem(&related.key, &first).await.expect(201).json();
    redeem(&related.key, &first).await.expect_problem(404, "not_found");
    let its_token = share["accessToken"].as_str().expect("a token");
    let waiting = code(api.app("POST", &own, |r| r.json(&body)).await);

    // Shared on it is not; strangers get nothing.
    api.send("POST", &own, |r| r.bearer(&related.key).json(&body)).await.expect_problem(403, "owner_only");
    for other in [&stranger.id, &stack.app.id, &"nobody-at-all".to_owned()] {
        let refused = api.app("POST", &own, |r| r.json(&json!({ "applicationId": other }))).await;
        refused.expect_problem(403, "sharing_refused");
    }
    api.app("DELETE", &format!("/sessions/{}", ended.session_id), |r| r).await.expect(204);
    let long_ago = json!({ "userId": "alice", "authTime": "2026-03-02T09:29:56Z" });
    let stale = api.app("POST", "/sessions", |r| r.json(&long_ago)).await.expect(201).json();
    let (stale_id, stale_token) = (stale["session"]["sessionId"].as_str(), stale["accessToken"].as_str());
    let stale_path = path(stale_id.expect("an id"));
    let refused = api.send("POST", &stale_path, |r| r.bearer(stale_token.expect("a token")).json(&body)).await;
    refused.expect_problem(401, "insufficient_user_authentication");

    for (method, tail) in [("POST", String::new()), ("DELETE", format!("?{query}"))] {
        let with = |request: integration_tests::request::Request| match method {
            "POST" => request.json(&body),
            _ => request,
        };
        let to = |path: &str| format!("{path}{tail}");
        api.send(method, &to(&own), with).await.expect_problem(401, "credential_missing");
        api.send(method, &to(&own), |r| with(r.bearer("no"))).await.expect_problem(401, "credential_invalid");
        let scope = api.send(method, &to(&own), |r| with(r.bearer(&stranger.key))).await;
        scope.expect_problem(403, "insufficient_scope");
        api.app(method, &to("/sessions/none/share"), with).await.expect_problem(404, "not_found");
        api.app(method, &to(&gone), with).await.expect_problem(404, "session_ended");
        let over = api.send(method, &to(&gone), |r| with(r.bearer(&ended.access_token))).await;
        assert_eq!(over.expect_problem(401, "session_ended").json()["reason"], "admin");
    }
    api.app("POST", &own, |r| r.json(&json!({}))).await.expect_problem(400, "invalid_request");
    api.app("DELETE", &own, |r| r).await.expect_problem(400, "invalid_request");
    for path in [&own, &"/sessions/redeem".to_owned()] {
        api.app("POST", path, |r| r.json(&too_large())).await.expect_problem(413, "payload_too_large");
        api.app("POST", path, |r| r.body(FORM, b"a=b")).await.expect_problem(415, "unsupported_media_type");
    }

    api.send("POST", "/sessions/redeem", |r| r.json(&json!({ "code": "sc_" })))
        .await
        .expect_problem(401, "credential_missing");
    redeem("no", &waiting).await.expect_problem(401, "credential_invalid");
    redeem(&stranger.key, &waiting).await.expect_problem(403, "insufficient_scope");
    redeem(its_token, &waiting).await.expect_problem(403, "application_only");
    redeem(&related.key, &json!(1)).await.expect_problem(400, "invalid_request");
    redeem(&related.key, &of_ended).await.expect_problem(404, "session_ended");
    // Eight shares that were taken while the code waited.
    let group = &stack.app.record["groupId"];
    let crowded = api.session(&stack.app, "carol").await;
    let crowded_path = path(&crowded.session_id);
    let last = code(api.app("POST", &crowded_path, |r| r.json(&body)).await);
    for index in 0..8 {
        let scopes = ["sessions:create", "sessions:read"];
        let new = json!({ "name": format!("Desk {index}"), "scopes": scopes, "groupId": group });
        let another = stack.create_application(new).await;
        let body = json!({ "applicationId": another.id });
        redeem(&another.key, &code(api.app("POST", &crowded_path, |r| r.json(&body)).await)).await.expect(201);
    }
    redeem(&related.key, &last).await.expect_problem(403, "sharing_refused");
    let listed = api.app("GET", "/sessions/user/carol", |r| r).await.expect(200).json();
    assert_eq!(listed["sessions"][0]["sharedWith"].as_array().map(Vec::len), Some(8));
    let listed = api.send("GET", "/sessions/user/alice", |r| r.bearer(&related.key)).await.expect(200).json();
    assert_eq!(listed["sessions"][0]["sharedFrom"], stack.app.id.as_str());

    api.app("DELETE", &format!("{own}?{query}"), |r| r).await.expect(204);
    stack.moto_proxy().go_offline().await;
    api.app("DELETE", &format!("{own}?{query}"), |r| r).await.expect_problem(503, "dependency_unavailable");
    stack.moto_proxy().go_online().await;
    stack.redis().stop().await;
    api.app("DELETE", &format!("{own}?{query}"), |r| r).await.expect(202);
    api.app("POST", &own, |r| r.json(&body)).await.expect_problem(503, "dependency_unavailable");
    redeem(&related.key, &waiting).await.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["shareSession", "withdrawShare", "redeemShare"]);
}

#[tokio::test]
async fn step_up_answers_as_documented() {
    let stack = Stack::start().await;
    let api = Api::new(&stack);
    let related = related_application(&stack).await;
    let stranger = api.application(&["devices:manage"]).await;
    let session = api.session(&stack.app, "alice").await;
    let ended = api.session(&stack.app, "alice").await;
    api.app("DELETE", &format!("/sessions/{}", ended.session_id), |r| r).await.expect(204);
    let path = |id: &str| format!("/sessions/{id}/step-up");
    let own = path(&session.session_id);
    let share = format!("/sessions/{}/share", session.session_id);
    let shared = api.app("POST", &share, |r| r.json(&json!({ "applicationId": related.id }))).await.expect(201).json();
    let code = json!({ "code": shared["code"] });
    api.send("POST", "/sessions/redeem", |r| r.bearer(&related.key).json(&code)).await.expect(201);

    let body = json!({ "acr": "aal2", "amr": ["otp"], "authTime": later(&stack) });
    api.send("POST", &own, |r| r.bearer(&session.access_token).json(&body))
        .await
        .expect_problem(403, "application_only");
    let stepped = api.app("POST", &own, |r| r.json(&body)).await.expect(200).json();
    assert_eq!((&stepped["session"]["acr"], &stepped["session"]["amr"]), (&json!("aal2"), &json!(["otp"])));
    api.app("POST", &own, |r| r.json(&body)).await.expect_problem(409, "step_up_stale");
    api.send("POST", &own, |r| r.bearer(&related.key).json(&body)).await.expect_problem(403, "owner_only");
    api.send("POST", &own, |r| r.bearer(&stranger.key).json(&body)).await.expect_problem(403, "insufficient_scope");
    api.app("POST", &own, |r| r.json(&json!({ "acr": "x" }))).await.expect_problem(400, "invalid_request");
    api.app("POST", &own, |r| r.json(&too_large())).await.expect_problem(413, "payload_too_large");
    api.app("POST", &own, |r| r.body(FORM, b"a=b")).await.expect_problem(415, "unsupported_media_type");
    api.send("POST", &own, |r| r.json(&body)).await.expect_problem(401, "credential_missing");
    api.send("POST", &own, |r| r.bearer("no").json(&body)).await.expect_problem(401, "credential_invalid");
    api.app("POST", &path("none"), |r| r.json(&body)).await.expect_problem(404, "not_found");
    api.app("POST", &path(&ended.session_id), |r| r.json(&body)).await.expect_problem(404, "session_ended");
    stack.redis().stop().await;
    api.app("POST", &own, |r| r.json(&body)).await.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["stepUpSession"]);
}
