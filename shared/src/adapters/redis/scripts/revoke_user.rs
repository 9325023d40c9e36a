//! Ending all sessions of a user.

use super::{Call, Operation, Reply, UnexpectedReply, integer, items, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::id::UserSlot;
use crate::core::ledger::Spared;
use crate::core::time::Timestamp;
use crate::limits;
use redis::Value;

script!(SCRIPT, "revoke_user.lua", allow_oom);

/// Raises a user's epoch and ends what the index names.
pub fn revoke_user(
    slot: UserSlot,
    epoch: u32,
    spared: Option<&Spared>,
    application_id: &str,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys =
        vec![keys::epoch(slot), keys::index(slot), keys::outbox(slot.bucket), keys::expiry_queue(slot.bucket)];
    keys.extend(spared.map(|spared| keys::session(&spared.session)));
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .number(epoch)
        .arg(spared.map(|spared| spared.session.key_text()).unwrap_or_default())
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .number(limits::REVOKE_BATCH)
        .number((limits::LEDGER_SECONDS + 24 * 3600) * 1000)
        .arg(slot.tag.text())
        .arg(application_id)
        .number(spared.map_or(0, |spared| spared.floor))
}

/// How many sessions [`revoke_user`] ended itself; all others of an earlier epoch are over as well.
pub fn revoked(reply: Value) -> Reply<u64> {
    let reply = items(reply)?;
    u64::try_from(integer(reply.first())?).map_err(|_| UnexpectedReply)
}
