//! Access tokens as a third party sees them: the published keys and RFC 9068, nothing of ours.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::application::SessionTokens;
use integration_tests::{Stack, Value, json};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

use super::{session_path, text};

/// The claims, verified the way a resource server does it.
async fn verify(stack: &Stack, token: &str) -> Value {
    shared::core::jwt_provider::install();
    let published = stack.request("GET", "/.well-known/jwks.json").send().await.expect(200);
    let keys: JwkSet = serde_json::from_slice(&published.body).expect("a key set");
    let header = decode_header(token).expect("a header");
    let key = keys.find(header.kid.as_deref().expect("a kid")).expect("the key is published");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.set_audience(&[&stack.app.id]);
    validation.set_issuer(&[&stack.public_url]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let key = DecodingKey::from_jwk(key).expect("a usable key");
    decode::<Value>(token, &key, &validation).expect("a valid token").claims
}

#[tokio::test]
async fn a_third_party_verifies_tokens_with_the_published_keys() {
    let stack = Stack::start().await;
    let before = stack.now().unix_timestamp();
    let body = json!({ "userId": "ada", "acr": "aal2", "amr": ["pwd", "otp"], "authTime": "2026-01-01T00:00:00Z" });
    let session = SessionTokens::from_created(&stack.app.create_session(body).await);
    let claims = verify(&stack, &session.access_token).await;
    let issued = claims["iat"].as_i64().expect("a number");
    assert!(before <= issued && issued <= stack.now().unix_timestamp());
    let expected = json!({
        "iss": stack.public_url, "sub": "ada", "aud": stack.app.id, "client_id": stack.app.id,
        "sid": session.session_id, "iat": issued, "exp": issued + 300, "jti": claims["jti"],
        "acr": "aal2", "amr": ["pwd", "otp"], "auth_time": 1_767_225_600,
    });
    assert_eq!(claims, expected);
    assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() >= 22), "{claims}");

    let head = session.access_token.split('.').next().expect("a header");
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).expect("base64url")).expect("JSON");
    let members: BTreeSet<&String> = header.as_object().expect("an object").keys().collect();
    assert_eq!(members, BTreeSet::from([&"alg".to_owned(), &"kid".to_owned(), &"typ".to_owned()]));
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("at+jwt")));

    let plain = stack.app.start_session("bob").await;
    let plain = verify(&stack, &plain.access_token).await;
    assert!(["acr", "amr", "auth_time"].iter().all(|absent| plain.get(absent).is_none()), "{plain}");
}

#[tokio::test]
async fn every_token_has_an_id_of_its_own() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let mut ids = BTreeSet::from([text(&verify(&stack, &session.access_token).await["jti"])]);
    let mut refresh_token = session.refresh_token.clone();
    for _ in 0..5 {
        let next = stack.app.refresh(&session.session_id, &refresh_token).await.expect(200).json();
        assert!(ids.insert(text(&verify(&stack, &text(&next["accessToken"])).await["jti"])));
        refresh_token = text(&next["refreshToken"]);
    }
}

#[tokio::test]
async fn no_token_outlives_its_session() {
    let stack = Stack::builder().with_clock().start().await;
    let body = json!({ "userId": "ada", "absoluteTimeoutSeconds": 100 });
    let session = SessionTokens::from_created(&stack.app.create_session(body).await);
    let parse = |value: &Value| {
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(value.as_str().expect("a time"), format).expect("RFC 3339").unix_timestamp()
    };
    let end = parse(&session.document["session"]["absoluteExpiresAt"]);
    let payload = |token: &str| -> Value {
        let part = token.split('.').nth(1).expect("a payload");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    };
    assert_eq!(payload(&session.access_token)["exp"], end);
    assert_eq!(session.document["expiresIn"], 100);
    stack.advance(std::time::Duration::from_secs(70));
    let next = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    let claims = payload(&text(&next["accessToken"]));
    assert_eq!(claims["exp"], end);
    assert_eq!(next["expiresIn"], json!(end - claims["iat"].as_i64().unwrap()));
}

#[tokio::test]
async fn published_keys_are_public_and_may_be_cached() {
    let stack = Stack::start().await;
    let published = stack.request("GET", "/.well-known/jwks.json").send().await.expect(200);
    assert_eq!(published.header("cache-control"), "public, max-age=300");
    let keys = published.json()["keys"].as_array().expect("keys").clone();
    assert_eq!(keys.len(), 1);
    let members: Vec<&String> = keys[0].as_object().expect("a key").keys().collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    let fixed = ["alg", "crv", "kty", "use"].map(|member| text(&keys[0][member]));
    assert_eq!(fixed, ["ES256", "P-256", "EC", "sig"]);
}

/// A key is published a day before it signs, less the minutes our own functions remember: whoever caches the document
/// for hours never meets an unknown key.
#[tokio::test]
async fn rotation_never_surprises_a_verifier() {
    let stack = Stack::builder().with_clock().start().await;
    let day = std::time::Duration::from_secs(24 * 3600);
    // How long our own functions may answer from an earlier look at the keys.
    let remembered = std::time::Duration::from_secs(300);
    let kids = async || -> Vec<String> {
        let published = stack.request("GET", "/.well-known/jwks.json").send().await.expect(200).json();
        published["keys"].as_array().expect("keys").iter().map(|key| text(&key["kid"])).collect()
    };
    let signer = async || {
        let token = stack.app.start_session("ada").await;
        let own = stack.request("GET", &session_path(&token.session_id)).bearer(&token.access_token).send().await;
        own.expect(200);
        decode_header(&token.access_token).expect("a header").kid.expect("a kid")
    };
    let mut signers = BTreeSet::from([signer().await]);
    for _ in 0..2 {
        stack.advance(27 * day);
        for _ in 0..6 {
            stack.run_rotate_keys().await;
            stack.advance(remembered);
            let published = kids().await;
            stack.advance(day - remembered);
            let signer = signer().await;
            assert!(published.contains(&signer), "{signer} was not published in time: {published:?}");
            signers.insert(signer);
        }
    }
    assert_eq!(signers.len(), 3, "66 days see two rotations");
}
