//! Session data at rest: AES-256-GCM under a key that HKDF draws from a `data` ring key and a random salt.
//!
//! Layout: suite (u8), ring key id (u8), salt (16 bytes), ciphertext with tag. The additional data are bucket,
//! session, data version and schema, all known before the script runs: a ciphertext moved to another session or
//! rolled back to an earlier version does not open. There is no plaintext fallback.

use super::crypto::{self, SecretKey};
use super::id::SessionId;

const SUITE_AES_256_GCM_HKDF_SHA_256: u8 = 1;
const SCHEMA: u8 = 1;
pub(super) const SALT_BYTES: usize = 16;
const PREFIX_BYTES: usize = 2 + SALT_BYTES;
const INFO: &[u8] = b"session data";

/// The slot a ciphertext belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The session.
    pub session: SessionId,
    /// The version of its data.
    pub version: u32,
}

impl Slot {
    fn additional_data(&self) -> [u8; 23] {
        let mut aad = [0; 23];
        aad[..2].copy_from_slice(&self.session.bucket().number().to_be_bytes());
        aad[2..18].copy_from_slice(self.session.bytes());
        aad[18..22].copy_from_slice(&self.version.to_be_bytes());
        aad[22] = SCHEMA;
        aad
    }
}

/// Sealed data could not be opened: wrong key, moved, rolled back or damaged; which one is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session data does not open")]
pub struct DoesNotOpen;

/// Seals plaintext into its slot. `None` only when it is longer than AES-GCM allows.
pub fn seal(key_id: u8, key: &SecretKey, salt: [u8; SALT_BYTES], slot: Slot, plaintext: &[u8]) -> Option<Vec<u8>> {
    seal_as(INFO, key_id, key, salt, &slot.additional_data(), plaintext)
}

/// [`seal`] for other kinds of data: `info` tells the kinds apart, the additional data the places within one.
pub(super) fn seal_as(
    info: &[u8],
    key_id: u8,
    key: &SecretKey,
    salt: [u8; SALT_BYTES],
    additional_data: &[u8],
    plaintext: &[u8],
) -> Option<Vec<u8>> {
    let ciphertext = crypto::seal(key, &salt, info, additional_data, plaintext)?;
    let mut sealed = Vec::with_capacity(PREFIX_BYTES + ciphertext.len());
    sealed.push(SUITE_AES_256_GCM_HKDF_SHA_256);
    sealed.push(key_id);
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(&ciphertext);
    Some(sealed)
}

/// What tells two sealings apart: suite, key id and salt. Empty for no data. Two records of one version can differ after
/// a store rollback; their seals do.
pub fn seal_mark(sealed: &[u8]) -> &[u8] {
    sealed.get(..PREFIX_BYTES).unwrap_or_default()
}

/// Which ring key a sealed text needs.
pub fn key_id(sealed: &[u8]) -> Result<u8, DoesNotOpen> {
    match sealed {
        [SUITE_AES_256_GCM_HKDF_SHA_256, key_id, ..] if sealed.len() > PREFIX_BYTES => Ok(*key_id),
        _ => Err(DoesNotOpen),
    }
}

/// Opens a sealed text in its slot.
pub fn open(key: &SecretKey, slot: Slot, sealed: &[u8]) -> Result<Vec<u8>, DoesNotOpen> {
    open_as(INFO, key, &slot.additional_data(), sealed)
}

/// [`open`] for what [`seal_as`] sealed.
pub(super) fn open_as(
    info: &[u8],
    key: &SecretKey,
    additional_data: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, DoesNotOpen> {
    key_id(sealed)?;
    let (prefix, ciphertext) = sealed.split_at(PREFIX_BYTES);
    crypto::open(key, &prefix[2..], info, additional_data, ciphertext).ok_or(DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::Bucket;

    fn slot(bucket: u16, session: u8, version: u32) -> Slot {
        Slot { session: SessionId::from_parts(Bucket::new(bucket).expect("in range"), [session; 16]), version }
    }

    #[test]
    fn data_opens_in_its_own_slot_only() {
        let key = SecretKey::new([1; 32]);
        let sealed = seal(7, &key, [9; 16], slot(1, 1, 1), b"{}").expect("seals");
        assert_eq!(key_id(&sealed), Ok(7));
        assert_eq!(open(&key, slot(1, 1, 1), &sealed), Ok(b"{}".to_vec()));
        for other in [slot(2, 1, 1), slot(1, 2, 1), slot(1, 1, 2)] {
            assert_eq!(open(&key, other, &sealed), Err(DoesNotOpen));
        }
        assert_eq!(open(&SecretKey::new([2; 32]), slot(1, 1, 1), &sealed), Err(DoesNotOpen));
        for index in (0..sealed.len()).filter(|index| *index != 1) {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(open(&key, slot(1, 1, 1), &changed), Err(DoesNotOpen), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert_eq!(open(&key, slot(1, 1, 1), &sealed[..length]), Err(DoesNotOpen));
        }
    }

    /// Records of earlier releases must stay readable.
    #[test]
    fn the_format_is_frozen() {
        let sealed = seal(1, &SecretKey::new([1; 32]), [2; 16], slot(3, 4, 5), b"{\"a\":1}").expect("seals");
        assert_eq!(crypto::encode(&sealed), "AQECAgICAgICAgICAgICAgICH8SLzksdmATIiQPYQMtxOPhDtVNf9p0");
    }
}
