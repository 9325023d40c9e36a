use super::support::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::{Stack, Value, json};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use std::collections::BTreeMap;

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const AUDIENCE: &str = "https://receiver.example/caep";

fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

/// Header and claims of a token that a published key has signed, by another path than the service's.
async fn verified(stack: &Stack, token: &str) -> (Value, Value) {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let header: Value = serde_json::from_slice(&decode(parts[0])).expect("a header");
    let jwks = stack.request("GET", "/.well-known/jwks.json").send().await.expect(200).json();
    let keys = jwks["keys"].as_array().expect("keys");
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("a published key");
    let coordinate = |name: &str| decode(key[name].as_str().expect("a coordinate"));
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let signed = token.rsplit_once('.').expect("three parts").0;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    public.verify(signed.as_bytes(), &decode(parts[2])).expect("a genuine signature");
    (header, serde_json::from_slice(&decode(parts[1])).expect("claims"))
}

/// RFC 8417, RFC 8935, CAEP: one signed event per token, typed, without `sub` and `exp`, told to its audience.
#[tokio::test]
async fn ends_are_pushed_as_session_revoked_tokens() {
    let stack = builder().start().await;
    let hook = Hook::start().await;
    hook.answer(Answer::Status(202));
    let receiver = json!({"receiverId": "caep", "url": hook.url(), "kind": "ssf", "audience": AUDIENCE});
    let added = add_receiver(&stack, &stack.app, receiver).await;
    assert_eq!(added.get("receiverSecret"), None, "public keys verify it");

    let by_application = stack.app.start_session("ada").await;
    stack.app.delete(&by_application.session_id).await.expect(204);
    let by_holder = stack.app.start_session("ada").await;
    let own = stack.request("DELETE", &format!("/sessions/{}", by_holder.session_id)).bearer(&by_holder.access_token);
    own.send().await.expect(204);
    let revoked = stack.app.start_session("bob").await;
    stack.app.delete_user_sessions("bob").await.expect(204);
    assert_eq!(stack.run_write_audit().await["handedOver"], 4);
    assert_eq!(stack.run_deliveries().await["delivered"], 4);

    let client = stack.database().connect().await;
    let rows = integration_tests::audit::rows(&client).await;
    let user = rows.iter().find(|row| row.event.event_type == "user.revoked").expect("a row").event.subject.clone();
    let expected = BTreeMap::from([
        (by_application.session_id, ("admin", "The application ended the session.")),
        (by_holder.session_id, ("user", "The holder ended the session.")),
        (revoked.session_id, ("admin", "All sessions of the user were ended.")),
        (user, ("admin", "All sessions of the user were ended.")),
    ]);
    let mut told = BTreeMap::new();
    for message in hook.received() {
        assert_eq!(message.header("content-type"), "application/secevent+jwt");
        assert_eq!(message.header("accept"), "application/json");
        let (header, claims) = verified(&stack, &message.body).await;
        assert_eq!((&header["typ"], &header["alg"]), (&json!("secevent+jwt"), &json!("ES256")));
        let names: Vec<_> = claims.as_object().expect("claims").keys().map(String::as_str).collect();
        assert_eq!(names, ["aud", "events", "iat", "iss", "jti", "sub_id"]);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(stack.public_url), &json!(AUDIENCE)));
        assert_eq!(claims["sub_id"]["format"], "opaque");
        let events = claims["events"].as_object().expect("events");
        assert_eq!(events.keys().collect::<Vec<_>>(), [SESSION_REVOKED], "one event per token");
        let event = &events[SESSION_REVOKED];
        let of_row = rows.iter().find(|row| claims["jti"] == row.event.event_id.replace('.', "~"));
        let of_row = of_row.expect("the event of the audit");
        assert_eq!(event["event_timestamp"], of_row.event.occurred_at.seconds());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let subject = text(&claims["sub_id"]["id"]);
        told.insert(subject, (text(&event["initiating_entity"]), text(&event["reason_admin"]["en"])));
        // RFC 8725: no endpoint takes it for an access token.
        let refused = stack.request("GET", "/sessions/user/ada").bearer(&message.body).send().await;
        refused.expect_problem(401, "credential_invalid");
        assert_eq!(stack.app.introspect(&message.body).await.expect(200).json()["active"], false);
    }
    let told: BTreeMap<_, _> =
        told.iter().map(|(subject, (entity, reason))| (subject.clone(), (entity.as_str(), reason.as_str()))).collect();
    assert_eq!(told, expected);
}

/// CAEP: a token that comes again has its `jti`, and the next key of the ring when that is in use by then.
#[tokio::test]
async fn a_token_that_comes_again_keeps_its_jti() {
    let stack = builder().with_clock().start().await;
    let hook = Hook::start().await;
    let receiver = json!({"receiverId": "caep", "url": hook.url(), "kind": "ssf", "audience": AUDIENCE});
    add_receiver(&stack, &stack.app, receiver).await;
    end_sessions(&stack, 1).await;
    stack.run_write_audit().await;
    hook.answer(Answer::Status(400));
    assert_eq!(stack.run_deliveries().await["postponed"], 1);
    hook.answer(Answer::Status(202));
    stack.advance(std::time::Duration::from_secs(35));
    assert_eq!(stack.run_deliveries().await["delivered"], 1);
    let received = hook.received();
    let (_, first) = verified(&stack, &received[0].body).await;
    let (_, second) = verified(&stack, &received[1].body).await;
    assert_eq!((&first["jti"], &first["events"]), (&second["jti"], &second["events"]));
    assert!(second["iat"].as_i64() > first["iat"].as_i64());
}
