//! Refresh tokens that prove themselves.
//!
//! `rt_` and base64url of: MAC key id (u8), bucket (u16), session (16 bytes), application family (8 bytes),
//! generation (u32), HMAC-SHA-256 (32 bytes). Nothing of it is stored: the record keeps only the current generation,
//! and the successor of a token is a pure function of the token, so N uses of one token get one byte-identical
//! successor. The key id is part of the token because a successor must not change when the ring rotates.

use super::crypto::{self, SecretKey};
use super::id::{Bucket, SessionId};

const PREFIX: &str = "rt_";
const BODY_BYTES: usize = 31;
const TOKEN_BYTES: usize = BODY_BYTES + 32;

/// A parsed, verified refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// MAC key of the token ring.
    pub mac_key_id: u8,
    /// The session it refreshes.
    pub session: SessionId,
    /// The family: which application's tokens these are under that session.
    pub application_tag: [u8; 8],
    /// Its place in the family, from 1.
    pub generation: u32,
}

impl RefreshToken {
    /// The token's text. A credential: it must reach nothing but the response.
    pub fn encode(&self, key: &SecretKey) -> String {
        let body = self.body();
        let mut bytes = [0; TOKEN_BYTES];
        bytes[..BODY_BYTES].copy_from_slice(&body);
        bytes[BODY_BYTES..].copy_from_slice(&Self::mac(key, &body));
        format!("{PREFIX}{}", crypto::encode(&bytes))
    }

    /// Reads and verifies a token; `key` finds a MAC key by its id. `None` for garbage, which no store ever sees.
    pub fn verify<'a>(text: &str, key: impl FnOnce(u8) -> Option<&'a SecretKey>) -> Option<Self> {
        let bytes: [u8; TOKEN_BYTES] = crypto::decode(text.strip_prefix(PREFIX)?)?;
        let (body, mac) = bytes.split_at(BODY_BYTES);
        let body: &[u8; BODY_BYTES] = body.try_into().ok()?;
        let key = key(body[0])?;
        if !crypto::equal(&Self::mac(key, body), mac) {
            return None;
        }
        let bucket = Bucket::new(u16::from_be_bytes([body[1], body[2]]))?;
        let session = SessionId::from_parts(bucket, body[3..19].try_into().ok()?);
        Some(RefreshToken {
            mac_key_id: body[0],
            session,
            application_tag: body[19..27].try_into().ok()?,
            generation: u32::from_be_bytes(body[27..31].try_into().ok()?),
        })
    }

    /// The same family at another generation.
    pub fn at_generation(self, generation: u32) -> Self {
        RefreshToken { generation, ..self }
    }

    /// Whether a text claims to be a refresh token, verified or not.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    fn body(&self) -> [u8; BODY_BYTES] {
        let mut body = [0; BODY_BYTES];
        body[0] = self.mac_key_id;
        body[1..3].copy_from_slice(&self.session.bucket().number().to_be_bytes());
        body[3..19].copy_from_slice(self.session.bytes());
        body[19..27].copy_from_slice(&self.application_tag);
        body[27..31].copy_from_slice(&self.generation.to_be_bytes());
        body
    }

    fn mac(key: &SecretKey, body: &[u8; BODY_BYTES]) -> [u8; 32] {
        crypto::mac(key, &[b"refresh token", body])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(bucket: u16, session: [u8; 16], generation: u32) -> RefreshToken {
        let bucket = Bucket::new(bucket % 4096).expect("in range");
        RefreshToken {
            mac_key_id: 3,
            session: SessionId::from_parts(bucket, session),
            application_tag: *b"app-tag-",
            generation,
        }
    }

    proptest! {
        #[test]
        fn only_the_untouched_text_verifies(bucket in any::<u16>(), session in any::<[u8; 16]>(), generation in any::<u32>(), position in 3_usize..87, letter in "[A-Za-z0-9_-]") {
            let key = SecretKey::new([1; 32]);
            let token = token(bucket, session, generation);
            let text = token.encode(&key);
            prop_assert_eq!(text.len(), 87);
            prop_assert_eq!(RefreshToken::verify(&text, |id| (id == 3).then_some(&key)), Some(token));
            prop_assert_eq!(RefreshToken::verify(&text, |_| None), None);
            let other = SecretKey::new([2; 32]);
            prop_assert_eq!(RefreshToken::verify(&text, |_| Some(&other)), None);
            let mut changed = text.clone();
            changed.replace_range(position..=position, &letter);
            if changed != text {
                prop_assert_eq!(RefreshToken::verify(&changed, |_| Some(&key)), None);
            }
        }

        #[test]
        fn no_text_makes_the_verifier_panic(text in ".*") {
            let key = SecretKey::new([1; 32]);
            prop_assert_eq!(RefreshToken::verify(&text, |_| Some(&key)), None);
        }
    }

    #[test]
    fn successors_are_a_pure_function() {
        let key = SecretKey::new([1; 32]);
        let first = token(1, [2; 16], 1);
        assert_eq!(first.at_generation(2).encode(&key), first.at_generation(2).encode(&key));
        assert_ne!(first.at_generation(2).encode(&key), first.encode(&key));
    }
}
