//! Releasing the lock of a session.

use super::{Call, Operation, Reply, UnexpectedReply, items, lock_keys, reason, text, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::lock::Owner;
use crate::core::time::Timestamp;
use redis::Value;

script!(SCRIPT, "unlock.lua", allow_oom);

/// Outcome of [`unlock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlocked {
    /// Released by this operation.
    Done,
    /// Not held by this owner.
    Lost,
    /// No such session of this application.
    Missing,
    /// Over.
    Ended(EndReason),
}

/// Releases the lock of a session.
pub fn unlock(
    session: &SessionId,
    slot: UserSlot,
    application_tag: [u8; 8],
    owner: Owner,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    Call::new(&SCRIPT, lock_keys(session, slot))
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(application_tag)
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .arg(owner.0)
}

/// Reads the reply to [`unlock`].
pub fn unlocked(reply: Value) -> Reply<Unlocked> {
    let reply = items(reply)?;
    Ok(match text(reply.first())? {
        "released" => Unlocked::Done,
        "lost" => Unlocked::Lost,
        "missing" => Unlocked::Missing,
        "ended" | "lapsed" => Unlocked::Ended(reason(reply.get(1))?),
        _ => return Err(UnexpectedReply),
    })
}
