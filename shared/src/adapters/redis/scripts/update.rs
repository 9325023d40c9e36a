//! Replacing the sealed data of a session.

use super::{
    Call, Operation, Reply, UnexpectedReply, bytes, holder_context, integer, items, reason, record, session_keys, text,
    tombstone_millis,
};
use crate::adapters::redis::keys;
use crate::core::context::ContextDigests;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::record::SessionRecord;
use crate::core::risk::Commitment;
use crate::core::time::Timestamp;
use crate::limits::HISTORY_SECONDS;
use redis::Value;

script!(SCRIPT, "update.lua");

/// How the caller of a script is judged; an application is not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judging<'a> {
    /// The holder's context.
    pub context: Option<ContextDigests>,
    /// What was found of it, when it was not the record's.
    pub judgement: Option<&'a Commitment>,
}

/// Outcome of [`update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Updated {
    /// Replaced; the record without its sealed data.
    Done(Box<SessionRecord>),
    /// No such session of this application.
    Missing,
    /// Over.
    Ended(EndReason),
    /// The current version is another.
    OtherVersion(u32),
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
/// `caller` is how a holder is judged.
pub fn update(
    session: &SessionId,
    slot: UserSlot,
    application_tag: [u8; 8],
    expected_version: u32,
    expected_seal: Option<&[u8]>,
    sealed: &[u8],
    caller: Judging<'_>,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
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
        .arg(holder_context(caller.context))
        .arg(caller.judgement.map(Commitment::encode).unwrap_or_default())
        .number(HISTORY_SECONDS * 1000)
}

/// Reads the reply to [`update`].
pub fn updated(reply: Value) -> Reply<Updated> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "updated" => Updated::Done(Box::new(record(second)?)),
        "missing" => Updated::Missing,
        "ended" | "lapsed" => Updated::Ended(reason(second)?),
        "unjudged" => Updated::Unjudged { record: Box::new(record(second)?), history: bytes(reply.get(2))?.to_vec() },
        "moved" => Updated::Moved,
        "version" => Updated::OtherVersion(u32::try_from(integer(second)?).map_err(|_| UnexpectedReply)?),
        _ => return Err(UnexpectedReply),
    })
}
