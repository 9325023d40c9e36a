//! The 429 of every operation that documents one, given by the real functions.

use std::collections::BTreeSet;

use integration_tests::{Request, Stack, json};

use super::api::Api;
use super::contract::{document, documented_answers, operations};

#[tokio::test]
async fn every_limited_operation_refuses_as_documented() {
    let policy = json!({ "rateLimits": { "applicationPerMinute": 1, "unknownPerMinute": 1 } });
    let stack = Stack::builder().with_clock().with_policy(policy).start().await;
    stack.clock().freeze();
    let api = Api::new(&stack);
    // Its creation is the application's one request of the minute.
    let session = api.session(&stack.app, "alice").await;
    let of_session = format!("/sessions/{}", session.session_id);
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
    let by_holder = |r: Request| r.bearer(&session.access_token);
    api.app("DELETE", nobodys, |r| r).await.expect_problem(404, "not_found");
    api.app("DELETE", nobodys, |r| r).await.expect_problem(429, "rate_limited");
    seen.insert("deleteSession");
    api.send("DELETE", "/sessions/user/bob", by_holder).await.expect_problem(404, "not_found");
    api.send("DELETE", "/sessions/user/bob", by_holder).await.expect_problem(429, "rate_limited");
    seen.insert("deleteUserSessions");
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
