//! Step-up: raised assurance, new tokens, everything from before dead. T-34, T-63, I-5, I-6, ASVS 7.2.4 and 7.5.3, RFC 9470.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{refused_fields, related_application, session_path, text, user_path};

fn at(instant: OffsetDateTime) -> String {
    instant.format(&Rfc3339).expect("a time")
}

async fn step_up(stack: &Stack, session: &str, body: Value) -> Response {
    stack.app.request("POST", &format!("{}/step-up", session_path(session))).json(&body).send().await
}

/// Steps a session up with an authentication of this moment.
async fn step_up_now(stack: &Stack, session: &str) -> Value {
    step_up(stack, session, json!({ "acr": "aal2", "authTime": at(stack.now()) })).await.expect(200).json()
}

async fn read_with(stack: &Stack, session: &str, token: &str) -> Response {
    stack.request("GET", &session_path(session)).bearer(token).send().await
}

async fn refresh_own(stack: &Stack, session: &str, token: &str) -> Response {
    let path = format!("{}/refresh", session_path(session));
    stack.request("POST", &path).json(&json!({ "refreshToken": token })).send().await
}

#[tokio::test]
async fn t_34_after_a_step_up_the_tokens_from_before_are_dead() {
    let stack = Stack::builder().with_clock().start().await;
    let created = stack.app.create_session(json!({ "userId": "ada", "acr": "aal1", "data": { "a": 1 } })).await;
    let session = SessionTokens::from_created(&created);
    let id = &session.session_id;
    let second = refresh_own(&stack, id, &session.refresh_token).await.expect(200).json();
    let (access, refresh) = (text(&second["accessToken"]), text(&second["refreshToken"]));
    stack.advance(Duration::from_secs(5));
    let stepped = step_up_now(&stack, id).await;
    assert_eq!(stepped["session"]["acr"], "aal2");
    assert_eq!(stepped["session"]["data"], Value::Null);
    let (new_access, new_refresh) = (text(&stepped["accessToken"]), text(&stepped["refreshToken"]));

    for old in [&session.access_token, &access] {
        assert_eq!(stack.app.introspect(old).await.expect(200).json(), json!({ "active": false }));
        read_with(&stack, id, old).await.expect_problem(401, "credential_invalid");
        let list = stack.request("GET", &user_path("ada")).bearer(old).send().await;
        list.expect_problem(401, "credential_invalid");
        let put = stack.request("PUT", &session_path(id)).bearer(old).header("if-match", "\"1\"");
        put.json(&json!({ "data": {} })).send().await.expect_problem(401, "credential_invalid");
        let delete = stack.request("DELETE", &session_path(id)).bearer(old).send().await;
        delete.expect_problem(401, "credential_invalid");
        let all = stack.request("DELETE", &user_path("ada")).bearer(old).send().await;
        all.expect_problem(401, "credential_invalid");
    }
    refresh_own(&stack, id, &refresh).await.expect_problem(401, "refresh_token_superseded");
    refresh_own(&stack, id, &session.refresh_token).await.expect_problem(401, "refresh_token_superseded");
    assert_eq!(stack.app.introspect(&refresh).await.expect(200).json(), json!({ "active": false }));

    let read = read_with(&stack, id, &new_access).await.expect(200).json();
    assert_eq!((&read["data"], &read["acr"]), (&json!({ "a": 1 }), &json!("aal2")));
    assert_eq!(stack.app.introspect(&new_access).await.expect(200).json()["acr"], "aal2");
    let next = refresh_own(&stack, id, &new_refresh).await.expect(200).json();
    read_with(&stack, id, &text(&next["accessToken"])).await.expect(200);
    // Long after, the superseded token is still no proof of replay, and an older one is.
    stack.advance(Duration::from_secs(60));
    refresh_own(&stack, id, &session.refresh_token).await.expect_problem(401, "refresh_token_reused");
}

#[tokio::test]
async fn t_63_an_assertion_counts_once_and_assurance_rises_by_no_other_way() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let began = stack.now();
    stack.advance(Duration::from_secs(10));
    let assertion = json!({ "acr": "aal2", "amr": ["pwd", "otp"], "authTime": at(stack.now()) });
    step_up(&stack, id, assertion.clone()).await.expect(200);
    for _ in 0..2 {
        step_up(&stack, id, assertion.clone()).await.expect_problem(409, "step_up_stale");
        stack.advance(Duration::from_secs(1));
    }
    for stale in [began, began - Duration::from_secs(3600)] {
        let body = json!({ "acr": "aal3", "authTime": at(stale) });
        step_up(&stack, id, body).await.expect_problem(409, "step_up_stale");
    }
    let future = json!({ "authTime": at(stack.now() + Duration::from_secs(40)) });
    assert_eq!(refused_fields(&step_up(&stack, id, future).await), ["authTime"]);
    for wrong in ["now", "", "2026-01-01"] {
        assert_eq!(refused_fields(&step_up(&stack, id, json!({ "authTime": wrong })).await), ["authTime"]);
    }
    assert_eq!(refused_fields(&step_up(&stack, id, json!({})).await), ["authTime"]);
    // I-6: one that states no class keeps the recorded one.
    stack.advance(Duration::from_secs(5));
    let kept = step_up(&stack, id, json!({ "authTime": at(stack.now()) })).await.expect(200).json();
    assert_eq!((&kept["session"]["acr"], &kept["session"]["amr"]), (&json!("aal2"), &json!(["pwd", "otp"])));
    let next = stack.app.refresh(id, &text(&kept["refreshToken"])).await.expect(200).json();
    assert_eq!(next["session"]["acr"], "aal2");
}

#[tokio::test]
async fn i_5_both_clocks_start_anew_within_the_policy() {
    let policy = json!({
        "idleTimeoutSeconds": 600, "idleTimeoutSecondsMax": 1200,
        "absoluteTimeoutSeconds": 3600, "absoluteTimeoutSecondsMax": 7200,
    });
    let stack = Stack::builder().with_clock().with_database().with_policy(policy).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    for _ in 0..7 {
        stack.advance(Duration::from_secs(500));
        stack.app.get(id).await.expect(200);
    }
    // 100 seconds before the end.
    let stepped = step_up_now(&stack, id).await;
    let end = OffsetDateTime::parse(&text(&stepped["session"]["absoluteExpiresAt"]), &Rfc3339).expect("a time");
    assert!(end <= stack.now() + Duration::from_secs(3600), "{end}");
    for _ in 0..6 {
        stack.advance(Duration::from_secs(550));
        stack.app.get(id).await.expect(200);
    }
    // The record outlived its first end, and the sweep knows the new one.
    assert_eq!(stack.run_cleanup().await["ended"], 0);
    for field in ["idleTimeoutSeconds", "absoluteTimeoutSeconds"] {
        let body = json!({ "authTime": at(stack.now()), field: 7201 });
        assert_eq!(refused_fields(&step_up(&stack, id, body).await), [field]);
    }
    let body = json!({ "authTime": at(stack.now()), "idleTimeoutSeconds": 1200, "absoluteTimeoutSeconds": 7200 });
    assert_eq!(step_up(&stack, id, body).await.expect(200).json()["session"]["idleTimeoutSeconds"], 1200);
    stack.advance(Duration::from_secs(1190));
    stack.app.get(id).await.expect(200);
    for _ in 0..5 {
        stack.advance(Duration::from_secs(1190));
        stack.app.get(id).await.expect(200);
    }
    stack.advance(Duration::from_secs(100));
    super::expect_ended(stack.app.get(id).await, "absolute");
    let late = json!({ "authTime": at(stack.now()) });
    step_up(&stack, id, late).await.expect_problem(404, "session_ended");
}

/// RFC 9470, ASVS 7.5.2: what hurts other sessions needs a recent authentication; applications are not asked.
#[tokio::test]
async fn sensitive_operations_of_holders_need_a_recent_authentication() {
    let stack = Stack::builder().with_clock().with_policy(json!({ "stepUpAgeSeconds": 120 })).start().await;
    let related = related_application(&stack).await;
    let (session, other) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let id = &session.session_id;
    stack.advance(Duration::from_secs(121));
    let sensitive = |token: &str| {
        let share = stack.request("POST", &format!("{}/share", session_path(id)));
        [
            share.json(&json!({ "applicationId": related.id })).bearer(token),
            stack.request("DELETE", &session_path(&other.session_id)).bearer(token),
            stack.request("DELETE", &format!("{}?except={id}", user_path("ada"))).bearer(token),
            stack.request("DELETE", &user_path("ada")).bearer(token),
        ]
    };
    for request in sensitive(&session.access_token) {
        let refused = request.send().await.expect_problem(401, "insufficient_user_authentication");
        let challenge = "Bearer realm=\"sessions\", error=\"insufficient_user_authentication\", max_age=\"120\"";
        assert_eq!(refused.header("www-authenticate"), challenge);
    }
    stack.app.get(&other.session_id).await.expect(200);
    // Reading, changing and leaving is not sensitive.
    read_with(&stack, id, &session.access_token).await.expect(200);
    let stepped = step_up_now(&stack, id).await;
    for request in sensitive(&text(&stepped["accessToken"])) {
        assert!(request.send().await.status < 300);
    }
    let left = stack.app.start_session("ada").await;
    stack.advance(Duration::from_secs(121));
    stack.request("DELETE", &session_path(&left.session_id)).bearer(&left.access_token).send().await.expect(204);
}

/// Families of related applications go on by their refresh tokens and hear of the raised assurance. I-6
#[tokio::test]
async fn i_6_shares_keep_their_families_through_a_step_up() {
    let stack = Stack::builder().with_clock().start().await;
    let related = related_application(&stack).await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let share = stack.app.request("POST", &format!("{}/share", session_path(id)));
    let code = share.json(&json!({ "applicationId": related.id })).send().await.expect(201).json()["code"].clone();
    let taken = related.request("POST", "/sessions/redeem").json(&json!({ "code": code })).send().await;
    let taken = SessionTokens::from_created(&taken);
    stack.advance(Duration::from_secs(2));
    step_up_now(&stack, id).await;
    assert_eq!(related.introspect(&taken.access_token).await.expect(200).json(), json!({ "active": false }));
    read_with(&stack, id, &taken.access_token).await.expect_problem(401, "credential_invalid");
    let next = refresh_own(&stack, id, &taken.refresh_token).await.expect(200).json();
    assert_eq!(next["session"]["acr"], "aal2");
    read_with(&stack, id, &text(&next["accessToken"])).await.expect(200);
    let raise = related.request("POST", &format!("{}/step-up", session_path(id)));
    let raise = raise.json(&json!({ "acr": "aal3", "authTime": at(stack.now() + Duration::from_secs(5)) }));
    raise.send().await.expect_problem(403, "owner_only");
}
