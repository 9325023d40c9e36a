//! Public keys of clients: points on P-256, as a JWK states them (RFC 7517, RFC 7518 §6.2).

use super::crypto;
use super::jwt_provider;
use serde_json::{Map, Value};

/// Members of a JWK that only a private or symmetric key has. A client that sends one has given its key away.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// An ES256 key: the coordinates of its point, one after the other. Whether the point lies on the curve shows when a
/// signature is verified: ring refuses any that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 64]);

impl PublicKey {
    /// The key of a JWK; `None` for another kind of key, coordinates of another length, or private members.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
            return None;
        }
        if text("kty") != Some("EC") || text("crv") != Some("P-256") {
            return None;
        }
        if jwk.contains_key("alg") && text("alg") != Some("ES256") {
            return None;
        }
        let (x, y): ([u8; 32], [u8; 32]) = (crypto::decode(text("x")?)?, crypto::decode(text("y")?)?);
        let mut point = [0; 64];
        point[..32].copy_from_slice(&x);
        point[32..].copy_from_slice(&y);
        Some(PublicKey(point))
    }

    /// A key from [`PublicKey::bytes`].
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        PublicKey(bytes)
    }

    /// Both coordinates.
    pub fn bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// RFC 7638 thumbprint, as `jkt` has it.
    pub fn thumbprint(&self) -> String {
        thumbprint(&crypto::encode(&self.0[..32]), &crypto::encode(&self.0[32..]))
    }

    /// Whether a signature (RFC 7518 §3.4) over a message is this key's.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let mut point = [4; 65];
        point[1..].copy_from_slice(&self.0);
        jwt_provider::es256_verifies(&point, message, signature)
    }
}

/// RFC 7638 §3.2: the required members in lexicographic order, without white space.
pub fn thumbprint(x: &str, y: &str) -> String {
    crypto::encode(&crypto::sha256(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes()))
}

/// Whether a text can be a thumbprint: 32 bytes of canonical base64url.
pub fn is_thumbprint(text: &str) -> bool {
    crypto::decode::<32>(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn jwk(value: Value) -> Option<PublicKey> {
        PublicKey::from_jwk(value.as_object().expect("an object"))
    }

    /// RFC 9449 §6.1 gives the thumbprint of the key of its examples.
    #[test]
    fn the_key_of_rfc_9449_has_the_thumbprint_of_rfc_9449() {
        let key = jwk(json!({
            "kty": "EC",
            "crv": "P-256",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        }));
        let thumbprint = key.expect("a key").thumbprint();
        assert_eq!(thumbprint, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        assert!(is_thumbprint(&thumbprint) && !is_thumbprint(&thumbprint[1..]) && !is_thumbprint(""));
    }

    /// T-24: keys of other kinds, short coordinates, private members.
    #[test]
    fn t_24_only_public_p_256_keys_are_taken() {
        let (x, y) = (crypto::encode(&[1; 32]), crypto::encode(&[2; 32]));
        let good = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "a", "use": "sig" });
        assert!(jwk(good.clone()).is_some());
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            changed
        };
        let mut refused = vec![
            with("kty", json!("OKP")),
            with("kty", json!("ec")),
            with("crv", json!("P-384")),
            with("crv", json!("secp256k1")),
            with("alg", json!("ES384")),
            with("x", json!(crypto::encode(&[1; 31]))),
            with("x", json!(crypto::encode(&[1; 33]))),
            with("x", json!(format!("{x}="))),
            with("x", json!(7)),
            with("y", Value::Null),
        ];
        refused.extend(PRIVATE_MEMBERS.iter().map(|name| with(name, json!("AA"))));
        for value in refused {
            assert_eq!(jwk(value.clone()), None, "{value}");
        }
    }

    /// T-24: a point that is not on the curve verifies nothing.
    #[test]
    fn t_24_a_point_off_the_curve_verifies_nothing() {
        for bytes in [[0; 64], [1; 64], [255; 64]] {
            assert!(!PublicKey::from_bytes(bytes).verifies(b"message", &[1; 64]));
        }
    }
}
