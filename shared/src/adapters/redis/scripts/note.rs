//! Telling the audit of a change that another store holds.

use super::{Call, Operation};
use crate::adapters::redis::keys;
use crate::core::id::UserSlot;

script!(SCRIPT, "note.lua");

/// Appends one event about a user. `reason` is a word of the audit, or empty.
pub fn note(
    slot: UserSlot,
    event_type: &'static str,
    reason: &str,
    application_id: &str,
    operation: &Operation,
) -> Call {
    note_detail(slot, event_type, reason, "", application_id, operation)
}

/// As [`note`], with a detail.
pub fn note_detail(
    slot: UserSlot,
    event_type: &'static str,
    reason: &str,
    detail: &str,
    application_id: &str,
    operation: &Operation,
) -> Call {
    Call::new(&SCRIPT, vec![keys::outbox(slot.bucket)])
        .arg(&operation.event_id)
        .arg(event_type)
        .arg(reason)
        .arg(slot.tag.text())
        .arg(application_id)
        .arg(&operation.common)
        .arg(detail)
}
