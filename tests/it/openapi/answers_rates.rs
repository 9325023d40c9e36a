//! The 429 of every operation that documents one, given by the real functions.

use std::collections::BTreeSet;

use integration_tests::client_key::ClientKey;
use integration_tests::{Request, Stack, json};

use super::api::Api;
use super::contract::{document, documented_answers, operations};

/// A code in form that was never issued.
const CODE: &str = "sc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test]
async fn every_limited_operation_refuses_as_documented() {
    let policy = json!({
        "rateLimits": { "applicationPerMinute": 1, "unknownPerMinute": 1, "addressPerMinute": 1 },
        "binding": { "deviceBoundCredentials": true },
    });
    let stack = Stack::builder().with_clock().with_database().with_policy(policy).start().await;
    stack.clock().freeze();
    let api = Api::new(&stack);
    // Its creation is the application's one request of the minute.
    let session = api.session(&stack.app, "alice").await;
    let of_session = format!("/sessions/{}", session.session_id);
    let device_data = "/users/alice/devices/phone/data";
    let (data, refresh) = (json!({ "data": {} }), json!({ "refreshToken": session.refresh_token }));
    type With<'a> = Box<dyn Fn(Request) -> Request + 'a>;
    let limited: Vec<(&str, &str, String, With)> = vec![
        ("createSession", "POST", "/sessions".into(), Box::new(|r| r.json(&json!({ "userId": "bob" })))),
        ("getSession", "GET", of_session.clone(), Box::new(|r| r)),
        ("replaceSessionData", "PUT", of_session.clone(), Box::new(|r| r.header("if-match", "*").json(&data))),
        ("patchSessionData", "PATCH", of_session.clone(), Box::new(|r| r.header("if-match", "*").json(&data))),
        ("refreshSession", "POST", format!("{of_session}/refresh"), Box::new(|r| r.json(&refresh))),
        ("lockSession", "POST", format!("{of_session}/lock"), Box::new(|r| r.json(&json!({})))),
        (
            "unlockSession",
            "DELETE",
            format!("{of_session}/lock"),
            Box::new(|r| r.header("session-lock", "lk_AAAAAAAAAAAAAAAAAAAAAA")),
        ),
        ("listUserSessions", "GET", "/sessions/user/alice".into(), Box::new(|r| r)),
        (
            "shareSession",
            "POST",
            format!("{of_session}/share"),
            Box::new(|r| r.json(&json!({ "applicationId": "help-desk" }))),
        ),
        ("redeemShare", "POST", "/sessions/redeem".into(), Box::new(|r| r.json(&json!({ "code": CODE })))),
        (
            "stepUpSession",
            "POST",
            format!("{of_session}/step-up"),
            Box::new(|r| r.json(&json!({ "authTime": "2026-03-02T10:15:30Z" }))),
        ),
        ("listDevices", "GET", "/users/alice/devices".into(), Box::new(|r| r)),
        ("getDevice", "GET", "/users/alice/devices/phone".into(), Box::new(|r| r)),
        ("changeDevice", "PATCH", "/users/alice/devices/phone".into(), Box::new(|r| r.json(&json!({ "name": "x" })))),
        ("removeDevice", "DELETE", "/users/alice/devices/phone".into(), Box::new(|r| r)),
        ("getDeviceData", "GET", device_data.into(), Box::new(|r| r)),
        ("replaceDeviceData", "PUT", device_data.into(), Box::new(|r| r.header("if-match", "*").json(&data))),
        ("patchDeviceData", "PATCH", device_data.into(), Box::new(|r| r.header("if-match", "*").json(&data))),
        ("getPrivacy", "GET", "/users/alice/privacy".into(), Box::new(|r| r)),
        (
            "putPrivacy",
            "PUT",
            "/users/alice/privacy".into(),
            Box::new(|r| {
                let all =
                    json!({ "activityTracking": true, "location": true, "fingerprinting": true, "sharing": true });
                r.json(&all)
            }),
        ),
        (
            "recordActivity",
            "POST",
            format!("{of_session}/activity"),
            Box::new(|r| r.json(&json!({ "activities": [{ "name": "page.viewed" }] }))),
        ),
        ("queryAnalytics", "GET", "/analytics/activity".into(), Box::new(|r| r)),
        ("queryAudit", "GET", "/audit/events".into(), Box::new(|r| r)),
        ("verifyAudit", "GET", "/audit/verify".into(), Box::new(|r| r)),
        ("exportUser", "GET", "/users/alice/export".into(), Box::new(|r| r)),
        ("eraseUser", "DELETE", "/users/alice".into(), Box::new(|r| r)),
        ("getUserState", "GET", "/users/alice/state".into(), Box::new(|r| r)),
        ("patchUserState", "PATCH", "/users/alice/state".into(), Box::new(|r| r.header("if-match", "*").json(&data))),
        (
            "grantTokens",
            "POST",
            "/token".into(),
            Box::new(|r| {
                let form = [("grant_type", "refresh_token"), ("refresh_token", session.refresh_token.as_str())];
                r.basic(&stack.app.id, &stack.app.key).form(&form)
            }),
        ),
        ("introspectToken", "POST", "/introspect".into(), Box::new(|r| r.form(&[("token", "x")]))),
    ];
    let mut seen = BTreeSet::new();
    for (operation, method, path, with) in limited {
        let refused = api.app(method, &path, with).await.expect(429);
        assert_eq!(refused.json()["code"], "rate_limited", "{operation}");
        seen.insert(operation);
    }
    // Ending has no quota; guessing has, whatever the method.
    let nobodys = "/sessions/ses_AAAAAAAAAAAAAAAAAAAAAAAA";
    let by_holder = |r: Request| r.bearer(&session.access_token).source_ip("203.0.113.20");
    api.app("DELETE", nobodys, |r| r).await.expect_problem(404, "not_found");
    api.app("DELETE", nobodys, |r| r).await.expect_problem(429, "rate_limited");
    seen.insert("deleteSession");
    api.send("DELETE", "/sessions/user/bob", by_holder).await.expect_problem(404, "not_found");
    api.send("DELETE", "/sessions/user/bob", by_holder).await.expect_problem(429, "rate_limited");
    seen.insert("deleteUserSessions");
    let withdraw = format!("{nobodys}/share?applicationId=help-desk");
    api.app("DELETE", &withdraw, |r| r).await.expect_problem(429, "rate_limited");
    seen.insert("withdrawShare");
    // A browser has no key of an application: its address is counted, once it has shown whose session it is about.
    let offer = session.document["deviceBoundSession"]["registration"].as_str().expect("an offer");
    let key = ClientKey::new();
    let register = || {
        let proof = key.registration(offer).sign();
        api.send("POST", "/dbsc/registration", move |r| r.header("secure-session-response", &proof))
    };
    register().await.expect(200);
    register().await.expect_problem(429, "rate_limited");
    seen.insert("registerDeviceKey");
    let renew = api.send("POST", "/dbsc/refresh", |r| r.header("sec-secure-session-id", &session.session_id)).await;
    renew.expect_problem(429, "rate_limited");
    seen.insert("renewDeviceCookie");
    let guess = || api.send("POST", "/revoke", |r| r.basic(&stack.app.id, "no").form(&[("token", "x")]));
    for _ in 0..69 {
        guess().await.expect(401);
    }
    assert_eq!(guess().await.expect(429).json()["code"], "rate_limited");
    seen.insert("revokeToken");

    let documented = operations().into_iter().filter_map(|(_, _, pointer)| {
        let answers = documented_answers(&pointer);
        let limited = answers.contains(&(429, "rate_limited".to_owned()));
        limited.then(|| document().pointer(&pointer).and_then(|operation| operation["operationId"].as_str())).flatten()
    });
    assert_eq!(seen, documented.collect(), "every operation that documents the refusal gives it");
}
