//! Small bounded memories of a warm environment. None of them knows whether a session lives.

use crate::core::access_token::Claims;
use crate::core::crypto;
use crate::core::id::SessionId;
use crate::core::time::Timestamp;
use crate::limits::{OPENED_DATA_ENTRIES_MAX, VERIFIED_TOKENS_MAX};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Digests of access tokens whose signature has been verified, with their claims. Public-key work costs more than all
/// the rest of a read; it is done once per token and environment.
#[derive(Default)]
pub struct VerifiedTokens(Mutex<HashMap<[u8; 32], Arc<Claims>>>);

impl VerifiedTokens {
    /// The claims of a token verified before.
    pub fn get(&self, token: &str) -> Option<Arc<Claims>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&crypto::sha256(token.as_bytes())).cloned()
    }

    /// Remembers a verified token until it has expired or others need its place.
    pub fn insert(&self, token: &str, claims: Arc<Claims>, now: Timestamp) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= VERIFIED_TOKENS_MAX {
            tokens.retain(|_, claims| claims.exp > now.seconds());
        }
        if tokens.len() >= VERIFIED_TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(crypto::sha256(token.as_bytes()), claims);
    }
}

/// Session data opened before, by session and version; wiped when it leaves the cache.
#[derive(Default)]
pub struct OpenedData(Mutex<HashMap<(SessionId, u32), Opened>>);

/// JSON in a buffer that is wiped when the last user drops it.
pub type Plaintext = Arc<Zeroizing<Vec<u8>>>;

/// A remembered plaintext.
#[derive(Clone)]
pub struct Opened {
    /// [`crate::core::envelope::seal_mark`] of the ciphertext it came from.
    pub seal_mark: Vec<u8>,
    /// The plaintext.
    pub plaintext: Plaintext,
}

impl OpenedData {
    /// The plaintext of a version. The caller compares the mark: versions repeat after a store rollback.
    pub fn get(&self, session: SessionId, version: u32) -> Option<Opened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(session, version)).cloned()
    }

    /// Forgets a version that turned out to be another one.
    pub fn forget(&self, session: SessionId, version: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(session, version));
    }

    /// Remembers a version's plaintext.
    pub fn insert(&self, session: SessionId, version: u32, opened: Opened) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= OPENED_DATA_ENTRIES_MAX {
            entries.clear();
        }
        entries.insert((session, version), opened);
    }
}
