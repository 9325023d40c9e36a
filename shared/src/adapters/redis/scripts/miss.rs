//! Counting misses.

use super::{Call, Operation, Reply, integer, items, millis};
use crate::adapters::redis::keys;
use crate::core::id::SessionId;
use crate::core::rate::Place;
use crate::limits::RATE_WINDOW_SECONDS;
use redis::Value;

script!(SCRIPT, "miss.lua", allow_oom);

/// Outcome of [`miss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Further misses are to be refused.
    pub over: bool,
    /// What is left of the window, by the store's clock.
    pub left_millis: u64,
}

/// Counts misses of a party: `session` when it is the holder of one, `application_id` when one is known.
pub fn miss(
    place: &Place,
    quota: u32,
    misses: u32,
    session: Option<&SessionId>,
    application_id: &str,
    operation: &Operation,
) -> Call {
    Call::new(&SCRIPT, vec![keys::rate(place), keys::outbox(place.bucket)])
        .number(quota)
        .number(misses)
        .number(RATE_WINDOW_SECONDS * 1000)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .arg(session.map(SessionId::key_text).unwrap_or_default())
        .arg(place.tag.text())
        .arg(application_id)
}

/// Reads the reply to [`miss`].
pub fn missed(reply: Value) -> Reply<Missed> {
    let reply = items(reply)?;
    Ok(Missed { over: integer(reply.first())? == 1, left_millis: millis(reply.get(1))? })
}
