//! The session record: one binary string in Redis.
//!
//! A header of 110 bytes at fixed offsets, then attributes (see [`super::attributes`]), then the sealed session data.
//! Scripts patch the header in place and never touch the rest; `scripts/record.lua` holds the same offsets, and a
//! test compares the two. Integers are big-endian, instants are 48-bit milliseconds.
//!
//! ```text
//! 0 format  1 state  2 end reason  3 MAC key id   4 version u32     8 revision u32   12 epoch u32   16 generation u32
//! 20 idle timeout u32   24 created   30 last activity   36 absolute expiry   42 rotated   48 ended
//! 54 attributes length u16   56 last operation   64 user tag   72 application tag   80 address   88 device   96 grace window u16
//! 98 standing u8   99 trust u8   100 risk score u8   101 flags u8   102 superseded generation u32   106 device epoch u32
//! ```

use super::attributes::Attributes;
use super::device::TrustLevel;
use super::end_reason::EndReason;
use super::id::UserTag;
use super::standing::Standing;
use super::time::Timestamp;

/// Length of the header in bytes.
pub const HEADER_BYTES: usize = 110;

/// Flag: the refresh family and its access tokens are bound to the key of [`super::attributes::Attributes::jkt`].
pub const KEY_BOUND: u8 = 1;
/// Flag: other applications share the session; their families lie beside the record.
pub const SHARED: u8 = 2;
/// The format this code writes.
pub const FORMAT: u8 = 2;

/// Whether a session lives, as its record says; expiry and epoch are judged apart ([`super::session::liveness`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not ended by anybody.
    Active,
    /// A tombstone: header only.
    Ended(EndReason),
}

/// The fixed part of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Active or tombstone.
    pub state: State,
    /// Which MAC key of the token ring the refresh family uses, for all its life.
    pub mac_key_id: u8,
    /// Version of the session data: the `ETag`.
    pub version: u32,
    /// Rises with every write but touches; guards two-step commits.
    pub revision: u32,
    /// The user's epoch when the session was created or spared.
    pub epoch: u32,
    /// Generation of the newest refresh token.
    pub generation: u32,
    /// Idle timeout in seconds.
    pub idle_timeout_seconds: u32,
    /// Grace window of the refresh family in seconds: the policy when the session began, so that a refresh needs
    /// nothing but the record.
    pub grace_seconds: u16,
    /// When the session was created.
    pub created_at: Timestamp,
    /// Last recorded activity; touches are throttled.
    pub last_activity_at: Timestamp,
    /// When the session ends whatever happens.
    pub absolute_expires_at: Timestamp,
    /// When the newest generation was made: the grace window starts here.
    pub rotated_at: Timestamp,
    /// When a tombstone was set; zero while active.
    pub ended_at: Timestamp,
    /// First eight bytes of the last operation's id: a repeated script call is told by it.
    pub last_operation: [u8; 8],
    /// The owner's pseudonym.
    pub user_tag: UserTag,
    /// The application that owns the session and its refresh family.
    pub application_tag: [u8; 8],
    /// Keyed digest of the caller's address prefix; zeros when unknown.
    pub address: [u8; 8],
    /// Keyed digest of the caller's user agent and fingerprint; zeros when unknown.
    pub device: [u8; 8],
    /// What the session may do, as its risk was last judged.
    pub standing: Standing,
    /// How far its device was trusted when it was last looked at.
    pub trust: TrustLevel,
    /// Risk score of the last judgement, 0 to 100.
    pub risk_score: u8,
    /// [`KEY_BOUND`], [`SHARED`], and what the user has switched off ([`super::privacy::Privacy::record_flags`]).
    pub flags: u8,
    /// The generation that a step-up put out of use; 0 when there was none.
    pub superseded_generation: u32,
    /// The epoch of the device when the session began: a later one has ended it.
    pub device_epoch: u32,
}

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The fixed part.
    pub header: Header,
    /// Whose session it is and how it began; empty on a tombstone.
    pub attributes: Attributes,
    /// Sealed session data; empty when there is none.
    pub sealed: Vec<u8>,
}

/// A record that this code can not read: corrupt, or of a later format. It is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session record is not readable")]
pub struct Unreadable;

impl SessionRecord {
    /// The bytes for Redis.
    pub fn encode(&self) -> Vec<u8> {
        let attributes = self.attributes.encode();
        let mut bytes = self.header.encode(attributes.len()).to_vec();
        bytes.extend_from_slice(&attributes);
        bytes.extend_from_slice(&self.sealed);
        bytes
    }

    /// Reads a record; `sealed` is empty when the caller fetched only header and attributes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (header, attributes_length) = Header::decode(bytes)?;
        let rest = &bytes[HEADER_BYTES..];
        if rest.len() < attributes_length {
            return Err(Unreadable);
        }
        let (attributes, sealed) = rest.split_at(attributes_length);
        Ok(SessionRecord {
            header,
            attributes: Attributes::decode(attributes).ok_or(Unreadable)?,
            sealed: sealed.to_vec(),
        })
    }
}

impl Header {
    /// The 110 bytes in front of `attributes_length` bytes of attributes.
    pub fn encode(&self, attributes_length: usize) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let (state, reason) = match self.state {
            State::Active => (1, 0),
            State::Ended(reason) => (2, reason.code()),
        };
        bytes[..4].copy_from_slice(&[FORMAT, state, reason, self.mac_key_id]);
        for (offset, value) in [
            (4, self.version),
            (8, self.revision),
            (12, self.epoch),
            (16, self.generation),
            (20, self.idle_timeout_seconds),
        ] {
            bytes[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        }
        for (offset, instant) in [
            (24, self.created_at),
            (30, self.last_activity_at),
            (36, self.absolute_expires_at),
            (42, self.rotated_at),
            (48, self.ended_at),
        ] {
            bytes[offset..offset + 6].copy_from_slice(&instant.millis().to_be_bytes()[2..]);
        }
        let length = u16::try_from(attributes_length).unwrap_or(u16::MAX);
        bytes[54..56].copy_from_slice(&length.to_be_bytes());
        bytes[56..64].copy_from_slice(&self.last_operation);
        bytes[64..72].copy_from_slice(self.user_tag.text().as_bytes());
        bytes[72..80].copy_from_slice(&self.application_tag);
        bytes[80..88].copy_from_slice(&self.address);
        bytes[88..96].copy_from_slice(&self.device);
        bytes[96..98].copy_from_slice(&self.grace_seconds.to_be_bytes());
        bytes[98..102].copy_from_slice(&[self.standing.code(), self.trust.code(), self.risk_score, self.flags]);
        bytes[102..106].copy_from_slice(&self.superseded_generation.to_be_bytes());
        bytes[106..110].copy_from_slice(&self.device_epoch.to_be_bytes());
        bytes
    }

    /// Reads a header and the length of the attributes behind it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), Unreadable> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Unreadable)?;
        if header[0] != FORMAT {
            return Err(Unreadable);
        }
        let state = match header[1] {
            1 => State::Active,
            2 => State::Ended(EndReason::from_code(header[2]).ok_or(Unreadable)?),
            _ => return Err(Unreadable),
        };
        let user_tag = std::str::from_utf8(&header[64..72]).ok().and_then(UserTag::parse).ok_or(Unreadable)?;
        let decoded = Header {
            state,
            mac_key_id: header[3],
            version: integer(header, 4),
            revision: integer(header, 8),
            epoch: integer(header, 12),
            generation: integer(header, 16),
            idle_timeout_seconds: integer(header, 20),
            grace_seconds: u16::from_be_bytes([header[96], header[97]]),
            created_at: instant(header, 24),
            last_activity_at: instant(header, 30),
            absolute_expires_at: instant(header, 36),
            rotated_at: instant(header, 42),
            ended_at: instant(header, 48),
            last_operation: eight(header, 56),
            user_tag,
            application_tag: eight(header, 72),
            address: eight(header, 80),
            device: eight(header, 88),
            standing: Standing::from_code(header[98]).ok_or(Unreadable)?,
            trust: TrustLevel::from_code(header[99]).ok_or(Unreadable)?,
            risk_score: header[100],
            flags: header[101],
            superseded_generation: integer(header, 102),
            device_epoch: integer(header, 106),
        };
        Ok((decoded, usize::from(u16::from_be_bytes([header[54], header[55]]))))
    }
}

fn integer(header: &[u8; HEADER_BYTES], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[offset..offset + 4]);
    u32::from_be_bytes(bytes)
}

fn instant(header: &[u8; HEADER_BYTES], offset: usize) -> Timestamp {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&header[offset..offset + 6]);
    Timestamp::from_millis(i64::from_be_bytes(bytes))
}

fn eight(header: &[u8; HEADER_BYTES], offset: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[offset..offset + 8]);
    bytes
}

/// Records of arbitrary content for property tests here and in the integration tests.
#[cfg(test)]
pub(crate) mod arbitrary {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    /// One fixed header, for tests that set what they need.
    pub(crate) fn some_header() -> Header {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        header().new_tree(&mut runner).expect("a header").current()
    }

    pub(crate) fn header() -> impl Strategy<Value = Header> {
        let state = prop_oneof![
            4 => Just(State::Active),
            1 => (1_u8..=11).prop_map(|code| State::Ended(EndReason::from_code(code).expect("listed"))),
        ];
        let instants = proptest::array::uniform5(0_i64..(1 << 41));
        let integers = proptest::array::uniform7(any::<u32>());
        let standing = proptest::sample::select(super::super::standing::ALL.to_vec());
        let bytes = (standing, proptest::sample::select(TrustLevel::ALL.to_vec()), 0_u8..=100, 0_u8..4);
        let eights = proptest::array::uniform4(any::<[u8; 8]>());
        (state, any::<u8>(), integers, instants, eights, any::<[u8; 6]>(), 0_u16..600, bytes).prop_map(
            |(state, mac_key_id, integers, instants, eights, tag, grace_seconds, bytes)| Header {
                state,
                mac_key_id,
                version: integers[0],
                revision: integers[1],
                epoch: integers[2],
                generation: integers[3],
                idle_timeout_seconds: integers[4],
                grace_seconds,
                created_at: Timestamp::from_millis(instants[0]),
                last_activity_at: Timestamp::from_millis(instants[1]),
                absolute_expires_at: Timestamp::from_millis(instants[2]),
                rotated_at: Timestamp::from_millis(instants[3]),
                ended_at: Timestamp::from_millis(instants[4]),
                last_operation: eights[0],
                user_tag: UserTag::parse(&super::super::crypto::encode(&tag)).expect("six bytes"),
                application_tag: eights[1],
                address: eights[2],
                device: eights[3],
                standing: bytes.0,
                trust: bytes.1,
                risk_score: bytes.2,
                flags: bytes.3,
                superseded_generation: integers[5],
                device_epoch: integers[6],
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_reads_back(header in arbitrary::header(), sealed in any::<Vec<u8>>(), user in "[a-z]{1,9}") {
            let attributes = Attributes { user_id: user, application_id: "demo".into(), ..Attributes::default() };
            let record = SessionRecord { header, attributes, sealed };
            prop_assert_eq!(SessionRecord::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in any::<Vec<u8>>()) {
            let _ = SessionRecord::decode(&bytes);
        }
    }

    #[test]
    fn a_later_format_is_unreadable_rather_than_misread() {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = FORMAT + 1;
        assert_eq!(SessionRecord::decode(&bytes), Err(Unreadable));
    }
}
