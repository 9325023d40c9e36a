//! Entries of the revocation ledger: what must stay ended whatever Redis forgets.

use super::crypto;
use super::device_tag::DeviceTag;
use super::end_reason::EndReason;
use super::id::{Bucket, SessionId, UserSlot, UserTag};
use super::privacy::Privacy;
use super::time::Timestamp;

/// One durable end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerEntry {
    /// One session ended, or, for an application that shared it, its share.
    Session {
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
        /// The application that owns it; applied only to a record of that application, or to its share of one.
        application_tag: [u8; 8],
    },
    /// A share of a session was withdrawn.
    Family {
        /// The session.
        session: SessionId,
        /// The application that lost it.
        application_tag: [u8; 8],
        /// Who asked; applied only when it owns the session, or is the application that lost it.
        asking_tag: [u8; 8],
    },
    /// All sessions of a user below an epoch ended.
    User {
        /// The user.
        slot: UserSlot,
        /// Sessions of an earlier epoch are over.
        epoch: u32,
        /// A session that was spared, and since when.
        spared: Option<Spared>,
    },
    /// A user's privacy settings changed: what is switched off must not come back with a Redis that forgot it.
    Privacy {
        /// The user.
        slot: UserSlot,
        /// The settings.
        privacy: Privacy,
        /// Their version.
        version: u32,
        /// The event that tells of it.
        told: Told,
    },
    /// A user was erased: what a restored store brings back of them goes again.
    Erased {
        /// The user.
        slot: UserSlot,
        /// Sessions of an earlier epoch are gone.
        epoch: u32,
        /// Settings of this version and earlier ones are.
        privacy_version: u32,
    },
    /// The sessions of a device below an epoch ended.
    Device {
        /// The user.
        slot: UserSlot,
        /// The device.
        device: DeviceTag,
        /// Sessions of an earlier epoch of the device are over.
        epoch: u32,
        /// Why.
        reason: EndReason,
    },
}

/// What the audit hears of a change of settings, whoever brings it to Redis in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Where the change was made.
    pub application_id: String,
    /// Who, when and by which request ([`super::audit::common`]).
    pub common: String,
    /// What changed.
    pub detail: String,
}

/// The exception of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spared {
    /// The session.
    pub session: SessionId,
    /// The last epoch that did not spare it. A record of an earlier epoch had ended before it could be spared, whatever
    /// Redis says: it was restored, or two revocations overtook each other.
    pub floor: u32,
}

/// An entry with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What ended.
    pub entry: LedgerEntry,
    /// When it was written.
    pub at: Timestamp,
}

impl LedgerEntry {
    /// The bucket that the entry concerns.
    pub fn bucket(&self) -> Bucket {
        match self {
            LedgerEntry::Session { session, .. } | LedgerEntry::Family { session, .. } => session.bucket(),
            LedgerEntry::User { slot, .. }
            | LedgerEntry::Privacy { slot, .. }
            | LedgerEntry::Erased { slot, .. }
            | LedgerEntry::Device { slot, .. } => slot.bucket,
        }
    }

    /// The sort key inside the bucket: a later entry for the same thing replaces the earlier one. Entries are made
    /// before anybody knows whose a session is, so each application has its own: what another one asks for in vain
    /// must not replace the owner's.
    pub fn sort_key(&self) -> String {
        match self {
            LedgerEntry::Session { session, application_tag, .. } => {
                format!("s#{}#{}", session.key_text(), crypto::encode(application_tag))
            }
            LedgerEntry::Family { session, application_tag, asking_tag } => {
                let (lost, asking) = (crypto::encode(application_tag), crypto::encode(asking_tag));
                format!("f#{}#{lost}#{asking}", session.key_text())
            }
            LedgerEntry::User { slot, .. } => format!("u#{}", slot.tag.text()),
            LedgerEntry::Erased { slot, .. } => format!("z#{}", slot.tag.text()),
            LedgerEntry::Privacy { slot, .. } => format!("v#{}", slot.tag.text()),
            LedgerEntry::Device { slot, device, .. } => format!("d#{}#{}", slot.tag.text(), device.text()),
        }
    }
}

/// Reads the parts of a sort key back.
pub fn parse_sort_key(bucket: Bucket, text: &str) -> Option<Subject> {
    match text.split_once('#')? {
        ("s", rest) => SessionId::from_key_text(bucket, rest.split_once('#')?.0).map(Subject::Session),
        ("f", rest) => {
            let (session, tags) = rest.split_once('#')?;
            let (lost, asking) = tags.split_once('#')?;
            Some(Subject::Family {
                session: SessionId::from_key_text(bucket, session)?,
                application_tag: crypto::decode(lost)?,
                asking_tag: crypto::decode(asking)?,
            })
        }
        ("u", tag) => UserTag::parse(tag).map(|tag| Subject::User(UserSlot { bucket, tag })),
        ("z", tag) => UserTag::parse(tag).map(|tag| Subject::Erased(UserSlot { bucket, tag })),
        ("v", tag) => UserTag::parse(tag).map(|tag| Subject::Privacy(UserSlot { bucket, tag })),
        ("d", rest) => {
            let (tag, device) = rest.split_once('#')?;
            let slot = UserSlot { bucket, tag: UserTag::parse(tag)? };
            Some(Subject::Device(slot, DeviceTag::parse(device)?))
        }
        _ => None,
    }
}

/// What a sort key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A session.
    Session(SessionId),
    /// An application's share of a session, and who asked for its end.
    Family {
        /// The session.
        session: SessionId,
        /// The application that lost it.
        application_tag: [u8; 8],
        /// Who asked.
        asking_tag: [u8; 8],
    },
    /// A user.
    User(UserSlot),
    /// A user who was erased.
    Erased(UserSlot),
    /// A user's privacy settings.
    Privacy(UserSlot),
    /// A user's device.
    Device(UserSlot, DeviceTag),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_read_back() {
        let bucket = Bucket::new(7).expect("in range");
        let session = SessionId::from_parts(bucket, [3; 16]);
        let slot = UserSlot { bucket, tag: UserTag::parse("AAECAwQF").expect("six bytes") };
        let ended = LedgerEntry::Session { session, reason: EndReason::User, application_tag: [0; 8] };
        let revoked = LedgerEntry::User { slot, epoch: 1, spared: None };
        assert_eq!(parse_sort_key(bucket, &ended.sort_key()), Some(Subject::Session(session)));
        assert_eq!(parse_sort_key(bucket, &revoked.sort_key()), Some(Subject::User(slot)));
        let erased = LedgerEntry::Erased { slot, epoch: 3, privacy_version: 0 };
        assert_eq!(parse_sort_key(bucket, &erased.sort_key()), Some(Subject::Erased(slot)));
        let settings = LedgerEntry::Privacy { slot, privacy: Privacy::default(), version: 1, told: Told::default() };
        assert_eq!(parse_sort_key(bucket, &settings.sort_key()), Some(Subject::Privacy(slot)));
        let device = DeviceTag::from_bytes([9; 8]);
        let removed = LedgerEntry::Device { slot, device, epoch: 1, reason: EndReason::DeviceRemoved };
        assert_eq!(parse_sort_key(bucket, &removed.sort_key()), Some(Subject::Device(slot, device)));
        let (application_tag, asking_tag) = ([2; 8], [3; 8]);
        let withdrawn = LedgerEntry::Family { session, application_tag, asking_tag };
        let subject = Subject::Family { session, application_tag, asking_tag };
        assert_eq!(parse_sort_key(bucket, &withdrawn.sort_key()), Some(subject));
        assert_eq!(parse_sort_key(bucket, "x#1"), None);
        let by_another = LedgerEntry::Session { session, reason: EndReason::User, application_tag: [1; 8] };
        assert_ne!(by_another.sort_key(), ended.sort_key());
    }
}
