use super::support::{Person, dump, everything, expect_all, expect_none, logs, settings};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::{Stack, Value, audit, json};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use std::time::Duration;

/// After an erasure no store, no log and no backup has anything of the person; the audit verifies.
#[tokio::test]
async fn i_13_t_84_t_100_nothing_of_an_erased_person_is_left_anywhere() {
    let stack = Stack::builder().with_database().start().await;
    let (ada, bob) = (Person::new("ada", 7), Person::new("bob", 8));
    let tokens = ada.live(&stack).await;
    bob.live(&stack).await;
    // Warm environments that have opened her data.
    stack.app.get(&tokens.session_id).await.expect(200);
    stack.app.request("GET", &ada.path("/state")).send().await.expect(200);
    ada.set(&stack, &["activityTracking"]).await.expect(200);
    // Events that wait in the outbox have her personal fields in clear.
    ada.begin(&stack).await;
    expect_all(&ada.words(), "before", &format!("{} {}", everything(&stack).await, ada.export(&stack).await));

    let erased = ada.erase(&stack).send().await.expect(200).json();
    assert_eq!(erased["state"], "complete");
    assert_eq!(erased["counts"]["sessions"], 3, "{erased}");
    assert_eq!((erased["counts"]["devices"].clone(), erased["counts"]["state"].clone()), (json!(1), json!(1)));
    let words = ada.words();
    expect_none(&words, "the stores", &everything(&stack).await);
    expect_none(&words, "a dump", &dump(&stack));
    let mut redis = stack.redis().connection().await;
    let plain = redis::cmd("CONFIG").arg("SET").arg("rdbcompression").arg("no").to_owned();
    plain.query_async::<()>(&mut redis).await.expect("CONFIG SET");
    expect_none(&words, "the snapshot", &String::from_utf8_lossy(stack.redis().snapshot().await.bytes()));
    expect_none(&words, "the logs", &logs(&stack));
    // T-84: what is warm serves nothing.
    let gone = stack.app.get(&tokens.session_id).await.expect_problem(404, "session_ended");
    assert_eq!(gone.json()["reason"], "erased");
    let own =
        stack.request("GET", &format!("/sessions/{}", tokens.session_id)).bearer(&tokens.access_token).send().await;
    own.expect_problem(401, "session_ended");
    let state = stack.app.request("GET", &ada.path("/state")).send().await.expect(200).json();
    assert_eq!(state, json!({ "version": 0, "data": {} }));
    let devices = stack.app.request("GET", &ada.path("/devices")).send().await.expect(200).json();
    assert_eq!(devices["devices"], json!([]));
    let export = ada.export(&stack).await.to_string();
    expect_none(&words, "the export", &export);
    expect_none(&words, "the receipt", &erased.to_string());

    stack.run_write_audit().await;
    expect_none(&words, "the audit", &everything(&stack).await);
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let told: Vec<_> = rows.iter().filter(|row| row.event.event_type == "user.erased").collect();
    assert_eq!(told.len(), 1);
    let expected =
        format!("{},{}", erased["erasureId"].as_str().expect("an id"), erased["receipt"].as_str().expect("one"));
    assert_eq!(told[0].event.detail, expected);
    let ends =
        rows.iter().filter(|row| row.event.reason == "erased" && row.event.event_type == "session.ended").count();
    assert_eq!(ends, 3);
    // Bob has lost nothing.
    expect_all(&bob.words(), "bob's export", &bob.export(&stack).await.to_string());
    let receipt = verified(&stack, erased["receipt"].as_str().expect("a receipt")).await;
    assert_eq!((&receipt["jti"], &receipt["counts"]), (&erased["erasureId"], &erased["counts"]));
    assert_eq!(receipt["sub"], told[0].event.subject.as_str());

    // The same again is the same; whoever comes back is new, under another key, and can be erased again.
    assert_eq!(ada.erase(&stack).send().await.expect(200).json(), erased);
    ada.live(&stack).await;
    let export = ada.export(&stack).await;
    let opened =
        export["audit"].as_array().expect("rows").iter().filter(|row| row["personal"]["userId"] == ada.user.as_str());
    assert_eq!(opened.count(), 2, "what was before opens no more");
    let again = ada.erase(&stack).send().await.expect(200).json();
    assert_ne!(again["erasureId"], erased["erasureId"]);
    expect_none(&words, "the stores", &everything(&stack).await);
}

async fn verified(stack: &Stack, receipt: &str) -> Value {
    shared::core::jwt_provider::install();
    let header = receipt.split('.').next().expect("a header");
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("JSON");
    assert_eq!((header["typ"].clone(), header["alg"].clone()), (json!("erasure-receipt+jwt"), json!("ES256")));
    let keys = stack.request("GET", "/.well-known/jwks.json").send().await.expect(200);
    let keys: JwkSet = serde_json::from_slice(&keys.body).expect("keys");
    let key = keys.find(header["kid"].as_str().expect("a kid")).expect("the key is published");
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    let key = DecodingKey::from_jwk(key).expect("a key");
    jsonwebtoken::decode::<Value>(receipt, &key, &rules).expect("it verifies").claims
}

#[tokio::test]
async fn t_100_a_legal_hold_keeps_everything() {
    let stack = Stack::builder().with_database().start().await;
    let ada = Person::new("ada", 7);
    let tokens = ada.live(&stack).await;
    let mut hold = settings(&[]);
    hold["legalHold"] = json!(true);
    stack.app.request("PUT", &ada.path("/privacy")).json(&hold).send().await.expect(200);
    ada.erase(&stack).send().await.expect_problem(409, "legal_hold");
    stack.app.get(&tokens.session_id).await.expect(200);
    hold["legalHold"] = json!(false);
    stack.app.request("PUT", &ada.path("/privacy")).json(&hold).send().await.expect(200);
    ada.erase(&stack).send().await.expect(200);
}

/// A holder erases itself only when it has authenticated just now, and nobody else.
#[tokio::test]
async fn t_100_a_holder_needs_a_recent_authentication() {
    let stack = Stack::builder().with_database().with_clock().start().await;
    let ada = stack.app.start_session("ada").await;
    let by = |path: &str, tokens: &integration_tests::application::SessionTokens| {
        stack.request("DELETE", path).bearer(&tokens.access_token)
    };
    let eve = stack.app.start_session("eve").await;
    by("/users/ada", &eve).send().await.expect_problem(404, "not_found");
    stack.advance(Duration::from_secs(299));
    let stale = stack.app.start_session("bob").await;
    stack.advance(Duration::from_secs(2));
    by("/users/ada", &ada).send().await.expect_problem(401, "insufficient_user_authentication");
    by("/users/bob", &stale).send().await.expect(200);
    let stranger = stack.create_application(json!({ "name": "No", "scopes": ["users:manage"] })).await;
    stranger.request("DELETE", "/users/ada").send().await.expect_problem(403, "insufficient_scope");
}

/// One of another group of applications is another person.
#[tokio::test]
async fn t_65_an_erasure_stays_in_its_group() {
    let stack = Stack::builder().with_database().start().await;
    let other = stack
        .create_application(
            json!({ "name": "Other", "scopes": ["privacy:manage", "sessions:create", "sessions:read"] }),
        )
        .await;
    let session = integration_tests::application::SessionTokens::from_created(
        &other.create_session(json!({ "userId": "ada" })).await,
    );
    stack.app.start_session("ada").await;
    stack.app.request("DELETE", "/users/ada").send().await.expect(200);
    other.get(&session.session_id).await.expect(200);
}
