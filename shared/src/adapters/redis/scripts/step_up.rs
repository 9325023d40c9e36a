//! Committing a step-up.

use super::{Call, Operation, Reply, UnexpectedReply, items, reason, record, session_keys, text, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::record::SessionRecord;
use crate::core::time::Timestamp;
use crate::limits::HISTORY_SECONDS;
use redis::Value;

script!(SCRIPT, "step_up.lua");

/// Outcome of [`step_up`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SteppedUp {
    /// Committed; the record without its sealed data.
    Done(Box<SessionRecord>),
    /// The record is another than the one that was judged.
    Moved,
    /// No such session of this application.
    Missing,
    /// Over.
    Ended(EndReason),
}

/// Puts what [`crate::core::step_up::decide`] made of the record of a revision in its place; sealed data stay. `history` is
/// that of the user with the context of the re-authentication, when it is known.
pub fn step_up(
    session: &SessionId,
    slot: UserSlot,
    judged_revision: u32,
    stepped: &SessionRecord,
    history: Option<&[u8]>,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let without_data = SessionRecord { sealed: Vec::new(), ..stepped.clone() };
    let mut keys = session_keys(session, slot);
    keys.push(keys::history(slot));
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(stepped.header.application_tag)
        .number(judged_revision)
        .arg(without_data.encode())
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .arg(history.unwrap_or_default())
        .number(HISTORY_SECONDS * 1000)
}

/// Reads the reply to [`step_up`].
pub fn stepped_up(reply: Value) -> Reply<SteppedUp> {
    let reply = items(reply)?;
    Ok(match text(reply.first())? {
        "stepped" => SteppedUp::Done(Box::new(record(reply.get(1))?)),
        "moved" => SteppedUp::Moved,
        "missing" => SteppedUp::Missing,
        "ended" | "lapsed" => SteppedUp::Ended(reason(reply.get(1))?),
        _ => return Err(UnexpectedReply),
    })
}
