//! Sealing and opening session data.

use super::caches::{Opened, Plaintext};
use super::key_store::OpenRing;
use super::runtime::Service;
use crate::core::envelope::{self, Slot};
use crate::core::id::SessionId;
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::record::SessionRecord;
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::SESSION_DATA_BYTES_MAX;
use crate::random;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Data sealed for a version of a session.
pub struct Sealed {
    /// The ciphertext; empty for no data.
    pub bytes: Vec<u8>,
    plaintext: Plaintext,
}

/// Seals data. No data is no bytes.
pub async fn seal(
    service: &Service,
    session: SessionId,
    version: u32,
    data: &Map<String, Value>,
    now: Timestamp,
) -> Result<Sealed> {
    let plaintext = serde_json::to_vec(data).map_err(|error| Error::Internal(error.to_string()))?;
    let plaintext = Arc::new(Zeroizing::new(plaintext));
    if plaintext.len() > SESSION_DATA_BYTES_MAX {
        return Err(Error::PayloadTooLarge { bytes_max: SESSION_DATA_BYTES_MAX });
    }
    if data.is_empty() {
        return Ok(Sealed { bytes: Vec::new(), plaintext });
    }
    let ring = service.keys.ring(Purpose::Data).await?;
    let (id, key) = ring.active(KeyUse::Seal, now)?;
    let bytes = envelope::seal(id, key, random::bytes()?, Slot { session, version }, &plaintext)
        .ok_or_else(|| Error::Internal("sealing failed".into()))?;
    Ok(Sealed { bytes, plaintext })
}

/// Remembers what has just been written, so that the next read or patch here need not open it.
pub fn remember(service: &Service, session: SessionId, version: u32, sealed: Sealed) {
    let seal_mark = envelope::seal_mark(&sealed.bytes).to_vec();
    service.opened.insert(session, version, Opened { seal_mark, plaintext: sealed.plaintext });
}

/// Data that this environment has seen at a version, with the mark that the record must still bear.
pub fn remembered(service: &Service, session: SessionId, version: u32) -> Option<(Map<String, Value>, Vec<u8>)> {
    let opened = service.opened.get(session, version)?;
    Some((serde_json::from_slice(&opened.plaintext).ok()?, opened.seal_mark))
}

/// Opens the data of a record. A ciphertext that does not open is an outage of the data, never an empty object.
pub async fn open(service: &Service, session: SessionId, record: &SessionRecord) -> Result<Map<String, Value>> {
    match plaintext(service, session, record).await? {
        Some(plaintext) => serde_json::from_slice(&plaintext).map_err(|_| does_not_open()),
        None => Ok(Map::new()),
    }
}

/// [`open`] for whoever passes the data on: the object as it was sealed, in JSON.
pub async fn open_as_text(service: &Service, session: SessionId, record: &SessionRecord) -> Result<Box<RawValue>> {
    match plaintext(service, session, record).await? {
        Some(plaintext) => serde_json::from_slice(&plaintext).map_err(|_| does_not_open()),
        None => RawValue::from_string("{}".into()).map_err(|error| Error::Internal(error.to_string())),
    }
}

async fn plaintext(service: &Service, session: SessionId, record: &SessionRecord) -> Result<Option<Plaintext>> {
    if record.sealed.is_empty() {
        return Ok(None);
    }
    // What was opened before is served only as long as the ring would open it: a disabled key takes effect everywhere.
    let ring = service.keys.ring(Purpose::Data).await?;
    let version = record.header.version;
    let seal_mark = envelope::seal_mark(&record.sealed);
    let plaintext = match service.opened.get(session, version).filter(|opened| opened.seal_mark == seal_mark) {
        Some(opened) => opened.plaintext,
        None => {
            let plaintext = Arc::new(Zeroizing::new(decrypt(&ring, Slot { session, version }, &record.sealed)?));
            let opened = Opened { seal_mark: seal_mark.to_vec(), plaintext: plaintext.clone() };
            service.opened.insert(session, version, opened);
            plaintext
        }
    };
    Ok(Some(plaintext))
}

fn decrypt(ring: &OpenRing, slot: Slot, sealed: &[u8]) -> Result<Vec<u8>> {
    let key_id = envelope::key_id(sealed).map_err(|_| does_not_open())?;
    let key = ring.by_id(KeyUse::Seal, key_id).ok_or_else(does_not_open)?;
    envelope::open(key, slot, sealed).map_err(|_| does_not_open())
}

fn does_not_open() -> Error {
    tracing::error!(event = "crypt_decrypt_fail", "session data does not open");
    Error::unavailable(Dependency::Redis, "session data does not open")
}
