//! Ending one session.

use super::{
    Call, Operation, Own, Reply, UnexpectedReply, integer, items, reason, session_keys, text, tombstone_millis,
};
use crate::adapters::redis::keys;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::time::Timestamp;
use redis::Value;

script!(SCRIPT, "end.lua", allow_oom);

/// Outcome of [`end`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Over, here or before, for this reason; for an application that shared the session, its share.
    Done(EndReason),
    /// No such session of this application.
    Missing,
    /// The calling holder's own session is over.
    CallerOver(Option<EndReason>),
}

/// Ends a session for its owner, or the share of an application that it is shared with; `caller` is the holder's own
/// session when a holder asks.
pub fn end(
    session: &SessionId,
    slot: UserSlot,
    caller: Option<&Own>,
    application_tag: [u8; 8],
    end_reason: EndReason,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    end_as_of(session, slot, caller, application_tag, end_reason, operation, now, Timestamp::MAX)
}

/// As [`end`], asked for at an earlier time: a share that began later stays.
pub fn end_as_of(
    session: &SessionId,
    slot: UserSlot,
    caller: Option<&Own>,
    application_tag: [u8; 8],
    end_reason: EndReason,
    operation: &Operation,
    now: Timestamp,
    asked_at: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
    keys.extend(caller.map(|own| keys::session(&own.session)));
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
        .arg(caller.map(Own::auth_time_text).unwrap_or_default())
        .number(asked_at.millis())
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
