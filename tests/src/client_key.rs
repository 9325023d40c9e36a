//! A client with a key of its own, and the proofs that it makes with it (RFC 9449).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::settings;
use crate::stack::Stack;

/// An ES256 key.
pub struct ClientKey(EcdsaKeyPair);

impl Default for ClientKey {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientKey {
    /// A new key.
    pub fn new() -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        ClientKey(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).expect("a pair"))
    }

    /// The public half as a JWK.
    pub fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
    }

    /// RFC 7638 thumbprint of the public half.
    pub fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        encode(digest(&SHA256, text.as_bytes()).as_ref())
    }

    /// A compact JWS of a header and claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A compact JWS of two texts, whatever they are.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature");
        format!("{message}.{}", encode(signature.as_ref()))
    }

    /// A proof for a request to a stack, made at the stack's time. The query of the path is left out, as clients do.
    pub fn proof(&self, stack: &Stack, method: &str, path: &str) -> Proof<'_> {
        let path = path.split('?').next().unwrap_or_default();
        Proof {
            key: self,
            header: json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() }),
            claims: json!({
                "jti": settings::random_hex(12),
                "htm": method,
                "htu": format!("{}{path}", stack.public_url),
                "iat": stack.now().unix_timestamp(),
            }),
        }
    }
}

impl ClientKey {
    /// What a browser sends to bind this key to a session, by the value of `Secure-Session-Registration`.
    pub fn registration(&self, offer: &str) -> Proof<'_> {
        let parameter = |name: &str| {
            let quoted = offer.split_once(&format!(";{name}=\"")).expect("the parameter").1;
            quoted.split('"').next().unwrap_or_default().to_owned()
        };
        Proof {
            key: self,
            header: json!({ "typ": "dbsc+jwt", "alg": "ES256", "jwk": self.jwk() }),
            claims: json!({ "jti": parameter("challenge"), "authorization": parameter("authorization") }),
        }
    }

    /// What a browser sends to show that it has this key, by the value of `Secure-Session-Challenge`.
    pub fn answer(&self, challenge: &str) -> Proof<'_> {
        let challenge = challenge.split('"').nth(1).unwrap_or_default();
        Proof { key: self, header: json!({ "typ": "dbsc+jwt", "alg": "ES256" }), claims: json!({ "jti": challenge }) }
    }
}

/// A proof under construction.
#[must_use = "a proof is a text once it is signed"]
#[derive(Clone)]
pub struct Proof<'a> {
    key: &'a ClientKey,
    /// Its header.
    pub header: Value,
    /// Its claims.
    pub claims: Value,
}

impl Proof<'_> {
    /// For a request that carries this access token.
    pub fn of_token(self, token: &str) -> Self {
        self.claim("ath", json!(encode(digest(&SHA256, token.as_bytes()).as_ref())))
    }

    /// With a nonce.
    pub fn nonce(self, nonce: &str) -> Self {
        self.claim("nonce", json!(nonce))
    }

    /// With another value of a claim.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    /// With another value of a header parameter.
    pub fn parameter(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    /// Without a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().expect("an object").remove(name);
        self
    }

    /// The text.
    pub fn sign(&self) -> String {
        self.key.sign(&self.header, &self.claims)
    }
}

/// base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
