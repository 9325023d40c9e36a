//! Committing the judgement of a changed context.

use super::{Call, Operation, Reply, UnexpectedReply, items, reason, record, text};
use crate::adapters::redis::keys;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::record::SessionRecord;
use crate::core::risk::Commitment;
use crate::core::time::Timestamp;
use crate::limits::HISTORY_SECONDS;
use redis::Value;

// What it adds is bounded: a fingerprint, three bytes of reasons, a place and one event.
script!(SCRIPT, "judge.lua", allow_oom);

/// Outcome of [`judge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Written; the record without its sealed data.
    Done(Box<SessionRecord>),
    /// No such session of this application.
    Missing,
    /// Over.
    Ended(EndReason),
    /// The record is of another revision than the one that was judged.
    Moved,
}

/// Commits a judgement of a record; `active` says whether the request counts as activity.
pub fn judge(
    session: &SessionId,
    slot: UserSlot,
    commitment: &Commitment,
    active: bool,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let keys = vec![keys::session(session), keys::epoch(slot), keys::outbox(slot.bucket), keys::history(slot)];
    Call::new(&SCRIPT, keys)
        .number(now.millis())
        .arg(session.key_text())
        .arg(commitment.record.header.application_tag)
        .arg(commitment.encode())
        .arg(operation.mark)
        .number(if active { now.millis() } else { 0 })
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(HISTORY_SECONDS * 1000)
}

/// Reads the reply to [`judge`].
pub fn judged(reply: Value) -> Reply<Judged> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "judged" => Judged::Done(Box::new(record(second)?)),
        "missing" => Judged::Missing,
        "ended" => Judged::Ended(reason(second)?),
        "moved" => Judged::Moved,
        _ => return Err(UnexpectedReply),
    })
}
