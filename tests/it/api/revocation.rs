//! RFC 7009.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, json};

use super::{expect_ended, expect_ended_for_holder, other_application, session_path, text};

async fn revoke(stack: &Stack, token: &str, hint: Option<&str>) -> Response {
    let mut form = vec![("token", token)];
    form.extend(hint.map(|hint| ("token_type_hint", hint)));
    stack.app.request("POST", "/revoke").form(&form).send().await
}

async fn expect_revoked(stack: &Stack, session: &SessionTokens) {
    expect_ended(stack.app.get(&session.session_id).await, "token_revoked");
    let own = stack.request("GET", &session_path(&session.session_id)).bearer(&session.access_token).send().await;
    expect_ended_for_holder(own, "token_revoked");
    let refresh = stack.app.refresh(&session.session_id, &session.refresh_token).await;
    expect_ended_for_holder(refresh, "token_revoked");
}

#[tokio::test]
async fn revoking_either_token_ends_the_session_whatever_the_hint() {
    let stack = Stack::start().await;
    for hint in [None, Some("access_token"), Some("refresh_token"), Some("unheard-of")] {
        for kind in ["access", "refresh"] {
            let session = stack.app.start_session("ada").await;
            let token = if kind == "access" { &session.access_token } else { &session.refresh_token };
            for _ in 0..2 {
                let answer = revoke(&stack, token, hint).await.expect(200);
                assert!(answer.body.is_empty(), "{answer:?}");
            }
            expect_revoked(&stack, &session).await;
        }
    }
}

#[tokio::test]
async fn an_expired_access_token_and_a_consumed_refresh_token_still_name_their_session() {
    let stack = Stack::builder().with_clock().start().await;
    let (one, two) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let next = stack.app.refresh(&two.session_id, &two.refresh_token).await.expect(200).json();
    stack.advance(Duration::from_secs(3600));
    revoke(&stack, &one.access_token, None).await.expect(200);
    revoke(&stack, &two.refresh_token, None).await.expect(200);
    expect_ended(stack.app.get(&one.session_id).await, "token_revoked");
    let refresh = stack.app.refresh(&two.session_id, &text(&next["refreshToken"])).await;
    expect_ended_for_holder(refresh, "token_revoked");
}

#[tokio::test]
async fn what_is_no_token_of_the_application_is_answered_alike_and_ends_nothing() {
    let stack = Stack::start().await;
    let other = other_application(&stack).await;
    let foreign = other.start_session("ada").await;
    let known = stack.app.start_session("ada").await;
    let expected = super::face(&revoke(&stack, &known.refresh_token, None).await);
    let forged = format!("{}A", &foreign.refresh_token[..foreign.refresh_token.len() - 1]);
    let unknown = [
        "x",
        "rt_x",
        "a.b.c",
        &known.session_id,
        &foreign.session_id,
        &stack.app.key,
        &forged,
        &foreign.access_token,
        &foreign.refresh_token,
        &known.refresh_token,
    ];
    for token in unknown {
        assert_eq!(super::face(&revoke(&stack, token, None).await), expected, "{token}");
    }
    other.get(&foreign.session_id).await.expect(200);
    other.refresh(&foreign.session_id, &foreign.refresh_token).await.expect(200);
}

#[tokio::test]
async fn a_revoked_session_stays_revoked_for_introspection_and_lists() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    stack.app.revoke(&session.access_token).await.expect(200);
    for token in [&session.access_token, &session.refresh_token] {
        assert_eq!(stack.app.introspect(token).await.json(), json!({ "active": false }));
    }
    assert_eq!(stack.app.list("ada").await.json(), json!({ "sessions": [] }));
}
