//! Binding a session to the key of a browser.

use super::{Call, Operation, Reply, UnexpectedReply, items, reason, record, session_keys, text, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::attributes::Attributes;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::public_key::PublicKey;
use crate::core::record::SessionRecord;
use crate::core::time::Timestamp;
use redis::Value;

script!(SCRIPT, "bind_key.lua");

/// Outcome of [`bind_key`]; see [`crate::core::dbsc::Verdict`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyBound {
    /// It is the session's key; the record without its sealed data.
    Done(Box<SessionRecord>),
    /// No such session of this application.
    Missing,
    /// Over.
    Ended(EndReason),
    /// The session has a key already.
    Taken,
}

/// Binds a session to a key.
pub fn bind_key(
    session: &SessionId,
    slot: UserSlot,
    application_tag: [u8; 8],
    key: &PublicKey,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let added =
        Attributes { jkt: Some(key.thumbprint()), device_key: Some(*key.bytes()), ..Attributes::default() }.encode();
    Call::new(&SCRIPT, session_keys(session, slot))
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(application_tag)
        .arg(operation.mark)
        .arg(added)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
}

/// Reads the reply to [`bind_key`].
pub fn key_bound(reply: Value) -> Reply<KeyBound> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "bound" => KeyBound::Done(Box::new(record(second)?)),
        "missing" => KeyBound::Missing,
        "ended" | "lapsed" => KeyBound::Ended(reason(second)?),
        "taken" => KeyBound::Taken,
        _ => return Err(UnexpectedReply),
    })
}
