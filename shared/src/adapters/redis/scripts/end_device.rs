//! Ending all sessions of a user's device.

use super::{Call, Operation, Reply, UnexpectedReply, integer, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::device_tag::DeviceTag;
use crate::core::end_reason::EndReason;
use crate::core::id::UserSlot;
use crate::core::time::Timestamp;
use crate::limits;
use redis::Value;

script!(SCRIPT, "end_device.lua", allow_oom);

/// Raises a device's epoch and ends its sessions of an earlier one.
pub fn end_device(
    slot: UserSlot,
    device: DeviceTag,
    epoch: u32,
    reason: EndReason,
    application_id: &str,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let keys = vec![
        keys::device_epoch(slot, device),
        keys::index(slot),
        keys::outbox(slot.bucket),
        keys::expiry_queue(slot.bucket),
        keys::epoch(slot),
    ];
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .number(epoch)
        .arg(device.bytes())
        .number(reason.code())
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .number((limits::LEDGER_SECONDS + 24 * 3600) * 1000)
        .arg(slot.tag.text())
        .arg(application_id)
}

/// How many sessions [`end_device`] ended.
pub fn device_ended(reply: &Value) -> Reply<u64> {
    u64::try_from(integer(Some(reply))?).map_err(|_| UnexpectedReply)
}
