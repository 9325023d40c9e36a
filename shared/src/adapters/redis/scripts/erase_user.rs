//! Taking a person out of Redis.

use super::{Call, Operation, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::id::UserSlot;
use crate::core::time::Timestamp;
use crate::limits;

script!(SCRIPT, "erase_user.lua", allow_oom);

/// Ends what is below an epoch and forgets what is kept of the user.
pub fn erase_user(
    slot: UserSlot,
    epoch: u32,
    privacy_version: u32,
    application_id: &str,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let keys = vec![
        keys::epoch(slot),
        keys::index(slot),
        keys::outbox(slot.bucket),
        keys::expiry_queue(slot.bucket),
        keys::history(slot),
        keys::privacy(slot),
    ];
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .number(epoch)
        .number(privacy_version)
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .number((limits::LEDGER_SECONDS + 24 * 3600) * 1000)
        .arg(slot.tag.text())
        .arg(application_id)
}
