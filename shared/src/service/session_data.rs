//! Sealing and opening session data.

use super::runtime::Service;
use crate::core::envelope::{self, Slot};
use crate::core::id::SessionId;
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::record::SessionRecord;
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::SESSION_DATA_BYTES_MAX;
use crate::random;
use serde_json::{Map, Value};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Seals data for a version of a session. No data is no bytes.
pub async fn seal(
    service: &Service,
    session: SessionId,
    version: u32,
    data: &Map<String, Value>,
    now: Timestamp,
) -> Result<Vec<u8>> {
    let plaintext = serde_json::to_vec(data).map_err(|error| Error::Internal(error.to_string()))?;
    let plaintext = Arc::new(Zeroizing::new(plaintext));
    if plaintext.len() > SESSION_DATA_BYTES_MAX {
        return Err(Error::PayloadTooLarge { bytes_max: SESSION_DATA_BYTES_MAX });
    }
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let ring = service.keys.ring(Purpose::Data).await?;
    let (id, key) = ring.active(KeyUse::Seal, now)?;
    envelope::seal(id, key, random::bytes()?, Slot { session, version }, &plaintext)
        .ok_or_else(|| Error::Internal("sealing failed".into()))
}

/// Opens the data of a record. A ciphertext that does not open is an outage of the data, never an empty object.
pub async fn open(service: &Service, session: SessionId, record: &SessionRecord) -> Result<Map<String, Value>> {
    if record.sealed.is_empty() {
        return Ok(Map::new());
    }
    let version = record.header.version;
    let plaintext = match service.opened.get(session, version) {
        Some(plaintext) => plaintext,
        None => {
            let plaintext =
                Arc::new(Zeroizing::new(decrypt(service, Slot { session, version }, &record.sealed).await?));
            service.opened.insert(session, version, plaintext.clone());
            plaintext
        }
    };
    serde_json::from_slice(&plaintext).map_err(|_| does_not_open())
}

async fn decrypt(service: &Service, slot: Slot, sealed: &[u8]) -> Result<Vec<u8>> {
    let key_id = envelope::key_id(sealed).map_err(|_| does_not_open())?;
    let ring = service.keys.ring(Purpose::Data).await?;
    let key = ring.by_id(KeyUse::Seal, key_id).ok_or_else(does_not_open)?;
    envelope::open(key, slot, sealed).map_err(|_| does_not_open())
}

fn does_not_open() -> Error {
    tracing::error!(event = "crypt_decrypt_fail", "session data does not open");
    Error::unavailable(Dependency::Redis, "session data does not open")
}
