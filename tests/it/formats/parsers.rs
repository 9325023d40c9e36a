//! Readers of what others write: proofs, keys, documents, headers, files. Their inputs are no format of this service, so
//! what holds for them is said one by one.

use std::net::IpAddr;

use integration_tests::mmdb::{self, Network};
use integration_tests::{ClientKey, json};
use shared::adapters::geo::Places;
use shared::config::GeoConfig;
use shared::core::access_token::VerifyingKey;
use shared::core::analytics::calendar::Zone;
use shared::core::client_jws::ClientJws;
use shared::core::context::ClientContext;
use shared::core::dbsc::{NewKey, answered_challenge};
use shared::core::dpop;
use shared::core::fingerprint::Fingerprint;
use shared::core::keyring::{KeyUse, Ring, RingKey};
use shared::core::policy::{Policy, PrefixBits};
use shared::core::public_key::PublicKey;
use shared::core::receiver_url::Target as ReceiverUrl;
use shared::core::time::Timestamp;
use shared::core::user_agent::{self, UserAgent};
use shared::core::{json as bodies, target_uri};
use shared::service::manage_applications::{Changes, NewApplication};

use super::driver::Target;
use super::records::{at, key, session};
use super::text;

fn target(name: &str, corpus: Vec<Vec<u8>>, feed: impl Fn(&[u8], &[u8]) + 'static) -> Target {
    Target { name: name.to_owned(), corpus, feed: Box::new(feed) }
}

/// For readers of texts, which the gateway and the body parser have made sure to be UTF-8.
fn texts(name: &str, corpus: &[&str], feed: impl Fn(&str) + 'static) -> Target {
    let corpus = corpus.iter().map(|text| text.as_bytes().to_vec()).collect();
    target(name, corpus, move |bytes, _| feed(&String::from_utf8_lossy(bytes)))
}

const POLICY: &str = r#"{"idleTimeoutSeconds":1800,"absoluteTimeoutSeconds":43200,"refreshGraceSeconds":10,
    "sessionLimit":{"max":3,"onLimit":"evict_oldest"}}"#;

pub fn targets() -> Vec<Target> {
    [proofs(), documents(), headers()].into_iter().flatten().collect()
}

fn proofs() -> Vec<Target> {
    let client = ClientKey::new();
    let jwk = client.jwk();
    let dpop_header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    let claims =
        json!({ "jti": "one", "htm": "POST", "htu": "https://sessions.example/token", "iat": at(0).seconds() });
    let proof = client.sign(&dpop_header, &claims);
    let dbsc_header = json!({ "typ": "dbsc+jwt", "alg": "ES256", "jwk": jwk });
    let registration = client.sign(&dbsc_header, &json!({ "jti": "challenge", "authorization": "code" }));
    let known = json!({ "typ": "dbsc+jwt", "alg": "ES256" });
    let answer = client.sign(&known, &json!({ "jti": "challenge" }));
    let public = PublicKey::from_jwk(jwk.as_object().expect("an object")).expect("a key");
    vec![
        target("dpop-proof", vec![proof.clone().into_bytes()], |bytes, original| {
            let request =
                dpop::Request { method: "POST", base: "https://sessions.example", path: "/token", access_token: None };
            let Some(proof) = text(bytes) else { return };
            if dpop::verify(proof, &request, at(1)).is_ok() {
                assert_eq!(bytes, original, "a changed proof is good");
            }
        }),
        target("client-jws", vec![proof.into_bytes()], |bytes, original| {
            let Some(jws) = text(bytes).and_then(|text| ClientJws::parse(text, "dpop+jwt", 4096).ok()) else { return };
            if let Some(key) = &jws.key
                && jws.is_signed_by(key)
            {
                assert_eq!(bytes, original, "a changed JWS is signed");
            }
        }),
        target("dbsc-registration", vec![registration.into_bytes()], |bytes, original| {
            let Some(proof) = text(bytes).and_then(NewKey::parse) else { return };
            if proof.answers("challenge") {
                assert_eq!(bytes, original, "a changed registration is good");
            }
        }),
        target("dbsc-answer", vec![answer.into_bytes()], move |bytes, original| {
            if text(bytes).and_then(|text| answered_challenge(text, &public)).is_some() {
                assert_eq!(bytes, original, "a changed answer is good");
            }
        }),
        target("jwk", vec![jwk.to_string().into_bytes()], |bytes, _| {
            let Ok(jwk) = serde_json::from_slice::<serde_json::Map<_, _>>(bytes) else { return };
            if let Some(key) = PublicKey::from_jwk(&jwk) {
                assert_eq!(PublicKey::from_bytes(*key.bytes()).thumbprint(), key.thumbprint());
                assert!(!key.verifies(b"message", &[0; 64]), "a signature of zeros");
            }
        }),
        target("jwks-key", vec![super::tokens::ACCESS_TOKEN_KEY.trim().as_bytes().to_vec()], |bytes, _| {
            drop(serde_json::from_slice::<VerifyingKey>(bytes));
        }),
    ]
}

fn documents() -> Vec<Target> {
    let application =
        format!(r#"{{"applicationId":"demo","name":"Demo","scopes":["sessions:read"],"policy":{POLICY}}}"#);
    let ring = Ring { keys: vec![RingKey::new(1, KeyUse::Mac, at(0), key().expose())] };
    let ring = serde_json::to_vec(&ring).expect("JSON");
    let database = mmdb::write(&[Network {
        octets: vec![203, 0, 113],
        country: "AT",
        city: "Linz",
        latitude: 48.3,
        longitude: 14.3,
    }]);
    vec![
        target("policy", vec![POLICY.as_bytes().to_vec()], |bytes, _| {
            let Ok(policy) = bodies::parse::<Policy>(bytes) else { return };
            drop(policy.violations());
            let again = serde_json::to_vec(&policy).expect("JSON");
            assert_eq!(bodies::parse::<Policy>(&again), Ok(policy));
        }),
        target("new-application", vec![application.into_bytes()], |bytes, _| {
            drop(bodies::parse::<NewApplication>(bytes));
            drop(bodies::parse::<Changes>(bytes));
        }),
        target("json-body", vec![br#"{"data":{"a":[1,2,{"b":null}]},"x":1e9}"#.to_vec()], |bytes, _| {
            if let Err(error) = bodies::parse::<serde_json::Value>(bytes) {
                assert!(!error.field.is_empty());
            }
        }),
        target("key-ring", vec![ring], |bytes, _| {
            let Ok(ring) = serde_json::from_slice::<Ring>(bytes) else { return };
            drop(ring.active(KeyUse::Mac, at(1)).map(RingKey::secret_key));
            drop(ring.verifying_keys());
        }),
        target("mmdb", vec![database], |bytes, _| {
            let Ok(places) = Places::new(GeoConfig { database: Some(bytes.to_vec()) }) else { return };
            for address in ["203.0.113.9", "198.51.100.1", "2001:db8::1"] {
                let address: IpAddr = address.parse().expect("an address");
                drop(places.locate(&ClientContext { address: Some(address), ..ClientContext::default() }));
            }
        }),
    ]
}

fn headers() -> Vec<Target> {
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0.0.0 Safari/537.36 Edg/140.0";
    vec![
        texts("user-agent", &[FIREFOX, EDGE, "curl/8.5.0"], |text| {
            drop(user_agent::parse(text));
            if let Some(agent) = UserAgent::parse(text) {
                assert!(text.contains(agent.family) || agent.family.len() < 20);
            }
        }),
        texts("fingerprint-header", &[r#"{"canvas":"a1","fonts":"b2"}"#, "canvas=a1;fonts=b2", "one"], |text| {
            let context = ClientContext { fingerprint: Some(text.to_owned()), ..ClientContext::default() };
            let fingerprint = Fingerprint::of(&context, &key(), &session(), PrefixBits { v4: 24, v6: 48 });
            assert_eq!(Fingerprint::decode(&fingerprint.encode()), Some(fingerprint));
        }),
        texts("target-uri", &["https://sessions.example/token", "https://SESSIONS.example:443/%74oken?x#y"], |text| {
            let _ = target_uri::is_same(text, "https://sessions.example", "/token");
        }),
        texts("receiver-url", &["https://hooks.example/events?x=1", "http://127.0.0.1:80/"], |text| {
            if let Ok(target) = ReceiverUrl::parse(text, false) {
                assert!(!target.host.is_empty() && target.path.starts_with('/'));
            }
        }),
        texts("instant", &["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+01:00"], |text| {
            if let Some(instant) = Timestamp::parse(text) {
                assert_eq!(Timestamp::parse(&instant.to_string()), Some(instant));
            }
        }),
        texts("time-zone", &["Europe/Vienna", "UTC"], |text| drop(Zone::parse(text))),
    ]
}
