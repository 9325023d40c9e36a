//! The data of a device and the state of a user: sealed, versioned, changed under `If-Match`.

use super::devices::{Access, device_tag, note};
use super::inbound::Inbound;
use super::rate;
use super::runtime::Service;
use super::update::{Change, Expected};
use crate::adapters::dynamodb::devices::Stored;
use crate::core::crypto;
use crate::core::envelope;
use crate::core::id::{UserId, UserSlot};
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::sealed_document::{self, Place};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::{
    DOCUMENT_ATTEMPTS_MAX, LONG_POLL_PAUSE_MILLIS_MAX, LONG_POLL_PAUSE_MILLIS_MIN, SESSION_DATA_BYTES_MAX,
};
use crate::{clock, random};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Which document of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// The data of the device with this id.
    Device(String),
    /// The state of the user.
    State,
}

/// A version of a document as JSON.
#[derive(Debug, Serialize)]
pub struct DocumentView {
    /// The version: the `ETag`; 0 when nothing was ever written.
    pub version: u32,
    /// The data.
    pub data: Map<String, Value>,
}

/// Reads a document.
pub async fn read_document(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    document: &Document,
) -> Result<DocumentView> {
    rate::watch(service, inbound, read(service, inbound, user, document)).await
}

async fn read(service: &Service, inbound: &Inbound, user: &UserId, document: &Document) -> Result<DocumentView> {
    let access = Access::of(service, inbound, user).await?;
    let place = place(service, &access, document, inbound.now).await?;
    let stored = load(service, place, document, inbound.now).await?;
    view(service, place, stored).await
}

/// What a poll found.
#[derive(Debug)]
pub enum Polled {
    /// A version above the one that the caller has.
    Newer(DocumentView),
    /// None came in time; this is the current version.
    Unchanged(u32),
}

/// Waits until the state of a user has a version above `after`, at most for `wait`. The caller's session is looked at again
/// at the end: what it may see, it may see then.
pub async fn poll_state(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    after: u32,
    wait: Duration,
) -> Result<Polled> {
    rate::watch(service, inbound, poll(service, inbound, user, after, wait)).await
}

async fn poll(service: &Service, inbound: &Inbound, user: &UserId, after: u32, wait: Duration) -> Result<Polled> {
    let started = Instant::now();
    let mut access = Access::of(service, inbound, user).await?;
    let slot = access.slot;
    let mut pause = Duration::from_millis(LONG_POLL_PAUSE_MILLIS_MIN);
    let mut waited = false;
    let version = loop {
        let version = service.users.state_version(slot).await?;
        let left = wait.saturating_sub(started.elapsed());
        if version > after || left.is_zero() {
            break version;
        }
        sleep(pause.min(left)).await;
        waited = true;
        pause = (pause * 2).min(Duration::from_millis(LONG_POLL_PAUSE_MILLIS_MAX));
    };
    if waited {
        access.check_session(service, clock::now()).await?;
    }
    if version <= after {
        return Ok(Polled::Unchanged(version));
    }
    let stored = service.users.state(slot).await?;
    view(service, Place::User(slot), stored).await.map(Polled::Newer)
}

/// Changes a document. A stated version and a whole replacement is one write; everything else reads first. Of two changes
/// to one version the second hears 412, or, with `*`, is made upon the first.
pub async fn change_document(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    document: &Document,
    expected: Expected,
    change: Change,
) -> Result<DocumentView> {
    rate::watch(service, inbound, rewrite(service, inbound, user, document, expected, change)).await
}

async fn rewrite(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    document: &Document,
    expected: Expected,
    change: Change,
) -> Result<DocumentView> {
    let now = inbound.now;
    let access = Access::of(service, inbound, user).await?;
    let place = place(service, &access, document, now).await?;
    for _ in 0..DOCUMENT_ATTEMPTS_MAX {
        let (version, data) = match (expected, &change) {
            (Expected::Version(version), Change::Replace(data)) => (version, data.clone()),
            (_, change) => {
                let stored = load(service, place, document, now).await?;
                if let Expected::Version(version) = expected
                    && version != stored.version
                {
                    return repeated(service, &access, place, document, (version, change), stored, inbound).await;
                }
                let version = stored.version;
                (version, change.upon(view(service, place, stored).await?.data))
            }
        };
        let next =
            version.checked_add(1).ok_or_else(|| Error::Internal("the versions of a document are used up".into()))?;
        let sealed = seal(service, place, next, &data, now).await?;
        if !save(service, place, document, version, &sealed).await? {
            let current = load(service, place, document, now).await?;
            // A write whose answer was lost on the way from the store is tried again, and then finds itself.
            let own = current.version == next && current.sealed == sealed;
            match expected {
                _ if own => {}
                Expected::Any => continue,
                Expected::Version(version) => {
                    return repeated(service, &access, place, document, (version, &change), current, inbound).await;
                }
            }
        }
        tell(service, &access, document, &sealed, inbound).await?;
        return Ok(DocumentView { version: next, data });
    }
    Err(Error::SessionChanged)
}

/// A change to a version that is not the current one: 412, unless it is the change that made the current one. A client repeats
/// what it got no answer to; the function may have died before the change was told, so it is told again under the same id.
async fn repeated(
    service: &Service,
    access: &Access,
    place: Place,
    document: &Document,
    (version, change): (u32, &Change),
    current: Stored,
    inbound: &Inbound,
) -> Result<DocumentView> {
    let mismatch = Error::VersionMismatch { current: current.version };
    if version.checked_add(1) != Some(current.version) {
        return Err(mismatch);
    }
    let sealed = current.sealed.clone();
    let made = view(service, place, current).await?;
    if change.upon(made.data.clone()) != made.data {
        return Err(mismatch);
    }
    tell(service, access, document, &sealed, inbound).await?;
    Ok(made)
}

/// Tells the audit of a version. The id of the event is the version's own, so telling twice is telling once.
async fn tell(service: &Service, access: &Access, document: &Document, sealed: &[u8], inbound: &Inbound) -> Result<()> {
    let event_type = match document {
        Document::Device(_) => "device.data_changed",
        Document::State => "user.state_changed",
    };
    let id = crypto::hash(&[b"version of a document", sealed]);
    note(service, access, event_type, Some(crypto::encode(&id[..16])), inbound).await
}

async fn place(service: &Service, access: &Access, document: &Document, now: Timestamp) -> Result<Place> {
    Ok(match document {
        Document::Device(device_id) => {
            Place::Device(access.slot, device_tag(service, access.slot, device_id, now).await?)
        }
        Document::State => Place::User(access.slot),
    })
}

async fn load(service: &Service, place: Place, document: &Document, now: Timestamp) -> Result<Stored> {
    let (Place::Device(slot, _) | Place::User(slot)) = place;
    match document {
        Document::Device(device_id) => service.devices.data(slot, device_id, now).await?.ok_or(Error::NotFound),
        Document::State => service.users.state(slot).await,
    }
}

async fn save(service: &Service, place: Place, document: &Document, expected: u32, sealed: &[u8]) -> Result<bool> {
    let (Place::Device(slot, _) | Place::User(slot)) = place;
    match document {
        Document::Device(device_id) => service.devices.save_data(slot, device_id, expected, sealed).await,
        Document::State => service.users.save_state(slot, expected, sealed).await,
    }
}

async fn seal(
    service: &Service,
    place: Place,
    version: u32,
    data: &Map<String, Value>,
    now: Timestamp,
) -> Result<Vec<u8>> {
    let plaintext = serde_json::to_vec(data).map_err(|error| Error::Internal(error.to_string()))?;
    if plaintext.len() > SESSION_DATA_BYTES_MAX {
        return Err(Error::PayloadTooLarge { bytes_max: SESSION_DATA_BYTES_MAX });
    }
    let ring = service.keys.ring(Purpose::Data).await?;
    let (id, key) = ring.active(KeyUse::SealDocument, now)?;
    sealed_document::seal(id, key, random::bytes()?, place, version, &plaintext)
        .ok_or_else(|| Error::Internal("sealing failed".into()))
}

/// A document of a user as it is stored, opened.
pub(super) async fn open_stored(
    service: &Service,
    slot: UserSlot,
    document: &Document,
    now: Timestamp,
) -> Result<DocumentView> {
    let place = match document {
        Document::Device(device_id) => Place::Device(slot, device_tag(service, slot, device_id, now).await?),
        Document::State => Place::User(slot),
    };
    let stored = load(service, place, document, now).await?;
    view(service, place, stored).await
}

/// Opens a version. A ciphertext that does not open is an outage of the data, never an empty object.
async fn view(service: &Service, place: Place, stored: Stored) -> Result<DocumentView> {
    let version = stored.version;
    if stored.sealed.is_empty() {
        return Ok(DocumentView { version, data: Map::new() });
    }
    let ring = service.keys.ring(Purpose::Data).await?;
    let key_id = envelope::key_id(&stored.sealed).map_err(|_| does_not_open())?;
    let key = ring.by_id(KeyUse::SealDocument, key_id).ok_or_else(does_not_open)?;
    let plaintext = sealed_document::open(key, place, version, &stored.sealed).map_err(|_| does_not_open())?;
    let data = serde_json::from_slice(&plaintext).map_err(|_| does_not_open())?;
    Ok(DocumentView { version, data })
}

fn does_not_open() -> Error {
    tracing::error!(event = "crypt_decrypt_fail", "a sealed document does not open");
    Error::unavailable(Dependency::DynamoDb, "a sealed document does not open")
}
