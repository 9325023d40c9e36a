//! Replacing the sealed data of a session.

use super::{
    Call, Operation, Own, Reply, UnexpectedReply, bytes, holder_context, integer, items, lock_keys, millis, reason,
    record, text, tombstone_millis,
};
use crate::adapters::redis::keys;
use crate::core::context::ContextDigests;
use crate::core::end_reason::EndReason;
use crate::core::family::Family;
use crate::core::id::{SessionId, UserSlot};
use crate::core::lock::Owner;
use crate::core::record::SessionRecord;
use crate::core::risk::Commitment;
use crate::core::time::Timestamp;
use crate::limits::HISTORY_SECONDS;
use redis::Value;

script!(SCRIPT, "update.lua");

/// What lets the caller of [`update`] write. The default is an application without a lock.
#[derive(Clone, Copy, Default)]
pub struct Writer<'a> {
    /// What a calling holder's token says of the session.
    pub own: Option<&'a Own>,
    /// The owner of the lock that the write relies on.
    pub lock: Option<Owner>,
    /// The holder's context.
    pub context: Option<ContextDigests>,
    /// What was found of that context, when it was not the record's.
    pub judgement: Option<&'a Commitment>,
}

/// Outcome of [`update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Updated {
    /// Replaced; the record without its sealed data, and the family of an application that shares the session.
    Done(Box<SessionRecord>, Option<Family>),
    /// No such session of this application, or the holder's token is from before a step-up.
    Missing,
    /// Shared with the application, but not for writing.
    NotShared,
    /// Over.
    Ended(EndReason),
    /// The current version is another.
    OtherVersion(u32),
    /// No token was presented, and somebody holds the lock for so many milliseconds.
    Locked(u64),
    /// The lock of the presented token is not held any more.
    LockLost,
    /// The holder is quarantined, or its context has to be judged first.
    Unjudged {
        /// The record without its sealed data.
        record: Box<SessionRecord>,
        /// The bytes of the user's history, empty when there is none.
        history: Vec<u8>,
    },
    /// What was judged is not the record any more.
    Moved,
}

/// Replaces the sealed data at an expected version; `expected_seal` is the mark of the data that a patch was made from.
pub fn update(
    session: &SessionId,
    slot: UserSlot,
    application_tag: [u8; 8],
    expected_version: u32,
    expected_seal: Option<&[u8]>,
    sealed: &[u8],
    writer: Writer<'_>,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys = lock_keys(session, slot);
    keys.push(keys::history(slot));
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(application_tag)
        .number(expected_version)
        .arg(operation.mark)
        .arg(sealed)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .arg(expected_seal.map_or("any", |_| "this"))
        .arg(expected_seal.unwrap_or_default())
        .arg(writer.own.map_or("any".to_owned(), Own::auth_time_text))
        .arg(writer.lock.map_or_else(Vec::new, |owner| owner.0.to_vec()))
        .arg(holder_context(writer.context))
        .arg(writer.judgement.map(Commitment::encode).unwrap_or_default())
        .number(HISTORY_SECONDS * 1000)
}

/// Reads the reply to [`update`].
pub fn updated(reply: Value) -> Reply<Updated> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "updated" => {
            let family = match bytes(reply.get(2))? {
                [] => None,
                family => Some(Family::decode(family)?),
            };
            Updated::Done(Box::new(record(second)?), family)
        }
        "missing" => Updated::Missing,
        "scope" => Updated::NotShared,
        "ended" | "lapsed" => Updated::Ended(reason(second)?),
        "unjudged" => Updated::Unjudged { record: Box::new(record(second)?), history: bytes(reply.get(2))?.to_vec() },
        "moved" => Updated::Moved,
        "version" => Updated::OtherVersion(u32::try_from(integer(second)?).map_err(|_| UnexpectedReply)?),
        "locked" => Updated::Locked(millis(second)?),
        "lost" => Updated::LockLost,
        _ => return Err(UnexpectedReply),
    })
}
