//! A device's pseudonym: what stands for the id that an application chose, in keys, records and the ledger.

use super::crypto::{self, SecretKey};
use super::id::UserSlot;

/// Eight bytes of a keyed hash of user and device id. Equal ids of two users have different tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceTag([u8; 8]);

impl DeviceTag {
    /// The tag of a user's device.
    pub fn of(key: &SecretKey, slot: UserSlot, device_id: &str) -> Self {
        let mac = crypto::mac(key, &[b"device id", slot.subject().as_bytes(), device_id.as_bytes()]);
        let mut tag = [0; 8];
        tag.copy_from_slice(&mac[..8]);
        DeviceTag(tag)
    }

    /// The tag of a record's bytes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        DeviceTag(bytes)
    }

    /// The bytes in records.
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The 11 characters in keys and the ledger.
    pub fn text(self) -> String {
        crypto::encode(&self.0)
    }

    /// Reads the 11 characters back.
    pub fn parse(text: &str) -> Option<Self> {
        crypto::decode(text).map(DeviceTag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::UserId;

    #[test]
    fn tags_are_of_one_user_and_read_back() {
        let key = SecretKey::new([1; 32]);
        let slot = |user: &str| UserSlot::of(&key, "shop", &UserId::parse(user).expect("valid"));
        let tag = DeviceTag::of(&key, slot("ada"), "phone");
        assert_ne!(tag, DeviceTag::of(&key, slot("bob"), "phone"));
        assert_ne!(tag, DeviceTag::of(&key, slot("ada"), "Phone"));
        assert_ne!(tag, DeviceTag::of(&SecretKey::new([2; 32]), slot("ada"), "phone"));
        assert_eq!(DeviceTag::parse(&tag.text()), Some(tag));
        assert_eq!(DeviceTag::parse("short"), None);
    }
}
