//! One-time codes that hand a session to a related application.
//!
//! `sc_` and base64url of: bucket (u16), session (16 bytes), tag of the application it is for (8 bytes), 16 random
//! bytes. What is stored is a digest, for a minute, under session and application: a newer code replaces an older one,
//! and a withdrawal removes it.

use super::crypto;
use super::id::{Bucket, SessionId};

const PREFIX: &str = "sc_";
const CODE_BYTES: usize = 42;

/// A code. It does not print: whoever has it, and is the application it is for, gets the session.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareCode {
    /// The session it hands over.
    pub session: SessionId,
    /// The application it is for.
    pub application_tag: [u8; 8],
    secret: [u8; 16],
}

impl std::fmt::Debug for ShareCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShareCode(redacted)")
    }
}

impl ShareCode {
    /// A code from 16 random bytes.
    pub fn new(session: SessionId, application_tag: [u8; 8], secret: [u8; 16]) -> Self {
        ShareCode { session, application_tag, secret }
    }

    /// The code's text.
    pub fn text(&self) -> String {
        format!("{PREFIX}{}", crypto::encode(&self.bytes()))
    }

    /// Reads a code; `None` for anything that was never issued in this form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; CODE_BYTES] = crypto::decode(text.strip_prefix(PREFIX)?)?;
        let bucket = Bucket::new(u16::from_be_bytes([bytes[0], bytes[1]]))?;
        Some(ShareCode {
            session: SessionId::from_parts(bucket, bytes[2..18].try_into().ok()?),
            application_tag: bytes[18..26].try_into().ok()?,
            secret: bytes[26..].try_into().ok()?,
        })
    }

    /// What the store keeps of it.
    pub fn digest(&self) -> [u8; 16] {
        let hash = crypto::hash(&[b"share code", &self.bytes()]);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash[..16]);
        digest
    }

    fn bytes(&self) -> [u8; CODE_BYTES] {
        let mut bytes = [0; CODE_BYTES];
        bytes[..2].copy_from_slice(&self.session.bucket().number().to_be_bytes());
        bytes[2..18].copy_from_slice(self.session.bytes());
        bytes[18..26].copy_from_slice(&self.application_tag);
        bytes[26..].copy_from_slice(&self.secret);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_read_back_and_differ(session in any::<[u8; 16]>(), tag in any::<[u8; 8]>(), secret in any::<[u8; 16]>()) {
            let session = SessionId::from_parts(Bucket::new(7).expect("in range"), session);
            let code = ShareCode::new(session, tag, secret);
            prop_assert_eq!(ShareCode::parse(&code.text()), Some(code.clone()));
            let mut other = secret;
            other[0] ^= 1;
            prop_assert_ne!(ShareCode::new(session, tag, other).digest(), code.digest());
            prop_assert_eq!(format!("{code:?}"), "ShareCode(redacted)");
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            prop_assert_eq!(ShareCode::parse(&text), None);
        }
    }
}
