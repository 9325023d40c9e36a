//! Telling the audit of a refusal.

use crate::adapters::redis::keys;
use crate::core::id::{SessionId, UserSlot};
use crate::core::refusal::REFUSED;
use redis::{Cmd, cmd};

/// One plain command: an entry as `emit` of `record.lua` writes it. Sent twice it stands there twice; the audit keeps one row of
/// an id.
pub fn refused(
    slot: UserSlot,
    session: Option<&SessionId>,
    code: &str,
    detail: &str,
    application_id: &str,
    event_id: &str,
    common: &str,
) -> Cmd {
    let session = session.map(SessionId::key_text).unwrap_or_default();
    let mut command = cmd("XADD");
    command.arg(keys::outbox(slot.bucket)).arg("*");
    for (name, value) in [
        ("i", event_id),
        ("t", REFUSED),
        ("r", code),
        ("s", &session),
        ("u", &slot.tag.text()),
        ("a", application_id),
        ("c", common),
    ] {
        command.arg(name).arg(value);
    }
    if !detail.is_empty() {
        command.arg("d").arg(detail);
    }
    command
}
