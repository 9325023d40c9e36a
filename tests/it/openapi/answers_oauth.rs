//! Every documented answer of the OAuth endpoints, given by the real functions.

use integration_tests::application::SessionTokens;
use integration_tests::{ClientKey, Stack, json};

use super::api::Api;

#[tokio::test]
async fn introspection_and_revocation_answer_as_documented() {
    let stack = Stack::builder().with_moto_proxy().start().await;
    let api = Api::new(&stack);
    let session = api.session(&stack.app, "alice").await;
    let stranger = api.application(&["devices:manage"]).await;
    let secret = stack.app.key.rsplit_once(&format!("{}_", stack.app.id)).expect("a secret").1;
    let refresh = [("token", session.refresh_token.as_str())];

    let access = [("token", session.access_token.as_str()), ("token_type_hint", "access_token")];
    let active = api.app("POST", "/introspect", |r| r.form(&access)).await.expect(200).json();
    assert_eq!((&active["active"], &active["token_type"]), (&json!(true), &json!("Bearer")));
    let active = api.send("POST", "/introspect", |r| r.basic(&stack.app.id, secret).form(&refresh)).await;
    assert_eq!(active.expect(200).json()["token_type"], "refresh_token");
    let unknown = api.app("POST", "/introspect", |r| r.form(&[("token", "no")])).await.expect(200);
    assert_eq!(unknown.json(), json!({ "active": false }));
    let in_form = [refresh[0], ("client_id", &stack.app.id), ("client_secret", &stack.app.key)];
    api.send("POST", "/introspect", |r| r.form(&in_form)).await.expect(200);

    for path in ["/introspect", "/revoke"] {
        api.app("POST", path, |r| r.form(&[])).await.expect_problem(400, "invalid_request");
        api.send("POST", path, |r| r.form(&refresh)).await.expect_problem(401, "credential_missing");
        let wrong = api.send("POST", path, |r| r.basic(&stack.app.id, "no").form(&refresh)).await;
        wrong.expect_problem(401, "credential_invalid");
        let scope = api.send("POST", path, |r| r.bearer(&stranger.key).form(&refresh)).await;
        scope.expect_problem(403, "insufficient_scope");
        let large = "x".repeat(9000);
        api.app("POST", path, |r| r.form(&[("token", &large)])).await.expect_problem(413, "payload_too_large");
        let kind = api.app("POST", path, |r| r.json(&json!({ "token": "x" }))).await;
        kind.expect_problem(415, "unsupported_media_type");
    }
    stack.moto_proxy().go_offline().await;
    api.app("POST", "/revoke", |r| r.form(&refresh)).await.expect_problem(503, "dependency_unavailable");
    stack.moto_proxy().go_online().await;
    api.app("POST", "/revoke", |r| r.form(&refresh)).await.expect(200);
    stack.redis().stop().await;
    api.app("POST", "/introspect", |r| r.form(&refresh)).await.expect_problem(503, "dependency_unavailable");
    api.app("POST", "/revoke", |r| r.form(&refresh)).await.expect(200);
    api.assert_complete(&["introspectToken", "revokeToken"]);
}

#[tokio::test]
async fn the_key_set_answers_as_documented() {
    let stack = Stack::builder().with_moto_proxy().start().await;
    let api = Api::new(&stack);
    let keys = api.send("GET", "/.well-known/jwks.json", |r| r).await.expect(200);
    assert_eq!(keys.header("cache-control"), "public, max-age=300");
    stack.moto_proxy().go_offline().await;
    stack.fleet.recycle("jwks").await;
    api.send("GET", "/.well-known/jwks.json", |r| r).await.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["getKeySet"]);
}

#[tokio::test]
async fn the_token_endpoint_answers_as_documented() {
    let policy = json!({ "binding": { "requireNonce": true } });
    let stack = Stack::builder().with_policy(policy).start().await;
    let api = Api::new(&stack);
    let session = api.session(&stack.app, "alice").await;
    let id = stack.app.id.as_str();
    let form = |token: &str| {
        vec![("grant_type", "refresh_token"), ("client_id", id), ("refresh_token", token)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    let grant = async |token: &str| {
        let form = form(token);
        let fields: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        api.send("POST", "/token", |r| r.form(&fields)).await
    };
    let next = grant(&session.refresh_token).await.expect(200).json();
    let next = next["refresh_token"].as_str().expect("a token").to_owned();
    let third = grant(&next).await.expect(200).json();
    api.send("POST", "/token", |r| r.form(&[])).await.expect_problem(400, "invalid_request");
    let other = [("grant_type", "authorization_code"), ("client_id", id)];
    api.send("POST", "/token", |r| r.form(&other)).await.expect_problem(400, "unsupported_grant_type");
    grant("rt_no").await.expect_problem(400, "refresh_token_invalid");
    grant(&session.refresh_token).await.expect_problem(400, "refresh_token_reused");
    let over = grant(third["refresh_token"].as_str().expect("a token")).await.expect_problem(400, "session_ended");
    assert_eq!((&over.json()["error"], &over.json()["reason"]), (&json!("invalid_grant"), &json!("reuse")));

    let key = ClientKey::new();
    let new = json!({ "userId": "alice", "dpopJkt": key.thumbprint() });
    let bound = SessionTokens::from_created(&api.app("POST", "/sessions", |r| r.json(&new)).await);
    grant(&bound.refresh_token).await.expect_problem(400, "dpop_proof_invalid");
    let proof = key.proof(&stack, "POST", "/token").sign();
    let fields = [("grant_type", "refresh_token"), ("client_id", id), ("refresh_token", &bound.refresh_token)];
    let plain = api.send("POST", "/token", |r| r.proof(&proof).form(&fields)).await;
    assert_eq!(plain.expect_problem(400, "use_dpop_nonce").json()["error"], "use_dpop_nonce");

    let grant = [("grant_type", "refresh_token"), ("refresh_token", bound.refresh_token.as_str())];
    api.send("POST", "/token", |r| r.form(&grant)).await.expect_problem(401, "credential_missing");
    api.send("POST", "/token", |r| r.basic(id, "no").form(&grant)).await.expect_problem(401, "credential_invalid");
    let limited = api.application(&["sessions:read"]).await;
    let scope = api.send("POST", "/token", |r| r.bearer(&limited.key).form(&grant)).await;
    assert_eq!(scope.expect_problem(400, "insufficient_scope").json()["error"], "unauthorized_client");
    let large = "x".repeat(9000);
    api.send("POST", "/token", |r| r.form(&[("grant_type", &large)])).await.expect_problem(413, "payload_too_large");
    let kind = api.send("POST", "/token", |r| r.json(&json!({ "grant_type": "refresh_token" }))).await;
    kind.expect_problem(415, "unsupported_media_type");
    stack.redis().stop().await;
    let away = [("grant_type", "refresh_token"), ("client_id", id), ("refresh_token", &session.refresh_token)];
    api.send("POST", "/token", |r| r.form(&away)).await.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["grantTokens"]);
}

#[tokio::test]
async fn the_server_metadata_answer_as_documented() {
    let stack = Stack::start().await;
    let api = Api::new(&stack);
    let metadata = api.send("GET", "/.well-known/oauth-authorization-server", |r| r).await.expect(200).json();
    assert_eq!(metadata["issuer"], stack.public_url.as_str());
    for (member, path) in [("token_endpoint", "/token"), ("revocation_endpoint", "/revoke")] {
        assert_eq!(metadata[member], format!("{}{path}", stack.public_url));
    }
    api.assert_complete(&["getServerMetadata"]);
}
