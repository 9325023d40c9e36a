//! Telling the audit of something that changes nothing.

use super::{Call, Operation};
use crate::adapters::redis::keys;
use crate::core::id::SessionId;

script!(SCRIPT, "note_session.lua", allow_oom);

/// Notes an event about a session, with detail words.
pub fn note_session(
    session: &SessionId,
    application_tag: [u8; 8],
    event_type: &str,
    detail: &str,
    operation: &Operation,
) -> Call {
    Call::new(&SCRIPT, vec![keys::session(session), keys::outbox(session.bucket())])
        .arg(session.key_text())
        .arg(application_tag)
        .arg(event_type)
        .arg(detail)
        .arg(&operation.event_id)
        .arg(&operation.common)
}
