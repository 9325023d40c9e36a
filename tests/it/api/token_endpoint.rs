//! The refresh token grant at `POST /token` (RFC 6749 §6).

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Application, ClientKey, Request, Response, Stack, json};

use super::{other_application, text};

fn grant(stack: &Stack, client_id: &str, token: &str) -> Request {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client_id)];
    stack.request("POST", "/token").form(&form)
}

#[track_caller]
fn refused(response: Response, error: &str, code: &str) {
    assert_eq!(response.json()["error"], error, "{response:?}");
    response.expect_problem(400, code);
}

async fn is_current(app: &Application, token: &str) -> bool {
    app.introspect(token).await.expect(200).json()["active"] == true
}

#[tokio::test]
async fn a_public_client_gets_the_pair_that_the_session_route_gives() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let answer = grant(&stack, &stack.app.id, &session.refresh_token).send().await.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let document = answer.json();
    let members: Vec<&String> = document.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["access_token", "expires_in", "refresh_token", "token_type"]);
    assert_eq!((&document["token_type"], &document["expires_in"]), (&json!("Bearer"), &json!(300)));
    let same = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    assert_eq!(same["refreshToken"], document["refresh_token"], "one successor, whichever way it is asked for");
    assert!(is_current(&stack.app, &text(&document["refresh_token"])).await);
    assert!(is_current(&stack.app, &text(&document["access_token"])).await);
}

#[tokio::test]
async fn clients_with_a_key_authenticate_in_every_way() {
    let stack = Stack::start().await;
    let (id, key) = (stack.app.id.as_str(), stack.app.key.as_str());
    let secret = &key[format!("sk_{id}_").len()..];
    for (name, with) in [("basic", 0), ("bearer", 1), ("post", 2)] {
        let session = stack.app.start_session("ada").await;
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", session.refresh_token.as_str())];
        let request = stack.request("POST", "/token");
        let request = match with {
            0 => request.basic(id, secret).form(&form),
            1 => request.bearer(key).form(&form),
            _ => {
                form.extend([("client_id", id), ("client_secret", secret)]);
                request.form(&form)
            }
        };
        assert_eq!(request.send().await.status, 200, "{name}");
    }
}

/// T-11: a token for another client, an access token, and what else is no grant; nothing is used up by trying.
#[tokio::test]
async fn t_11_tokens_of_others_and_other_tokens_are_refused_and_not_used_up() {
    let stack = Stack::start().await;
    let other = other_application(&stack).await;
    let session = stack.app.start_session("ada").await;
    let token = &session.refresh_token;
    for client in [&other.id, "unknown", "No Such Client", ""] {
        refused(grant(&stack, client, token).send().await, "invalid_grant", "refresh_token_invalid");
    }
    let by_other = grant(&stack, &stack.app.id, token).bearer(&other.key).send().await;
    refused(by_other, "invalid_grant", "refresh_token_invalid");
    for no_grant in [&session.access_token, &stack.app.key, "x"] {
        let answer = grant(&stack, &stack.app.id, no_grant).send().await;
        refused(answer, "invalid_grant", "refresh_token_invalid");
    }
    let with_access_token = grant(&stack, &stack.app.id, token).bearer(&session.access_token).send().await;
    with_access_token.expect_problem(401, "credential_invalid");
    for (form, field) in [
        (vec![("grant_type", "refresh_token"), ("client_id", "x")], "refresh_token"),
        (vec![("refresh_token", token.as_str()), ("client_id", "x")], "grant_type"),
    ] {
        let answer = stack.request("POST", "/token").form(&form).send().await;
        assert_eq!(answer.expect(400).json()["error"], "invalid_request", "{field}");
    }
    let password = [("grant_type", "password"), ("client_id", &stack.app.id), ("refresh_token", token)];
    let answer = stack.request("POST", "/token").form(&password).send().await;
    refused(answer, "unsupported_grant_type", "unsupported_grant_type");
    let twice =
        format!("grant_type=refresh_token&refresh_token={token}&refresh_token={token}&client_id={}", stack.app.id);
    let answer =
        stack.request("POST", "/token").body("application/x-www-form-urlencoded", twice.as_bytes()).send().await;
    assert_eq!(answer.expect(400).json()["error"], "invalid_request");
    let query =
        stack.request("POST", &format!("/token?refresh_token={token}")).form(&[("grant_type", "refresh_token")]);
    assert_eq!(query.send().await.expect(400).json()["error"], "invalid_request");
    assert!(is_current(&stack.app, token).await);
}

#[tokio::test]
async fn replay_ends_the_session_and_says_why() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let next = grant(&stack, &stack.app.id, &session.refresh_token).send().await.expect(200).json();
    stack.advance(Duration::from_secs(11));
    let replay = grant(&stack, &stack.app.id, &session.refresh_token).send().await;
    refused(replay, "invalid_grant", "refresh_token_reused");
    let over = grant(&stack, &stack.app.id, &text(&next["refresh_token"])).send().await;
    assert_eq!(over.json()["reason"], "reuse");
    refused(over, "invalid_grant", "session_ended");
}

#[tokio::test]
async fn a_disabled_application_is_no_client() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let event = json!({ "action": "disable", "applicationId": stack.app.id });
    stack.invoke("manage-applications", &event).await.expect("a change");
    stack.advance(Duration::from_secs(61));
    let answer = grant(&stack, &stack.app.id, &session.refresh_token).send().await;
    assert_eq!(answer.expect(401).json()["error"], "invalid_client");
}

/// RFC 9449 §5: proofs at the token endpoint, refused as it says, without using up the token.
#[tokio::test]
async fn bound_grants_need_a_proof_for_the_token_endpoint() {
    let stack = Stack::start().await;
    let (key, other) = (ClientKey::new(), ClientKey::new());
    let body = json!({ "userId": "ada", "dpopJkt": key.thumbprint() });
    let session = SessionTokens::from_created(&stack.app.create_session(body).await);
    let ask = || grant(&stack, &stack.app.id, &session.refresh_token);
    let path = format!("/sessions/{}/refresh", session.session_id);
    let wrong = [
        None,
        Some(other.proof(&stack, "POST", "/token").sign()),
        Some(key.proof(&stack, "GET", "/token").sign()),
        Some(key.proof(&stack, "POST", "/introspect").sign()),
        Some(key.proof(&stack, "POST", &path).sign()),
        Some("x".to_owned()),
    ];
    for proof in wrong {
        let request = match &proof {
            None => ask(),
            Some(proof) => ask().proof(proof),
        };
        refused(request.send().await, "invalid_dpop_proof", "dpop_proof_invalid");
    }
    let stale = key.proof(&stack, "POST", "/token").nonce("old").sign();
    let asked = ask().proof(&stale).send().await;
    let nonce = asked.header("dpop-nonce").to_owned();
    refused(asked, "use_dpop_nonce", "use_dpop_nonce");
    assert!(is_current(&stack.app, &session.refresh_token).await);
    let good = key.proof(&stack, "POST", "/token").nonce(&nonce).sign();
    assert_eq!(ask().proof(&good).send().await.expect(200).json()["token_type"], "DPoP");
    refused(ask().proof(&good).send().await, "invalid_dpop_proof", "dpop_proof_invalid");
    // A backend that keeps its client's key proves it as well.
    let kept = key.proof(&stack, "POST", "/token").sign();
    ask().bearer(&stack.app.key).proof(&kept).send().await.expect(200);
}

/// A plain session stays one: a proof that comes along is checked and changes nothing.
#[tokio::test]
async fn a_proof_does_not_bind_a_plain_session() {
    let stack = Stack::start().await;
    let key = ClientKey::new();
    let session = stack.app.start_session("ada").await;
    let proof = key.proof(&stack, "POST", "/token").sign();
    let answer = grant(&stack, &stack.app.id, &session.refresh_token).proof(&proof).send().await.expect(200).json();
    assert_eq!(answer["token_type"], "Bearer");
    let next = text(&answer["refresh_token"]);
    grant(&stack, &stack.app.id, &next).send().await.expect(200);
}
