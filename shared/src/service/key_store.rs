//! Key rings in a warm environment: unwrapped once, read again every five minutes, never used beyond fifteen.

use crate::adapters::dynamodb::keys::{Keys, WrappedRing};
use crate::adapters::kms::Kms;
use crate::clock;
use crate::core::access_token::{SigningKey, VerifyingKey};
use crate::core::crypto::SecretKey;
use crate::core::keyring::{KeyUse, Purpose, Ring};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::{KEY_RING_CACHE_SECONDS, KEY_RING_RETRY_SECONDS, KEY_RING_STALE_SECONDS};
use futures_util::future::join_all;
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

    /// Reads these rings, the public keys and the routing key by one request and unwraps the rings, all at once. What is
    /// not to be had is left to the first request that needs it.
    pub async fn warm_up(&self, purposes: &[Purpose]) -> Result<()> {
        let now = clock::now();
        let mut wanted = purposes.to_vec();
        if !wanted.contains(&Purpose::Token) {
            wanted.push(Purpose::Token);
        }
        let (mut stored, routing) = self.table.load_with_routing(&wanted).await?;
        let public = stored.get_mut(&Purpose::Token).map(|ring| std::mem::take(&mut ring.public));
        keep(&self.public, public.ok_or_else(no_key)?, now).await;
        self.routing.get_or_try_init(async || routing.ok_or_else(no_key)).await?;
        let rings = purposes.iter().map(async |purpose| {
            let ring = self.open(*purpose, stored.get(purpose).ok_or_else(no_key)?).await?;
            keep(self.slot(*purpose), ring, now).await;
            Ok(())
        });
        // Each for itself: one that can not be unwrapped keeps no other from being ready.
        join_all(rings).await.into_iter().collect()
    }

    /// A ring. The lock makes concurrent misses one unwrap.
    pub async fn ring(&self, purpose: Purpose) -> Result<Arc<OpenRing>> {
        let read = async { self.open(purpose, &self.table.load(purpose).await?.ok_or_else(no_key)?).await };
        // Boxed, here and below: the SDK's futures are deep, and reading keys is rare.
        remembered(self.slot(purpose), Box::pin(read)).await
    }

    fn slot(&self, purpose: Purpose) -> &Remembered<OpenRing> {
        match purpose {
            Purpose::Token => &self.rings[0],
            Purpose::Data => &self.rings[1],
            Purpose::Audit => &self.rings[2],
            Purpose::Pseudonym => &self.rings[3],
        }
    }

    async fn open(&self, purpose: Purpose, stored: &WrappedRing) -> Result<OpenRing> {
        let kms = self.kms.as_ref().ok_or_else(|| Error::Internal("this function unwraps no key ring".into()))?;
        kms.unwrap_ring(purpose, stored.wrapped.clone()).await.map(OpenRing::new)
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

async fn keep<T>(slot: &Remembered<T>, value: T, read_at: Timestamp) {
    *slot.lock().await = Some(Held { value: Arc::new(value), read_at, failed_at: None });
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
