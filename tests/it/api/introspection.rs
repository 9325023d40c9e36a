//! RFC 7662.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Stack, json};

use super::{other_application, text};

const INACTIVE: &str = r#"{"active":false}"#;

async fn expect_inactive(stack: &Stack, what: &str, token: &str) {
    for hint in [None, Some("access_token"), Some("refresh_token"), Some("unheard-of")] {
        let mut form = vec![("token", token)];
        form.extend(hint.map(|hint| ("token_type_hint", hint)));
        let answer = stack.app.request("POST", "/introspect").form(&form).send().await.expect(200);
        assert_eq!(answer.text(), INACTIVE, "{what} {hint:?}");
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    }
}

#[tokio::test]
async fn active_tokens_are_described() {
    let stack = Stack::start().await;
    let body = json!({ "userId": "ada", "acr": "aal2", "amr": ["pwd"], "authTime": "2026-01-01T00:00:00Z" });
    let session = SessionTokens::from_created(&stack.app.create_session(body).await);
    let access = stack.app.introspect(&session.access_token).await.expect(200).json();
    let refresh = stack.app.introspect(&session.refresh_token).await.expect(200).json();
    for (token, kind) in [(&access, "Bearer"), (&refresh, "refresh_token")] {
        let expected = json!({
            "active": true, "token_type": kind, "iss": stack.public_url, "sub": "ada", "aud": stack.app.id,
            "client_id": stack.app.id, "sid": session.session_id, "acr": "aal2", "amr": ["pwd"],
            "auth_time": 1_767_225_600, "iat": token["iat"], "exp": token["exp"],
        });
        let mut described = token.clone();
        described.as_object_mut().unwrap().remove("jti");
        assert_eq!(described, expected);
    }
    let seconds = |token: &integration_tests::Value| token["exp"].as_i64().unwrap() - token["iat"].as_i64().unwrap();
    assert_eq!(seconds(&access), 300);
    assert_eq!(seconds(&refresh), 30 * 24 * 3600);
    assert!(access["jti"].is_string() && refresh["jti"].is_null());
}

#[tokio::test]
async fn inactive_answers_are_the_same_bytes_whatever_the_cause() {
    let stack = Stack::builder().with_clock().start().await;
    let other = other_application(&stack).await;
    let foreign = other.start_session("ada").await;
    for (what, token) in [
        ("unknown", "x"),
        ("no JWT", "a.b.c"),
        ("no refresh token", "rt_AAAA"),
        ("a key", &stack.app.key),
        ("another's access token", &foreign.access_token),
        ("another's refresh token", &foreign.refresh_token),
        ("oversized", &"x".repeat(7000)),
    ] {
        expect_inactive(&stack, what, token).await;
    }
    let session = stack.app.start_session("ada").await;
    let next = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    expect_inactive(&stack, "consumed", &session.refresh_token).await;
    let (access, refresh) = (text(&next["accessToken"]), text(&next["refreshToken"]));
    for token in [&access, &refresh, &session.access_token] {
        assert_eq!(stack.app.introspect(token).await.json()["active"], true);
    }
    stack.app.delete(&session.session_id).await.expect(204);
    expect_inactive(&stack, "access token of an ended session", &access).await;
    expect_inactive(&stack, "refresh token of an ended session", &refresh).await;

    let everywhere = stack.app.start_session("bob").await;
    stack.app.delete_user_sessions("bob").await.expect(204);
    expect_inactive(&stack, "access token after revoke-all", &everywhere.access_token).await;
    expect_inactive(&stack, "refresh token after revoke-all", &everywhere.refresh_token).await;

    let body = json!({ "userId": "eve", "idleTimeoutSeconds": 60, "absoluteTimeoutSeconds": 3600 });
    let idle = SessionTokens::from_created(&stack.app.create_session(body).await);
    let long = stack.app.start_session("max").await;
    stack.advance(Duration::from_secs(61));
    expect_inactive(&stack, "access token of a lapsed session", &idle.access_token).await;
    expect_inactive(&stack, "refresh token of a lapsed session", &idle.refresh_token).await;
    stack.advance(Duration::from_secs(270));
    expect_inactive(&stack, "expired access token", &long.access_token).await;
    assert_eq!(stack.app.introspect(&long.refresh_token).await.json()["active"], true);
}

#[tokio::test]
async fn unknown_form_parameters_are_ignored() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let form = [("token", session.refresh_token.as_str()), ("resource", "x"), ("resource", "y")];
    let answer = stack.app.request("POST", "/introspect").form(&form).send().await.expect(200);
    assert_eq!(answer.json()["active"], true);
}
