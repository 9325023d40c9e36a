//! Application keys, `sk_<applicationId>_<secret>`: 256 random bits, of which only the SHA-256 is stored.

use super::crypto;
use super::id::ApplicationId;
use zeroize::Zeroizing;

const PREFIX: &str = "sk_";

/// A parsed application key; it does not print.
pub struct ApplicationKey {
    /// The application it claims to be.
    pub application_id: ApplicationId,
    secret: Zeroizing<[u8; 32]>,
}

impl ApplicationKey {
    /// Makes a key from 32 random bytes.
    pub fn new(application_id: ApplicationId, secret: [u8; 32]) -> Self {
        ApplicationKey { application_id, secret: Zeroizing::new(secret) }
    }

    /// Reads `sk_<applicationId>_<secret>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (application_id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        Some(Self::new(ApplicationId::parse(application_id)?, crypto::decode(secret)?))
    }

    /// Reads HTTP Basic credentials (RFC 6749 §2.3.1): the application id and either the secret alone or the whole key.
    pub fn parse_basic(application_id: &str, password: &str) -> Option<Self> {
        if password.starts_with(PREFIX) {
            return Self::parse(password).filter(|key| key.application_id.as_str() == application_id);
        }
        Some(Self::new(ApplicationId::parse(application_id)?, crypto::decode(password)?))
    }

    /// Whether a text claims to be an application key.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// What is stored: the SHA-256 of the secret, in hexadecimal. The secret is 256 random bits, so no stretching.
    pub fn digest(&self) -> String {
        crypto::hex(&crypto::sha256(self.secret.as_slice()))
    }

    /// The key as it is shown once, to the operator who made it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.application_id, crypto::encode(self.secret.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_in_every_form() {
        let id = ApplicationId::parse("demo-app").expect("valid");
        let key = ApplicationKey::new(id, [7; 32]);
        let text = key.reveal();
        let (_, secret) = text.rsplit_once("app_").expect("a secret");
        for read in [
            ApplicationKey::parse(&text),
            ApplicationKey::parse_basic("demo-app", &text),
            ApplicationKey::parse_basic("demo-app", secret),
        ] {
            assert_eq!(read.expect("parses").digest(), key.digest());
        }
        assert!(ApplicationKey::parse_basic("other", &text).is_none());
        for broken in ["", "sk_", "sk_demo-app_", "sk_demo-app_AAAA", &text[1..]] {
            assert!(ApplicationKey::parse(broken).is_none(), "{broken}");
        }
    }
}
