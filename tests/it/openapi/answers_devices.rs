//! Every documented answer of the operations on devices, their data and the state of a user, given by the real functions.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::request::Request;
use integration_tests::{Stack, Value, json};

use super::api::{Api, too_large};

const FORM: &str = "application/x-www-form-urlencoded";

async fn on_device(api: &Api<'_>, user: &str, device: &str) -> SessionTokens {
    let body =
        json!({ "userId": user, "device": { "deviceId": device, "name": "Phone" }, "client": { "ip": "203.0.113.9" } });
    SessionTokens::from_created(&api.app("POST", "/sessions", |r| r.json(&body)).await)
}

/// What every operation here answers to callers that may not.
async fn refusals(
    api: &Api<'_>,
    method: &str,
    path: &str,
    body: Option<&Value>,
    own: &SessionTokens,
    ended: &SessionTokens,
) {
    let with = |request: Request| match body {
        Some(body) => request.header("if-match", "*").json(body),
        None => request,
    };
    let stranger = api.application(&["users:manage"]).await;
    api.app(method, &format!("{path}?extra=1"), with).await.expect_problem(400, "invalid_request");
    api.send(method, path, with).await.expect_problem(401, "credential_missing");
    api.send(method, path, |r| with(r.bearer("no"))).await.expect_problem(401, "credential_invalid");
    let over = api.send(method, path, |r| with(r.bearer(&ended.access_token))).await;
    over.expect_problem(401, "session_ended");
    api.send(method, path, |r| with(r.bearer(&stranger.key))).await.expect_problem(403, "insufficient_scope");
    let of_bob = path.replace("/alice/", "/bob/");
    api.send(method, &of_bob, |r| with(r.bearer(&own.access_token))).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn devices_answer_as_documented() {
    let policy = json!({ "idleTimeoutSeconds": 2_592_000, "stepUpAgeSeconds": 60 });
    let stack = Stack::builder().with_policy(policy).with_clock().with_moto_proxy().start().await;
    let api = Api::new(&stack);
    let stale = on_device(&api, "alice", "laptop").await;
    stack.advance(Duration::from_secs(61));
    let (own, ended) = (on_device(&api, "alice", "phone").await, on_device(&api, "alice", "phone").await);
    api.app("DELETE", &format!("/sessions/{}", ended.session_id), |r| r).await.expect(204);
    let (list, path) = ("/users/alice/devices", "/users/alice/devices/phone");
    let (name, block) = (json!({ "name": "Phone" }), json!({ "trust": "blocked" }));

    for (method, path, body) in
        [("GET", list, None), ("GET", path, None), ("PATCH", path, Some(&name)), ("DELETE", path, None)]
    {
        refusals(&api, method, path, body, &own, &ended).await;
    }
    api.app("GET", list, |r| r).await.expect(200);
    api.send("GET", list, |r| r.bearer(&own.access_token)).await.expect(200);
    api.send("GET", path, |r| r.bearer(&own.access_token)).await.expect(200);
    api.send("PATCH", path, |r| r.bearer(&own.access_token).json(&name)).await.expect(200);
    let trust = json!({ "trust": "trusted" });
    api.app("PATCH", path, |r| r.json(&trust)).await.expect_problem(403, "trust_not_proved");
    let by_stale = |request: Request| request.bearer(&stale.access_token);
    api.send("PATCH", path, |r| by_stale(r).json(&block)).await.expect_problem(401, "insufficient_user_authentication");
    api.send("DELETE", path, by_stale).await.expect_problem(401, "insufficient_user_authentication");
    api.app("PATCH", path, |r| r.json(&too_large())).await.expect_problem(413, "payload_too_large");
    api.app("PATCH", path, |r| r.body(FORM, b"name=x")).await.expect_problem(415, "unsupported_media_type");

    stack.advance(Duration::from_secs(86_400));
    let fresh = on_device(&api, "alice", "phone").await;
    let proved = json!({ "trust": "known", "sessionId": fresh.session_id });
    let known = api.app("PATCH", path, |r| r.json(&proved)).await.expect(200).json();
    assert_eq!(known["proof"], "authentication");

    stack.moto_proxy().go_offline().await;
    for (method, path) in [("GET", list), ("GET", path), ("DELETE", path)] {
        api.app(method, path, |r| r).await.expect_problem(503, "dependency_unavailable");
    }
    api.app("PATCH", path, |r| r.json(&name)).await.expect_problem(503, "dependency_unavailable");
    stack.moto_proxy().go_online().await;
    on_device(&api, "alice", "tablet").await;
    api.app("DELETE", path, |r| r).await.expect(204);
    stack.redis().stop().await;
    api.app("PATCH", "/users/alice/devices/tablet", |r| r.json(&block)).await.expect(202);
    api.app("DELETE", "/users/alice/devices/tablet", |r| r).await.expect(202);
    api.assert_complete(&["listDevices", "getDevice", "changeDevice", "removeDevice"]);
}

#[tokio::test]
async fn documents_answer_as_documented() {
    let stack = Stack::builder().with_moto_proxy().start().await;
    let api = Api::new(&stack);
    let (own, ended) = (on_device(&api, "alice", "phone").await, on_device(&api, "alice", "phone").await);
    api.app("DELETE", &format!("/sessions/{}", ended.session_id), |r| r).await.expect(204);
    let (data, state) = ("/users/alice/devices/phone/data", "/users/alice/state");
    let change = json!({ "data": { "a": 1 } });
    for (method, path) in [("PUT", data), ("PATCH", data), ("PATCH", state)] {
        refusals(&api, method, path, Some(&change), &own, &ended).await;
        let send = async |tag: &str, body: &Value| {
            let tagged = |r: Request| if tag.is_empty() { r } else { r.header("if-match", tag) };
            api.app(method, path, |r| tagged(r).json(body)).await
        };
        send("*", &change).await.expect(200);
        send("\"7\"", &change).await.expect_problem(412, "version_mismatch");
        send("", &change).await.expect_problem(428, "if_match_required");
        send("*", &too_large()).await.expect_problem(413, "payload_too_large");
        let form = api.app(method, path, |r| r.header("if-match", "*").body(FORM, b"data=1")).await;
        form.expect_problem(415, "unsupported_media_type");
    }
    for path in [data, state] {
        refusals(&api, "GET", path, None, &own, &ended).await;
        let tag = api.app("GET", path, |r| r).await.expect(200).header("etag").to_owned();
        api.app("GET", path, |r| r.header("if-none-match", &tag)).await.expect(304);
        api.send("GET", path, |r| r.bearer(&own.access_token)).await.expect(200);
    }
    api.app("GET", &format!("{state}?after=0&wait=20"), |r| r).await.expect(200);
    api.app("GET", &format!("{state}?after=1&wait=1"), |r| r).await.expect(304);
    api.app("GET", "/users/alice/devices/none/data", |r| r).await.expect_problem(404, "not_found");
    stack.moto_proxy().go_offline().await;
    for path in [data, state] {
        api.app("GET", path, |r| r).await.expect_problem(503, "dependency_unavailable");
    }
    for (method, path) in [("PUT", data), ("PATCH", data), ("PATCH", state)] {
        let away = api.app(method, path, |r| r.header("if-match", "*").json(&change)).await;
        away.expect_problem(503, "dependency_unavailable");
    }
    let operations = ["getDeviceData", "replaceDeviceData", "patchDeviceData", "getUserState", "patchUserState"];
    api.assert_complete(&operations);
}
