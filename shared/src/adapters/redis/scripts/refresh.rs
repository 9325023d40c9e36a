//! Presenting a refresh token.

use super::{
    Call, Operation, Reply, UnexpectedReply, bytes, items, reason, seen_record, session_keys, text, tombstone_millis,
};
use crate::adapters::redis::keys;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::record::SessionRecord;
use crate::core::refresh_decision::Presented;
use crate::core::time::Timestamp;
use crate::limits::HISTORY_SECONDS;
use redis::Value;

script!(SCRIPT, "refresh.lua", allow_oom);

/// Outcome of [`refresh`]; the cases are those of [`crate::core::refresh_decision`]. Records are as the token's
/// application sees them ([`crate::core::family::Family::merged_record`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// Case 1, or no record.
    Missing,
    /// Case 2.
    Ended(EndReason),
    /// Case 3; the tombstone is set.
    Lapsed(EndReason),
    /// Cases 5 to 7; the tombstone is set.
    Replay {
        /// The application that owned the session: an end in the ledger is in its name.
        owner_tag: [u8; 8],
    },
    /// Cases 4 and 8.
    Successor(SessionRecord),
    /// Case 11.
    Rotated(SessionRecord),
    /// Case 12.
    Healed(SessionRecord),
    /// Case 9, with the user's history.
    ContextChanged {
        /// The record to judge.
        record: SessionRecord,
        /// The bytes of the history, empty when there is none.
        history: Vec<u8>,
        /// Whether the session is another application's, and only shared.
        shared: bool,
    },
    /// Case 10.
    Moved,
    /// Case 13.
    WrongKey,
    /// Case 14.
    Superseded,
    /// Case 15.
    Quarantined(SessionRecord),
}

/// Presents a refresh token.
pub fn refresh(
    session: &SessionId,
    slot: UserSlot,
    presented: &Presented,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
    keys.push(keys::history(slot));
    let judged = presented.judged.as_ref();
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(presented.application_tag)
        .number(presented.generation)
        .arg(presented.operation)
        .arg(presented.address)
        .arg(presented.device)
        .number(judged.map_or(-1, |judged| i64::from(judged.revision)))
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .arg(presented.jkt.as_deref().unwrap_or_default())
        .number(judged.map_or(0, |judged| judged.standing.code()))
        .number(judged.map_or(0, |judged| judged.score))
        .arg(judged.and_then(|judged| judged.history.as_deref()).unwrap_or_default())
        .number(HISTORY_SECONDS * 1000)
        .arg(judged.and_then(|judged| judged.attributes.as_deref()).unwrap_or_default())
        .arg(judged.map_or("", |judged| judged.event.as_str()))
        .arg(judged.map_or("", |judged| &judged.detail))
}

/// Reads the reply to [`refresh`].
pub fn refreshed(reply: Value) -> Reply<Refreshed> {
    let reply = items(reply)?;
    let second = reply.get(1);
    let record = |value| seen_record(value, reply.get(2));
    Ok(match text(reply.first())? {
        "missing" => Refreshed::Missing,
        "ended" => Refreshed::Ended(reason(second)?),
        "lapsed" => Refreshed::Lapsed(reason(second)?),
        "replay" => Refreshed::Replay { owner_tag: bytes(second)?.try_into().map_err(|_| UnexpectedReply)? },
        "successor" => Refreshed::Successor(record(second)?),
        "rotated" => Refreshed::Rotated(record(second)?),
        "healed" => Refreshed::Healed(record(second)?),
        "context" => Refreshed::ContextChanged {
            record: record(second)?,
            history: bytes(reply.get(3))?.to_vec(),
            shared: !bytes(reply.get(2))?.is_empty(),
        },
        "key" => Refreshed::WrongKey,
        "superseded" => Refreshed::Superseded,
        "quarantined" => Refreshed::Quarantined(record(second)?),
        "moved" => Refreshed::Moved,
        _ => return Err(UnexpectedReply),
    })
}
