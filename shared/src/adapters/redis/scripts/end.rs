//! Ending one session.

use super::{Call, Operation, Reply, UnexpectedReply, integer, items, reason, session_keys, text, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::time::Timestamp;
use redis::Value;

script!(SCRIPT, "end.lua", allow_oom);

/// Outcome of [`end`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Over, here or before, for this reason.
    Done(EndReason),
    /// No such session of this application.
    Missing,
    /// The calling holder's own session is over.
    CallerOver(Option<EndReason>),
}

/// Ends a session; `caller` is the holder's own session when a holder asks.
pub fn end(
    session: &SessionId,
    slot: UserSlot,
    caller: Option<&SessionId>,
    application_tag: [u8; 8],
    end_reason: EndReason,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
    keys.extend(caller.map(keys::session));
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(application_tag)
        .number(end_reason.code())
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
}

/// Reads the reply to [`end`].
pub fn ended(reply: Value) -> Reply<Ended> {
    let reply = items(reply)?;
    Ok(match text(reply.first())? {
        "ended" => Ended::Done(reason(reply.get(1))?),
        "missing" => Ended::Missing,
        "caller" => Ended::CallerOver(u8::try_from(integer(reply.get(1))?).ok().and_then(EndReason::from_code)),
        _ => return Err(UnexpectedReply),
    })
}
