//! Compact JWS that clients sign with keys of their own (RFC 7515): what every proof of possession has in common.
//!
//! The header may bring one public key, in `jwk`, where the caller wants one; whatever else could bring or name a key,
//! or change how the signature is to be read, is refused. ES256 is the only algorithm.

use super::crypto;
use super::json::StrictObject;
use super::public_key::PublicKey;
use serde_json::{Map, Value};

/// Header parameters that name a key elsewhere, wrap the payload, or demand extensions that nobody here implements
/// (RFC 8725 §3.10; T-27).
const REFUSED_PARAMETERS: [&str; 11] =
    ["jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "cty", "epk"];

/// A JWS whose shape is right; its signature is not verified yet.
pub struct ClientJws<'a> {
    /// The key of the header, when there is one.
    pub key: Option<PublicKey>,
    /// The claims.
    pub claims: Map<String, Value>,
    message: &'a [u8],
    signature: [u8; 64],
}

/// The text is no such JWS, or its header is one we do not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl<'a> ClientJws<'a> {
    /// Takes a JWS apart. The cheap checks come first: length, alphabet, header (T-35).
    pub fn parse(text: &'a str, typ: &str, bytes_max: usize) -> Result<Self, Malformed> {
        if text.len() > bytes_max {
            return Err(Malformed);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Malformed)?;
        let signature = crypto::decode(signature).ok_or(Malformed)?;
        let header = object(header)?;
        let is = |name: &str, wanted: &str| header.get(name).and_then(Value::as_str) == Some(wanted);
        if !is("alg", "ES256") || !is("typ", typ) || REFUSED_PARAMETERS.iter().any(|name| header.contains_key(*name)) {
            return Err(Malformed);
        }
        let key = match header.get("jwk") {
            None => None,
            Some(jwk) => Some(jwk.as_object().and_then(PublicKey::from_jwk).ok_or(Malformed)?),
        };
        Ok(ClientJws { key, claims: object(payload)?, message: message.as_bytes(), signature })
    }

    /// Whether the signature is this key's.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.message, &self.signature)
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }
}

/// A part of the JWS: base64url of a JSON object without duplicate members.
fn object(part: &str) -> Result<Map<String, Value>, Malformed> {
    let bytes = crypto::decode_vec(part).ok_or(Malformed)?;
    serde_json::from_slice::<StrictObject>(&bytes).map(|object| object.0).map_err(|_| Malformed)
}

/// Clients for the tests of proofs.
#[cfg(test)]
pub(crate) mod client {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    /// A client with a key.
    pub(crate) struct Client(EcdsaKeyPair);

    impl Client {
        /// With a new key.
        pub(crate) fn new() -> Self {
            let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
            Client(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).expect("a pair"))
        }

        /// Its public key as a JWK.
        pub(crate) fn jwk(&self) -> Value {
            let point = self.0.public_key().as_ref();
            json!({ "kty": "EC", "crv": "P-256", "x": crypto::encode(&point[1..33]), "y": crypto::encode(&point[33..]) })
        }

        /// Its public key.
        pub(crate) fn key(&self) -> PublicKey {
            PublicKey::from_jwk(self.jwk().as_object().expect("an object")).expect("a key")
        }

        /// Signs two texts as header and payload.
        pub(crate) fn sign(&self, header: &str, payload: &str) -> String {
            let message = format!("{}.{}", crypto::encode(header.as_bytes()), crypto::encode(payload.as_bytes()));
            let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature");
            format!("{message}.{}", crypto::encode(signature.as_ref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::client::Client;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn only_the_untouched_text_is_signed_by_the_key() {
        let (client, other) = (Client::new(), Client::new());
        let header = json!({ "typ": "t+jwt", "alg": "ES256", "jwk": client.jwk() }).to_string();
        let text = client.sign(&header, r#"{"a":"b"}"#);
        let jws = ClientJws::parse(&text, "t+jwt", 2048).expect("parses");
        assert_eq!((jws.key, jws.text("a"), jws.text("b")), (Some(client.key()), Some("b"), None));
        assert!(jws.is_signed_by(&client.key()) && !jws.is_signed_by(&other.key()));
        assert!(ClientJws::parse(&text, "u+jwt", 2048).is_err() && ClientJws::parse(&text, "t+jwt", 10).is_err());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ascii");
            let good = ClientJws::parse(&changed, "t+jwt", 2048).is_ok_and(|jws| jws.is_signed_by(&client.key()));
            assert!(!good, "byte {at}");
        }
    }

    /// T-27: nothing in a header brings or names a key but `jwk`, and nothing changes what is signed.
    #[test]
    fn t_27_headers_that_bring_keys_or_extensions_are_refused() {
        let client = Client::new();
        let with = |name: &str, value: Value| {
            let mut header = json!({ "typ": "t+jwt", "alg": "ES256", "jwk": client.jwk() });
            header[name] = value;
            client.sign(&header.to_string(), "{}")
        };
        assert!(ClientJws::parse(&with("kid", json!("x")), "t+jwt", 2048).is_ok());
        for name in REFUSED_PARAMETERS {
            assert!(ClientJws::parse(&with(name, json!(["exp"])), "t+jwt", 2048).is_err(), "{name}");
        }
        for alg in ["none", "HS256", "RS256", "ES384", "EdDSA", "es256"] {
            assert!(ClientJws::parse(&with("alg", json!(alg)), "t+jwt", 2048).is_err(), "{alg}");
        }
        let doubled = r#"{"typ":"t+jwt","alg":"ES256","alg":"ES256"}"#;
        assert!(ClientJws::parse(&client.sign(doubled, "{}"), "t+jwt", 2048).is_err());
        let header = r#"{"typ":"t+jwt","alg":"ES256"}"#;
        for payload in ["", "[]", "1", r#"{"a":1,"a":2}"#, "{} {}", "{"] {
            assert!(ClientJws::parse(&client.sign(header, payload), "t+jwt", 2048).is_err(), "{payload}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*", dotted in "[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,90}") {
            prop_assert!(ClientJws::parse(&text, "t+jwt", 2048).is_err());
            prop_assert!(ClientJws::parse(&dotted, "t+jwt", 2048).is_err());
        }
    }
}
