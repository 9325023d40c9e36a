//! What is signed and handed out: receipts, security event tokens, cookies, and the bodies of webhooks. Whoever holds one
//! verifies it on their own, so the readers here go another way than the service.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use integration_tests::{Value, json};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use shared::adapters::http::response::{self, with_cookie};
use shared::core::access_token::{self, SigningKey, VerifyingKey};
use shared::core::alerts::{Alert, Rule};
use shared::core::application::Application;
use shared::core::attributes::Attributes;
use shared::core::crypto::SecretKey;
use shared::core::erasure::RECEIPT_TYPE;
use shared::core::notice::Notice;
use shared::core::set;
use shared::core::webhook;
use shared::service::device_bound::{COOKIE, Cookie};

use super::golden;
use super::records::{APPLICATION_WITH_EVERYTHING, at, attributes, erasure, key, session, slot};
use super::{Format, Guard, Read, text};

const ISSUER: &str = "https://sessions.example";
const AUDIENCE: &str = "https://receiver.example";

/// What the one key signs, by the names of the formats.
fn sign(key: &SigningKey) -> [(&'static str, String); 4] {
    let random = [9; 16];
    let claims =
        |attributes: &Attributes| access_token::claims(ISSUER, session(), attributes, at(43_200), at(0), random);
    let user = Notice { session_id: String::new(), reason: "revoke_all".into(), ..ended("user.revoked") };
    [
        ("erasure-receipt", erasure().sign(key, ISSUER, at(90)).expect("a key")),
        ("security-event", set::sign(key, &ended("session.ended"), ISSUER, AUDIENCE, at(5)).expect("a key")),
        ("security-event-of-user", set::sign(key, &user, ISSUER, AUDIENCE, at(5)).expect("a key")),
        ("dbsc-cookie", key.sign(&claims(&attributes())).expect("a key")),
    ]
}

pub fn ended(event_type: &str) -> Notice {
    Notice {
        event_id: "ZXZlbnQ.0".into(),
        event_type: event_type.into(),
        occurred_at: at(3).millis(),
        application_id: "demo".into(),
        subject: slot().subject(),
        session_id: session().to_string(),
        actor: "application".into(),
        reason: "admin".into(),
        alert: None,
    }
}

pub fn alert() -> Notice {
    let alert = Alert {
        alert_id: "alert-1".into(),
        rule: Rule::RefreshReuse,
        application_id: "demo".into(),
        started_at: at(0),
        breached_at: at(0),
        resolved_at: None,
        value: 7.0,
        threshold: 5.0,
    };
    Notice::alert_fired(&alert)
}

/// The tokens, the public half of a key whose other half was forgotten, and a webhook's secret as its receiver was shown it.
fn fixture() -> Value {
    golden::document("signed-v1.json", || {
        let (signing, verifying) = fresh_key();
        let tokens: serde_json::Map<_, _> =
            sign(&signing).into_iter().map(|(name, token)| (name.to_owned(), Value::from(token))).collect();
        json!({ "key": verifying, "tokens": tokens, "secret": webhook::reveal(&secret()) })
    })
}

fn fresh_key() -> (SigningKey, VerifyingKey) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let signing = SigningKey::from_pkcs8(pkcs8.as_ref()).expect("a key");
    (signing, VerifyingKey::from_pkcs8(pkcs8.as_ref()).expect("its public half"))
}

fn token(name: &str) -> String {
    fixture()["tokens"][name].as_str().expect("a token").to_owned()
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// Header and claims of a compact JWS of this type, if the published key signed it.
fn verified(token: &str, kind: &str) -> Option<(Value, Value)> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { return None };
    let key = fixture()["key"].take();
    let coordinate = |name: &str| decode(key[name].as_str().expect("a coordinate")).expect("base64url");
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], coordinate("x"), coordinate("y")].concat());
    let signed = token.rsplit_once('.')?.0;
    public.verify(signed.as_bytes(), &decode(signature)?).ok()?;
    let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
    let good = header["typ"] == kind && header["alg"] == "ES256" && header["kid"] == key["kid"];
    Some((header, serde_json::from_slice(&decode(claims)?).ok()?)).filter(|_| good)
}

fn read_signed(bytes: &[u8], kind: &str) -> Option<Read> {
    let (header, claims) = verified(text(bytes)?, kind)?;
    let told = |value: &Value| serde_json::to_string_pretty(value).expect("JSON");
    Some(Read { says: format!("{}\n{}", told(&header), told(&claims)), again: None })
}

/// `Set-Cookie` as a browser gets it.
fn cookie(value: String) -> Vec<u8> {
    let response = with_cookie(response::empty(StatusCode::OK), &Cookie { value, max_age_seconds: 300 });
    response.headers()[SET_COOKIE].as_bytes().to_vec()
}

/// The service reads the cookie's value; the rest is the browser's to read.
fn read_cookie(bytes: &[u8]) -> Option<Read> {
    let pair = text(bytes)?.strip_prefix(COOKIE)?.strip_prefix('=')?;
    let value = pair.split(';').next()?;
    let key: VerifyingKey = serde_json::from_value(fixture()["key"].take()).expect("a key");
    let claims = access_token::verify(value, &[key], ISSUER, at(10)).ok()?;
    let again = cookie(value.to_owned());
    (again == bytes).then(|| Read { says: serde_json::to_string_pretty(&claims).expect("JSON"), again: Some(again) })
}

const NAMES: [&str; 3] = ["webhook-id: ", "webhook-timestamp: ", "webhook-signature: "];

fn secret() -> SecretKey {
    let application: Application = serde_json::from_str(APPLICATION_WITH_EVERYTHING).expect("an application");
    application.receivers[0].secret(&key(), &application.application_id)
}

/// A webhook as it is sent: its headers, an empty line, its body.
fn message(notice: &Notice) -> Vec<u8> {
    let (id, seconds, body) = (notice.message_id(), at(5).seconds(), webhook::body(notice));
    let signature = webhook::signature(&secret(), &id, seconds, &body);
    let headers = NAMES.iter().zip([id, seconds.to_string(), signature]);
    let headers: String = headers.map(|(name, value)| format!("{name}{value}\n")).collect();
    format!("{headers}\n{body}").into_bytes()
}

/// As receivers verify it: with the secret that they were shown when they were added.
fn read_message(bytes: &[u8]) -> Option<Read> {
    let shown = fixture()["secret"].take();
    let (headers, body) = text(bytes)?.split_once("\n\n")?;
    let lines: Vec<&str> = headers.split('\n').collect();
    let [id, seconds, signature] = lines[..] else { return None };
    let (id, seconds) = (id.strip_prefix(NAMES[0])?, seconds.strip_prefix(NAMES[1])?);
    let signature = STANDARD.decode(signature.strip_prefix(NAMES[2])?.strip_prefix("v1,")?).ok()?;
    let secret = STANDARD.decode(shown.as_str()?.strip_prefix("whsec_")?).expect("base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    hmac::verify(&key, format!("{id}.{seconds}.{body}").as_bytes(), &signature).ok()?;
    let body: Value = serde_json::from_str(body).ok()?;
    let says = format!("{headers}\n{}", serde_json::to_string_pretty(&body).expect("JSON"));
    Some(Read { says, again: Some(bytes.to_vec()) })
}

pub fn formats() -> Vec<Format> {
    let format = |name, sample: fn() -> Vec<u8>, read| Format { name, guard: Guard::Genuine, sample, read, later: &[] };
    vec![
        format("erasure-receipt", || token("erasure-receipt").into_bytes(), |bytes| read_signed(bytes, RECEIPT_TYPE)),
        format("security-event", || token("security-event").into_bytes(), |bytes| read_signed(bytes, set::TYPE)),
        format(
            "security-event-of-user",
            || token("security-event-of-user").into_bytes(),
            |bytes| read_signed(bytes, set::TYPE),
        ),
        format("dbsc-cookie", || cookie(token("dbsc-cookie")), read_cookie),
        format("webhook-event", || message(&ended("session.ended")), read_message),
        format("webhook-alert", || message(&alert()), read_message),
    ]
}

/// Signatures differ each time, what is signed does not: header but for the name of the key, and claims, byte by byte.
#[test]
fn what_is_signed_is_written_as_it_was() {
    let document = fixture();
    let (signing, verifying) = fresh_key();
    let old_kid = document["key"]["kid"].as_str().expect("a name");
    for (name, fresh) in sign(&signing) {
        let old = document["tokens"][name].as_str().expect(name);
        let part = |token: &str, number: usize| {
            let part = token.split('.').nth(number).expect("three parts");
            String::from_utf8(decode(part).expect("base64url")).expect("JSON")
        };
        assert_eq!(part(&fresh, 0), part(old, 0).replace(old_kid, &verifying.kid), "header of {name}");
        assert_eq!(part(&fresh, 1), part(old, 1), "claims of {name}");
    }
    assert_eq!(document["tokens"].as_object().expect("tokens").len(), sign(&signing).len());
}
