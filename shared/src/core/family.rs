//! The families of other applications under one session: what lets a related application use it.
//!
//! Families lie beside the record in one hash, by the tag of their application, and carry what the record's header
//! carries for its owner's family. Everything else (life, epoch, standing, assurance) is the session's own, so a
//! family ends with it, never outlives it and never says more of the user's authentication than it does.
//!
//! ```text
//! 0 format  1 MAC key id  2 scopes   3 first generation u32   7 generation u32   11 grace window u16   13 created
//! 19 rotated   25 last operation   33 address   41 device   49 application id
//! ```

use super::application::{Application, Scope};
use super::id::ApplicationId;
use super::record::{Header, KEY_BOUND, SessionRecord, Unreadable};
use super::time::Timestamp;

/// Length of the fixed part in bytes.
pub const FAMILY_BYTES: usize = 49;
/// The format this code writes.
pub const FORMAT: u8 = 1;

/// What a related application may do with a session that is shared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedScopes(u8);

/// The scopes that can be shared, in the order of their bits.
pub const SHAREABLE: [Scope; 2] = [Scope::SessionsRead, Scope::SessionsWrite];

impl SharedScopes {
    /// These scopes; what can not be shared is left out.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let bit = |scope| SHAREABLE.iter().position(|known| *known == scope).map_or(0, |position| 1 << position);
        SharedScopes(scopes.into_iter().fold(0, |bits, scope| bits | bit(scope)))
    }

    /// Everything that can be shared.
    pub fn all() -> Self {
        Self::of(SHAREABLE)
    }

    /// What of these an application has itself: sharing gives nobody more than that.
    pub fn within(self, application: &Application) -> Self {
        SharedScopes(self.0 & Self::of(application.scopes.iter().copied()).0)
    }

    /// Whether nothing is left.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a scope is among them.
    pub fn contains(self, scope: Scope) -> bool {
        let wanted = Self::of([scope]).0;
        wanted != 0 && self.0 & wanted == wanted
    }

    /// The byte in families and codes.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The scopes of a byte; bits of a later release count for nothing.
    pub fn from_bits(bits: u8) -> Self {
        SharedScopes(bits & Self::all().0)
    }

    /// The scopes' names.
    pub fn names(self) -> Vec<&'static str> {
        SHAREABLE.into_iter().filter(|scope| self.contains(*scope)).map(Scope::as_str).collect()
    }
}

/// One application's refresh family under a session that another application owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Which MAC key of the token ring the family uses, for all its life.
    pub mac_key_id: u8,
    /// What the application may do with the session.
    pub scopes: SharedScopes,
    /// Where the family began: tokens before it are of an earlier family of the same application, withdrawn since.
    pub first_generation: u32,
    /// Generation of the newest refresh token.
    pub generation: u32,
    /// Grace window in seconds.
    pub grace_seconds: u16,
    /// When the code was redeemed.
    pub created_at: Timestamp,
    /// When the newest generation was made.
    pub rotated_at: Timestamp,
    /// First eight bytes of the last operation's id.
    pub last_operation: [u8; 8],
    /// Keyed digest of the caller's address prefix; zeros when unknown.
    pub address: [u8; 8],
    /// Keyed digest of the caller's device; zeros when unknown.
    pub device: [u8; 8],
    /// The application: `aud` and `client_id` of the family's access tokens.
    pub application_id: ApplicationId,
}

/// Where a family that begins at `now` starts to count. It must lie above every generation of an earlier family of the
/// application, or that family's tokens would seem to be ahead of this one: each rotation raised the revision, and when
/// a store has lost revisions, time has gone on (in tenths of a second, slower than which nobody rotates for long).
pub fn first_generation(header: &Header, now: Timestamp) -> u32 {
    let tenths = u32::try_from(now.millis_since(header.created_at) / 100).unwrap_or(u32::MAX - 1);
    header.revision.max(tenths).saturating_add(1)
}

impl Family {
    /// The bytes for Redis.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT, self.mac_key_id, self.scopes.bits()];
        bytes.extend_from_slice(&self.first_generation.to_be_bytes());
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.grace_seconds.to_be_bytes());
        for instant in [self.created_at, self.rotated_at] {
            bytes.extend_from_slice(&instant.millis().to_be_bytes()[2..]);
        }
        for eight in [self.last_operation, self.address, self.device] {
            bytes.extend_from_slice(&eight);
        }
        bytes.extend_from_slice(self.application_id.as_str().as_bytes());
        bytes
    }

    /// Reads what [`Family::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (fixed, application_id) = bytes.split_first_chunk::<FAMILY_BYTES>().ok_or(Unreadable)?;
        if fixed[0] != FORMAT {
            return Err(Unreadable);
        }
        let application_id = std::str::from_utf8(application_id).ok().and_then(ApplicationId::parse);
        let number = |offset: usize| u32::from_be_bytes(part(fixed, offset));
        let instant = |offset: usize| {
            let [a, b, c, d, e, f] = part(fixed, offset);
            Timestamp::from_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
        };
        Ok(Family {
            mac_key_id: fixed[1],
            scopes: SharedScopes::from_bits(fixed[2]),
            first_generation: number(3),
            generation: number(7),
            grace_seconds: u16::from_be_bytes(part(fixed, 11)),
            created_at: instant(13),
            rotated_at: instant(19),
            last_operation: part(fixed, 25),
            address: part(fixed, 33),
            device: part(fixed, 41),
            application_id: application_id.ok_or(Unreadable)?,
        })
    }

    /// The session's header as this family sees it: its own place in the rotation, the session's life. A step-up
    /// supersedes the owner's tokens only, and the owner's key is not the key of this application's client.
    pub fn merged(&self, header: &Header) -> Header {
        Header {
            mac_key_id: self.mac_key_id,
            generation: self.generation,
            grace_seconds: self.grace_seconds,
            rotated_at: self.rotated_at,
            last_operation: self.last_operation,
            application_tag: self.application_id.tag(),
            address: self.address,
            device: self.device,
            flags: header.flags & !KEY_BOUND,
            superseded_generation: 0,
            ..header.clone()
        }
    }

    /// The session's record as this family sees it: views and tokens made of it are the application's.
    pub fn merged_record(&self, record: &SessionRecord) -> SessionRecord {
        let mut merged = record.clone();
        merged.header = self.merged(&record.header);
        merged.attributes.application_id = self.application_id.as_str().to_owned();
        merged.attributes.jkt = None;
        merged.attributes.seen = None;
        merged
    }
}

fn part<const N: usize>(bytes: &[u8; FAMILY_BYTES], offset: usize) -> [u8; N] {
    let mut found = [0; N];
    found.copy_from_slice(&bytes[offset..offset + N]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::attributes::Attributes;
    use crate::core::record::{SHARED, arbitrary};
    use proptest::prelude::*;

    fn family() -> Family {
        Family {
            mac_key_id: 3,
            scopes: SharedScopes::all(),
            first_generation: 9,
            generation: 12,
            grace_seconds: 10,
            created_at: Timestamp::from_millis(1_700_000_000_123),
            rotated_at: Timestamp::from_millis(1_700_000_000_456),
            last_operation: [1; 8],
            address: [2; 8],
            device: [3; 8],
            application_id: ApplicationId::parse("admin-console").expect("valid"),
        }
    }

    #[test]
    fn a_family_reads_back_and_other_formats_are_unreadable() {
        let mut bytes = family().encode();
        assert_eq!(Family::decode(&bytes), Ok(family()));
        bytes[0] += 1;
        assert_eq!(Family::decode(&bytes), Err(Unreadable));
        for length in 0..FAMILY_BYTES + 3 {
            assert_eq!(Family::decode(&family().encode()[..length]), Err(Unreadable), "{length}");
        }
    }

    /// T-61, I-6: a family has what the owner and its own application both have, and no more.
    #[test]
    fn scopes_only_ever_shrink() {
        let both = SharedScopes::all();
        assert_eq!(both.names(), ["sessions:read", "sessions:write"]);
        assert_eq!(SharedScopes::of([Scope::UsersManage, Scope::SessionsRead]).names(), ["sessions:read"]);
        assert!(!both.contains(Scope::UsersManage) && SharedScopes::of([Scope::AuditRead]).is_empty());
        assert_eq!(SharedScopes::from_bits(0xff), both);
    }

    proptest! {
        /// I-5, I-6, T-20, T-63: whatever the session is, its family lives no longer and is no better authenticated.
        #[test]
        fn i_5_i_6_a_family_inherits_life_and_assurance(header in arbitrary::header(), acr in "[a-z]{0,5}") {
            let attributes = Attributes { acr: Some(acr), jkt: Some("key".into()), ..Attributes::default() };
            let record = SessionRecord { header: header.clone(), attributes, sealed: Vec::new() };
            let merged = family().merged_record(&record);
            prop_assert_eq!(merged.header.absolute_expires_at, header.absolute_expires_at);
            prop_assert_eq!(merged.header.last_activity_at, header.last_activity_at);
            prop_assert_eq!(merged.header.idle_timeout_seconds, header.idle_timeout_seconds);
            prop_assert_eq!((merged.header.standing, merged.header.trust), (header.standing, header.trust));
            prop_assert_eq!(merged.header.epoch, header.epoch);
            prop_assert_eq!(merged.header.flags & SHARED, header.flags & SHARED);
            prop_assert_eq!(&merged.attributes.acr, &record.attributes.acr);
            prop_assert_eq!(merged.attributes.auth_time, record.attributes.auth_time);
            prop_assert_eq!(&merged.attributes.application_id, "admin-console");
        }

        /// A family counts from above whatever an earlier one of the same application has reached.
        #[test]
        fn a_new_family_begins_above_the_earlier_one(rotations in 0_u32..1000, seconds in 0_u64..1000) {
            let mut header = arbitrary::some_header();
            header.revision = 5;
            let began = first_generation(&header, header.created_at);
            header.revision += 1 + rotations;
            let again = first_generation(&header, header.created_at.plus_seconds(seconds));
            prop_assert!(again > began + rotations);
        }
    }
}
