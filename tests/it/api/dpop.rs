//! Sessions that are bound to a key of their client (RFC 9449).

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::client_key::{Proof, encode};
use integration_tests::{Application, ClientKey, Request, Stack, Value, json};

use super::{refused_fields, session_path, text, user_path};

/// A session that is bound to a key.
async fn bound(app: &Application, user: &str, key: &ClientKey) -> SessionTokens {
    let body = json!({ "userId": user, "dpopJkt": key.thumbprint() });
    SessionTokens::from_created(&app.create_session(body).await)
}

/// A read of one's own session with a proof.
fn read(stack: &Stack, session: &SessionTokens, proof: &Proof<'_>) -> Request {
    stack.request("GET", &session_path(&session.session_id)).dpop(&session.access_token, &proof.sign())
}

fn proof<'a>(stack: &Stack, session: &SessionTokens, key: &'a ClientKey) -> Proof<'a> {
    key.proof(stack, "GET", &session_path(&session.session_id)).of_token(&session.access_token)
}

fn refresh(stack: &Stack, session: &SessionTokens, token: &str) -> Request {
    let path = format!("{}/refresh", session_path(&session.session_id));
    stack.request("POST", &path).json(&json!({ "refreshToken": token }))
}

fn refresh_proof<'a>(stack: &Stack, session: &SessionTokens, key: &'a ClientKey) -> Proof<'a> {
    key.proof(stack, "POST", &format!("{}/refresh", session_path(&session.session_id)))
}

#[tokio::test]
async fn a_bound_session_says_so_everywhere() {
    let stack = Stack::start().await;
    let key = ClientKey::new();
    let session = bound(&stack.app, "ada", &key).await;
    assert_eq!(session.document["tokenType"], "DPoP");
    let confirmation = json!({ "jkt": key.thumbprint() });
    let access = stack.app.introspect(&session.access_token).await.expect(200).json();
    assert_eq!((&access["token_type"], &access["cnf"]), (&json!("DPoP"), &confirmation));
    let refresh_token = stack.app.introspect(&session.refresh_token).await.expect(200).json();
    assert_eq!((&refresh_token["token_type"], &refresh_token["cnf"]), (&json!("refresh_token"), &confirmation));
    let own = read(&stack, &session, &proof(&stack, &session, &key)).send().await.expect(200);
    assert_eq!(own.json()["current"], true);
    assert_ne!(own.header("dpop-nonce"), "");

    let plain = stack.app.start_session("ada").await;
    let access = stack.app.introspect(&plain.access_token).await.expect(200).json();
    assert_eq!((&access["token_type"], access.get("cnf")), (&json!("Bearer"), None));
}

#[tokio::test]
async fn a_policy_may_require_the_key_and_keys_have_their_form() {
    let policy = json!({ "binding": { "requireKey": true } });
    let stack = Stack::builder().with_policy(policy).start().await;
    let missing = stack.app.create_session(json!({ "userId": "ada" })).await;
    assert_eq!(refused_fields(&missing), ["dpopJkt"]);
    for jkt in [json!(""), json!("short"), json!(7), json!("A".repeat(44)), json!(format!("{}=", "A".repeat(43)))] {
        let refused = stack.app.create_session(json!({ "userId": "ada", "dpopJkt": jkt })).await;
        assert_eq!(refused_fields(&refused), ["dpopJkt"], "{jkt}");
    }
    bound(&stack.app, "ada", &ClientKey::new()).await;
}

/// T-01, T-15: a bound token is worth nothing as a Bearer token, and a plain one nothing with the scheme of bound ones.
#[tokio::test]
async fn t_15_schemes_do_not_stand_in_for_each_other() {
    let stack = Stack::start().await;
    let key = ClientKey::new();
    let (session, plain) = (bound(&stack.app, "ada", &key).await, stack.app.start_session("ada").await);
    let path = session_path(&session.session_id);
    let as_bearer = stack.request("GET", &path).bearer(&session.access_token);
    let refused = as_bearer.clone().send().await.expect_problem(401, "credential_invalid");
    assert!(refused.header("www-authenticate").starts_with("Bearer "), "{refused:?}");
    let with_proof = as_bearer.proof(&proof(&stack, &session, &key).sign());
    with_proof.send().await.expect_problem(401, "credential_invalid");
    let proof_for_plain = proof(&stack, &plain, &key);
    read(&stack, &plain, &proof_for_plain).send().await.expect_problem(401, "credential_invalid");
    let key_with_proof = stack.request("GET", &path).dpop(&stack.app.key, &proof(&stack, &session, &key).sign());
    key_with_proof.send().await.expect_problem(401, "credential_invalid");
    stack.request("GET", &session_path(&plain.session_id)).bearer(&plain.access_token).send().await.expect(200);
}

/// RFC 9449 §4.3, T-24, T-27, T-35: each part of a proof removed or altered.
#[tokio::test]
async fn altered_proofs_are_refused() {
    let stack = Stack::start().await;
    let (key, other) = (ClientKey::new(), ClientKey::new());
    let session = bound(&stack.app, "ada", &key).await;
    let good = || proof(&stack, &session, &key);
    let url = format!("{}{}", stack.public_url, session_path(&session.session_id));
    let mut private = key.jwk();
    private["d"] = json!(encode(&[1; 32]));
    let mut off_curve = key.jwk();
    off_curve["x"] = json!(encode(&[1; 32]));
    let now = stack.now().unix_timestamp();
    let mut altered: Vec<(String, String)> = Vec::new();
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        altered.push((format!("without {name}"), good().without(name).sign()));
        for value in [Value::Null, json!(""), json!(7), json!(["x"])] {
            altered.push((format!("{name} {value}"), good().claim(name, value).sign()));
        }
    }
    for (name, value) in [
        ("htm", json!("POST")),
        ("htm", json!("get")),
        ("htu", json!(format!("{url}/"))),
        ("htu", json!(stack.public_url)),
        ("htu", json!(url.replace("https://", "http://"))),
        ("htu", json!(url.replace("https://", "https://evil."))),
        ("jti", json!("x".repeat(129))),
        ("iat", json!(now - 62)),
        ("iat", json!(now + 40)),
        ("ath", json!(encode(&[0; 32]))),
    ] {
        altered.push((format!("{name} {value}"), good().claim(name, value).sign()));
    }
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!("at+jwt")),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("EdDSA")),
        ("jwk", json!(null)),
        ("jwk", other.jwk()),
        ("jwk", private),
        ("jwk", off_curve),
        ("jwk", json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&[0; 32]) })),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        altered.push((format!("header {name} {value}"), good().parameter(name, value).sign()));
    }
    altered.push(("another key".into(), proof(&stack, &session, &other).sign()));
    let long = good().claim("filler", json!("x".repeat(4096))).sign();
    let text = good().sign();
    altered.push(("huge".into(), long));
    altered.push(("two joined".into(), format!("{text},{}", good().sign())));
    altered.push(("no signature".into(), text.rsplit_once('.').expect("parts").0.to_owned() + "."));
    altered.push(("no JWS".into(), "x".into()));
    altered.push(("empty".into(), String::new()));
    let doubled = good().claims.to_string().replacen('{', "{\"htm\":\"GET\",", 1);
    altered.push(("a member twice".into(), key.sign_text(&good().header.to_string(), &doubled)));
    for (what, proof) in altered {
        let request = stack.request("GET", &session_path(&session.session_id)).dpop(&session.access_token, &proof);
        let refused = request.send().await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "dpop_proof_invalid"), "{what}: {refused:?}");
        let challenge = "DPoP realm=\"sessions\", error=\"invalid_dpop_proof\", algs=\"ES256\"";
        assert_eq!(refused.header("www-authenticate"), challenge, "{what}");
    }
    let twice = read(&stack, &session, &good()).proof(&good().sign()).send().await;
    twice.expect_problem(401, "dpop_proof_invalid");
    // Nothing of all that did any harm.
    read(&stack, &session, &good()).send().await.expect(200);
    let foreign_header = good().parameter("kid", json!("mine"));
    read(&stack, &session, &foreign_header).send().await.expect(200);
}

/// RFC 9449 §4.3: the URI is compared after normalisation, without its query.
#[tokio::test]
async fn the_uri_of_a_proof_is_compared_after_normalisation() {
    let stack = Stack::start().await;
    let key = ClientKey::new();
    let user = "Ünï ä/b";
    let session = bound(&stack.app, user, &key).await;
    let path = user_path(user);
    let list = |url: String, query: &str| {
        let proof = key.proof(&stack, "GET", &path).of_token(&session.access_token).claim("htu", json!(url));
        stack.request("GET", &format!("{path}{query}")).dpop(&session.access_token, &proof.sign()).send()
    };
    let url = format!("{}{path}", stack.public_url);
    list(url.clone(), "?limit=1").await.expect(200);
    list(format!("{url}?limit=1#x"), "?limit=1").await.expect(200);
    list(url.replace("https://", "HTTPS://").replace(".sessions.test", ".Sessions.Test:443"), "").await.expect(200);
    list(url.replace("/sessions/user/", "/sessions/./x/../user/"), "").await.expect(200);
    list(url.replace("%C3%", "%c3%"), "").await.expect(200);
    list(url.replace("/user/", "/User/"), "").await.expect_problem(401, "dpop_proof_invalid");
}

/// T-13: a proof is good once, in whatever environment.
#[tokio::test]
async fn t_13_a_proof_is_good_once_in_every_environment() {
    let stack = Stack::builder().with_clock().start().await;
    let key = ClientKey::new();
    let session = bound(&stack.app, "ada", &key).await;
    let used = proof(&stack, &session, &key);
    let at = |environment: usize| read(&stack, &session, &used).on_environment(environment).send();
    at(0).await.expect(200);
    at(0).await.expect_problem(401, "dpop_proof_invalid");
    at(1).await.expect_problem(401, "dpop_proof_invalid");
    stack.advance(Duration::from_secs(59));
    at(2).await.expect_problem(401, "dpop_proof_invalid");
    // The id alone does not make it another proof's repetition: another key, another place.
    let (other, jti) = (ClientKey::new(), used.claims["jti"].clone());
    let second = bound(&stack.app, "ada", &other).await;
    read(&stack, &second, &proof(&stack, &second, &other).claim("jti", jti.clone())).send().await.expect(200);
    let path = user_path("ada");
    let elsewhere = key.proof(&stack, "GET", &path).of_token(&session.access_token).claim("jti", jti);
    stack.request("GET", &path).dpop(&session.access_token, &elsewhere.sign()).send().await.expect(200);

    let (one, two) = tokio::join!(
        read(&stack, &session, &proof(&stack, &session, &key).claim("jti", json!("race"))).on_environment(0).send(),
        read(&stack, &session, &proof(&stack, &session, &key).claim("jti", json!("race"))).on_environment(1).send(),
    );
    let mut statuses = [one.status, two.status];
    statuses.sort();
    assert_eq!(statuses, [200, 401]);
}

/// T-06: without the key a refresh token is worth nothing, and trying uses up nothing.
#[tokio::test]
async fn t_06_refresh_needs_the_key_and_a_failed_one_uses_up_nothing() {
    let stack = Stack::builder().with_clock().start().await;
    let (key, other) = (ClientKey::new(), ClientKey::new());
    let session = bound(&stack.app, "ada", &key).await;
    let token = &session.refresh_token;
    let none = refresh(&stack, &session, token).send().await.expect_problem(401, "dpop_proof_invalid");
    assert_ne!(none.header("dpop-nonce"), "");
    let foreign = refresh_proof(&stack, &session, &other).sign();
    refresh(&stack, &session, token).proof(&foreign).send().await.expect_problem(401, "dpop_proof_invalid");
    // The application can not stand in for its client.
    stack.app.refresh(&session.session_id, token).await.expect_problem(401, "dpop_proof_invalid");
    let active = stack.app.introspect(token).await.expect(200).json();
    assert_eq!(active["active"], true, "the token is still the current one");
    let good = refresh_proof(&stack, &session, &key).sign();
    let next = refresh(&stack, &session, token).proof(&good).send().await.expect(200).json();
    assert_eq!(next["tokenType"], "DPoP");
    refresh(&stack, &session, token).proof(&good).send().await.expect_problem(401, "dpop_proof_invalid");

    // After the window a thief without the key can not even end the session; the key's owner would.
    stack.advance(Duration::from_secs(11));
    let foreign = refresh_proof(&stack, &session, &other).sign();
    refresh(&stack, &session, token).proof(&foreign).send().await.expect_problem(401, "dpop_proof_invalid");
    let own = refresh_proof(&stack, &session, &key).sign();
    let current = text(&next["refreshToken"]);
    refresh(&stack, &session, &current).proof(&own).send().await.expect(200);
    let own = refresh_proof(&stack, &session, &key).sign();
    refresh(&stack, &session, token).proof(&own).send().await.expect_problem(401, "refresh_token_reused");
}

/// The grace window of a policy is kept in full for a session that is bound to a key, and cut for one that is not.
#[tokio::test]
async fn a_long_grace_window_needs_the_key() {
    let policy = json!({ "refreshGraceSeconds": 300 });
    let stack = Stack::builder().with_clock().with_policy(policy).start().await;
    let key = ClientKey::new();
    let session = bound(&stack.app, "ada", &key).await;
    let present = async || {
        let proof = refresh_proof(&stack, &session, &key).sign();
        refresh(&stack, &session, &session.refresh_token).proof(&proof).send().await
    };
    let first = present().await.expect(200).json();
    stack.advance(Duration::from_secs(290));
    assert_eq!(present().await.expect(200).json()["refreshToken"], first["refreshToken"]);
    let plain = stack.app.start_session("ada").await;
    stack.app.refresh(&plain.session_id, &plain.refresh_token).await.expect(200);
    stack.advance(Duration::from_secs(40));
    let late = stack.app.refresh(&plain.session_id, &plain.refresh_token).await;
    late.expect_problem(401, "refresh_token_reused");
}

/// An outage is a 503, and what was used up before it is another proof's.
#[tokio::test]
async fn without_redis_a_proof_is_neither_accepted_nor_refused() {
    let stack = Stack::start().await;
    let key = ClientKey::new();
    let session = bound(&stack.app, "ada", &key).await;
    read(&stack, &session, &proof(&stack, &session, &key)).send().await.expect(200);
    stack.redis().stop().await;
    let away = read(&stack, &session, &proof(&stack, &session, &key)).send().await;
    away.expect_problem(503, "dependency_unavailable");
    let path = session_path(&session.session_id);
    let end = key.proof(&stack, "DELETE", &path).of_token(&session.access_token).sign();
    let away = stack.request("DELETE", &path).dpop(&session.access_token, &end).send().await;
    away.expect_problem(503, "dependency_unavailable");
    // An application ends it all the same.
    stack.app.delete(&session.session_id).await.expect(202);
}
