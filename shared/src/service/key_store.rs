//! Key rings in a warm environment: unwrapped once, read again every five minutes, never used beyond fifteen.

use crate::adapters::dynamodb::keys::Keys;
use crate::adapters::kms::Kms;
use crate::clock;
use crate::core::access_token::{SigningKey, VerifyingKey};
use crate::core::crypto::SecretKey;
use crate::core::keyring::{KeyUse, Purpose, Ring};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::{KEY_RING_CACHE_SECONDS, KEY_RING_RETRY_SECONDS, KEY_RING_STALE_SECONDS};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Mutex, OnceCell};

/// A ring ready for use.
pub struct OpenRing {
    /// The ring.
    pub ring: Ring,
    secrets: HashMap<(KeyUse, u8), SecretKey>,
}

impl OpenRing {
    fn new(ring: Ring) -> Self {
        let secrets = ring.keys.iter().filter(|key| key.key_use != KeyUse::Sign);
        let secrets = secrets.filter_map(|key| Some(((key.key_use, key.id), key.secret_key()?))).collect();
        OpenRing { ring, secrets }
    }

    /// The active key of a use and its id.
    pub fn active(&self, key_use: KeyUse, now: Timestamp) -> Result<(u8, &SecretKey)> {
        let id = self.ring.active(key_use, now).map(|key| key.id).ok_or_else(no_key)?;
        self.by_id(key_use, id).map(|key| (id, key)).ok_or_else(no_key)
    }

    /// A key by its id.
    pub fn by_id(&self, key_use: KeyUse, id: u8) -> Option<&SecretKey> {
        self.secrets.get(&(key_use, id))
    }

    /// The active signing key.
    pub fn signing_key(&self, now: Timestamp) -> Result<SigningKey> {
        let key = self.ring.active(KeyUse::Sign, now).ok_or_else(no_key)?;
        key.secret().and_then(|pkcs8| SigningKey::from_pkcs8(&pkcs8)).ok_or_else(no_key)
    }
}

fn no_key() -> Error {
    Error::unavailable(Dependency::Kms, "the key ring has no such key: run rotate-keys")
}

/// Something read, when, and when reading it again failed last.
struct Held<T> {
    value: Arc<T>,
    read_at: Timestamp,
    failed_at: Option<Timestamp>,
}

type Remembered<T> = Mutex<Option<Held<T>>>;

/// The rings, public keys and routing key of the stack.
pub struct KeyStore {
    table: Keys,
    kms: Option<Kms>,
    rings: [Remembered<OpenRing>; 4],
    public: Remembered<Vec<VerifyingKey>>,
    routing: OnceCell<SecretKey>,
}

impl KeyStore {
    /// `kms` is absent in functions that unwrap nothing.
    pub fn new(table: Keys, kms: Option<Kms>) -> Self {
        KeyStore { table, kms, rings: Default::default(), public: Mutex::default(), routing: OnceCell::new() }
    }

    /// A ring. The lock makes concurrent misses one unwrap.
    pub async fn ring(&self, purpose: Purpose) -> Result<Arc<OpenRing>> {
        let slot = match purpose {
            Purpose::Token => &self.rings[0],
            Purpose::Data => &self.rings[1],
            Purpose::Audit => &self.rings[2],
            Purpose::Pseudonym => &self.rings[3],
        };
        // Boxed, here and below: the SDK's futures are deep, and reading keys is rare.
        remembered(slot, Box::pin(self.unwrap(purpose))).await
    }

    async fn unwrap(&self, purpose: Purpose) -> Result<OpenRing> {
        let kms = self.kms.as_ref().ok_or_else(|| Error::Internal("this function unwraps no key ring".into()))?;
        let stored = self.table.load(purpose).await?.ok_or_else(no_key)?;
        kms.unwrap_ring(purpose, stored.wrapped).await.map(OpenRing::new)
    }

    /// The published keys that access tokens are verified with. A token that names an unknown key causes no read: a new
    /// key is published a day before its first use, so whoever guesses ids can not make this environment ask again.
    pub async fn verifying_keys(&self) -> Result<Arc<Vec<VerifyingKey>>> {
        let read = async { Ok(self.table.load(Purpose::Token).await?.ok_or_else(no_key)?.public) };
        remembered(&self.public, Box::pin(read)).await
    }

    /// The key that leads from a session handle to its user's keys. It never changes.
    pub async fn routing(&self) -> Result<&SecretKey> {
        self.routing.get_or_try_init(async || Box::pin(self.table.routing_key()).await?.ok_or_else(no_key)).await
    }
}

/// What was read less than five minutes ago; else what can be read; else, for ten minutes more, the old. After a failure
/// the old serves for half a minute before the next attempt, so that an outage costs no request its wait.
async fn remembered<T>(slot: &Remembered<T>, read: impl Future<Output = Result<T>>) -> Result<Arc<T>> {
    let mut slot = slot.lock().await;
    let now = clock::now();
    let within = |since: Timestamp, seconds: u64| since <= now && now < since.plus_seconds(seconds);
    let failed_lately = |held: &Held<T>| held.failed_at.is_some_and(|at| within(at, KEY_RING_RETRY_SECONDS));
    let usable = slot.as_ref().is_some_and(|held| within(held.read_at, KEY_RING_STALE_SECONDS));
    if let Some(held) = slot.as_ref().filter(|_| usable)
        && (within(held.read_at, KEY_RING_CACHE_SECONDS) || failed_lately(held))
    {
        return Ok(held.value.clone());
    }
    // A request that runs out of time here leaves the old in its place.
    match (read.await, slot.as_mut().filter(|_| usable)) {
        (Ok(value), _) => {
            let value = Arc::new(value);
            *slot = Some(Held { value: value.clone(), read_at: now, failed_at: None });
            Ok(value)
        }
        (Err(error), Some(held)) => {
            tracing::warn!(%error, "key ring not read again; the old one serves on");
            held.failed_at = Some(now);
            Ok(held.value.clone())
        }
        (Err(error), None) => {
            *slot = None;
            Err(error)
        }
    }
}
