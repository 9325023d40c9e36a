//! Documents at rest that are not session data: the data of a device and the state of a user. Sealed like session data
//! ([`super::envelope`]); the additional data are kind, user, device and version, so a ciphertext that was moved to
//! another user, device or kind, or rolled back to an earlier version, does not open.

use super::crypto::SecretKey;
use super::device_tag::DeviceTag;
use super::envelope::{self, DoesNotOpen, SALT_BYTES};
use super::id::UserSlot;

const SCHEMA: u8 = 1;

/// Whose document it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The data of a user's device.
    Device(UserSlot, DeviceTag),
    /// The state of a user.
    User(UserSlot),
}

impl Place {
    fn info(self) -> &'static [u8] {
        match self {
            Place::Device(..) => b"device data",
            Place::User(_) => b"user state",
        }
    }

    fn additional_data(self, version: u32) -> [u8; 21] {
        let (slot, device) = match self {
            Place::Device(slot, device) => (slot, *device.bytes()),
            Place::User(slot) => (slot, [0; 8]),
        };
        let mut aad = [0; 21];
        aad[..2].copy_from_slice(&slot.bucket.number().to_be_bytes());
        aad[2..8].copy_from_slice(slot.tag.bytes());
        aad[8..16].copy_from_slice(&device);
        aad[16..20].copy_from_slice(&version.to_be_bytes());
        aad[20] = SCHEMA;
        aad
    }
}

/// Seals a document as a version of its place. `None` only when it is longer than AES-GCM allows.
pub fn seal(
    key_id: u8,
    key: &SecretKey,
    salt: [u8; SALT_BYTES],
    place: Place,
    version: u32,
    plaintext: &[u8],
) -> Option<Vec<u8>> {
    envelope::seal_as(place.info(), key_id, key, salt, &place.additional_data(version), plaintext)
}

/// Opens the version of a document.
pub fn open(key: &SecretKey, place: Place, version: u32, sealed: &[u8]) -> Result<Vec<u8>, DoesNotOpen> {
    envelope::open_as(place.info(), key, &place.additional_data(version), sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::crypto;
    use crate::core::id::{Bucket, UserTag};

    fn slot(bucket: u16, tag: u8) -> UserSlot {
        let tag = UserTag::parse(&crypto::encode(&[tag; 6])).expect("six bytes");
        UserSlot { bucket: Bucket::new(bucket).expect("in range"), tag }
    }

    #[test]
    fn a_document_opens_at_its_own_place_and_version_only() {
        let key = SecretKey::new([1; 32]);
        let device = |byte| DeviceTag::from_bytes([byte; 8]);
        let places = [
            Place::Device(slot(1, 1), device(1)),
            Place::Device(slot(1, 1), device(2)),
            Place::Device(slot(1, 2), device(1)),
            Place::Device(slot(2, 1), device(1)),
            Place::Device(slot(1, 1), device(0)),
            Place::User(slot(1, 1)),
        ];
        for own in places {
            let sealed = seal(7, &key, [9; 16], own, 3, b"{}").expect("seals");
            assert_eq!(envelope::key_id(&sealed), Ok(7));
            for other in places {
                assert_eq!(open(&key, other, 3, &sealed).is_ok(), own == other, "{own:?} at {other:?}");
            }
            assert_eq!(open(&key, own, 2, &sealed), Err(DoesNotOpen), "rolled back");
            assert_eq!(open(&SecretKey::new([2; 32]), own, 3, &sealed), Err(DoesNotOpen));
        }
    }

    /// Documents of earlier releases must stay readable.
    #[test]
    fn the_format_is_frozen() {
        let sealed = seal(1, &SecretKey::new([1; 32]), [2; 16], Place::User(slot(3, 4)), 5, b"{\"a\":1}");
        assert_eq!(crypto::encode(&sealed.expect("seals")), "AQECAgICAgICAgICAgICAgIC7zJEw1F-uXNmmWIOafaoHaCAdZbHHlY");
    }
}
