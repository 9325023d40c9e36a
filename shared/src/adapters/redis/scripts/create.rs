//! Admitting a session.

use super::{
    Call, Operation, Reply, UnexpectedReply, bytes, integer, items, session_keys, sessions, text, tombstone_millis,
};
use crate::adapters::redis::keys;
use crate::core::id::{Bucket, SessionId, UserSlot};
use crate::core::legacy_session;
use crate::core::policy::{Effective, OnLimit, SessionLimit};
use crate::core::privacy::Privacy;
use crate::core::record::SessionRecord;
use crate::core::risk::history::Entry;
use crate::core::time::Timestamp;
use crate::limits::{IDEMPOTENCY_SECONDS, LEGACY_REPEAT_SECONDS};
use redis::Value;

script!(SCRIPT, "create.lua");

/// What lets a creation happen once.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Keyed digest of application, user and what the claim is made by: the claim's name.
    pub name: String,
    /// What it is on.
    pub on: ClaimOn,
}

/// What a claim is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOn {
    /// The digest of the payload that an idempotency key stands for.
    Payload([u8; 16]),
    /// The exchange of a legacy session.
    LegacySession,
}

/// Outcome of [`create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// Admitted under this epoch; these sessions made room.
    Admitted {
        /// The user's epoch that the record carries.
        epoch: u32,
        /// The user's history before this session, when it was asked to learn something.
        history: Vec<u8>,
        /// Ended to make room.
        evicted: Vec<SessionId>,
    },
    /// The same idempotency key and payload, or a moment ago the same legacy session, came before: this session was the
    /// result.
    Replayed {
        /// The session of the first call.
        session: SessionId,
        /// What the first call evicted.
        evicted: Vec<SessionId>,
    },
    /// The idempotency key stood for another payload.
    KeyReused,
    /// The legacy session was exchanged before.
    Exchanged,
    /// A limit rejects.
    LimitReached,
    /// The user has switched off other things than the record was built for.
    PrivacyDiffers(Privacy),
    /// Sessions of the device ended after its epoch was read.
    DeviceChanged,
}

/// The limits that an admission keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of the user.
    pub of_user: SessionLimit,
    /// Of the user's devices of the newcomer's type.
    pub of_type: Option<SessionLimit>,
}

impl Limits {
    /// The limits of a session's rules.
    pub fn of(rules: &Effective) -> Self {
        Limits { of_user: rules.session_limit, of_type: rules.type_limit }
    }
}

/// Admits a session. The record's epoch is set by the script. `registration` is the id of the event that its device was
/// registered, when that is to be told; `seen` is what the user's history learns; `defaults` hold for a user who has not
/// chosen.
pub fn create(
    session: &SessionId,
    slot: UserSlot,
    (record, defaults): (&SessionRecord, Privacy),
    limits: Limits,
    registration: Option<&str>,
    operation: &Operation,
    claim: Option<&Claim>,
    seen: Option<&Entry>,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
    keys.push(keys::claim(slot.bucket, claim.map_or("none", |claim| &claim.name)));
    keys.push(keys::history(slot));
    keys.push(keys::privacy(slot));
    keys.extend(record.attributes.device_tag.map(|device| keys::device_epoch(slot, device)));
    // A session whose device is of no known type counts under no type.
    let device_type = record.attributes.device_type.as_deref().unwrap_or_default();
    let type_limit = limits.of_type.filter(|_| !device_type.is_empty());
    let claim = ClaimArguments::of(claim, record.header.absolute_expires_at, now);
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(record.encode())
        .number(limits.of_user.max)
        .number(on_limit(limits.of_user))
        .arg(&operation.event_id)
        .arg(&operation.common)
        .arg(&record.attributes.application_id)
        .number(tombstone_millis())
        .arg(claim.on)
        .number(claim.kept_millis)
        .arg(type_limit.map(|limit| limit.max.to_string()).unwrap_or_default())
        .number(type_limit.map_or(0, on_limit))
        .arg(device_type)
        .arg(registration.unwrap_or_default())
        .arg(seen.map(Entry::encode).map_or(Vec::new(), Vec::from))
        .number(crate::limits::HISTORY_SECONDS * 1000)
        .number(defaults.bits())
        .arg(claim.detail)
        .arg(claim.repeat_millis)
}

/// A claim as the script takes it.
struct ClaimArguments {
    on: Vec<u8>,
    kept_millis: i64,
    detail: &'static str,
    repeat_millis: String,
}

impl ClaimArguments {
    fn of(claim: Option<&Claim>, absolute_expires_at: Timestamp, now: Timestamp) -> Self {
        match claim.map(|claim| claim.on) {
            None => ClaimArguments { on: Vec::new(), kept_millis: 0, detail: "", repeat_millis: String::new() },
            Some(ClaimOn::Payload(digest)) => ClaimArguments {
                on: digest.to_vec(),
                kept_millis: IDEMPOTENCY_SECONDS as i64 * 1000,
                detail: "",
                repeat_millis: String::new(),
            },
            Some(ClaimOn::LegacySession) => ClaimArguments {
                on: now.millis().to_be_bytes()[2..].to_vec(),
                kept_millis: legacy_session::remembered_millis(absolute_expires_at, now),
                detail: legacy_session::DETAIL,
                repeat_millis: (LEGACY_REPEAT_SECONDS * 1000).to_string(),
            },
        }
    }
}

fn on_limit(limit: SessionLimit) -> u8 {
    match limit.on_limit {
        OnLimit::Reject => 0,
        OnLimit::EvictOldest => 1,
        OnLimit::EvictLeastRecent => 2,
        OnLimit::EvictLeastTrusted => 3,
    }
}

/// Reads the reply to [`create`].
pub fn created(bucket: Bucket, reply: Value) -> Reply<Created> {
    let reply = items(reply)?;
    let epoch = |value| u32::try_from(integer(value)?).map_err(|_| UnexpectedReply);
    Ok(match text(reply.first())? {
        "created" | "repeated" => {
            let history = bytes(reply.get(2))?.to_vec();
            Created::Admitted { epoch: epoch(reply.get(1))?, history, evicted: sessions(bucket, &reply[3..])? }
        }
        "replayed" => {
            let mut named = sessions(bucket, &reply[1..])?;
            if named.is_empty() {
                return Err(UnexpectedReply);
            }
            Created::Replayed { session: named.remove(0), evicted: named }
        }
        "mismatch" => Created::KeyReused,
        "exchanged" => Created::Exchanged,
        "limit" => Created::LimitReached,
        "device" => Created::DeviceChanged,
        "privacy" => {
            let bits = u8::try_from(integer(reply.get(1))?).map_err(|_| UnexpectedReply)?;
            Created::PrivacyDiffers(Privacy::from_bits(bits))
        }
        _ => return Err(UnexpectedReply),
    })
}
