//! Mirroring a user's privacy settings.

use super::{Call, Operation, Reply, integer};
use crate::adapters::redis::keys;
use crate::core::id::UserSlot;
use crate::core::privacy::Privacy;
use redis::Value;

script!(SCRIPT, "set_privacy.lua", allow_oom);

/// Mirrors the settings of a version, and takes what they switch off from all that is held in the user's slot.
pub fn set_privacy(
    slot: UserSlot,
    privacy: Privacy,
    version: u32,
    application_id: &str,
    detail: &str,
    operation: &Operation,
) -> Call {
    let keys = vec![keys::privacy(slot), keys::index(slot), keys::outbox(slot.bucket), keys::history(slot)];
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(privacy.bits())
        .number(version)
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .arg(slot.tag.text())
        .arg(application_id)
        .arg(detail)
}

/// Whether [`set_privacy`] took effect; not when a later version was there already.
pub fn privacy_set(reply: &Value) -> Reply<bool> {
    Ok(integer(Some(reply))? >= 0)
}
