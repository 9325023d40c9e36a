//! Every documented answer of the OAuth endpoints, given by the real functions.

use integration_tests::{Stack, json};

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
