//! Leasing permits of a quota.

use super::{Call, Reply, UnexpectedReply, items, millis};
use crate::adapters::redis::keys;
use crate::core::rate::Place;
use crate::limits::RATE_WINDOW_SECONDS;
use redis::Value;

script!(SCRIPT, "rate.lua", allow_oom);

/// Outcome of [`lease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased {
    /// Permits that are the caller's.
    pub granted: u32,
    /// Permits that nobody has leased.
    pub unleased: u32,
    /// What is left of the window, by the store's clock.
    pub left_millis: u64,
}

/// Leases permits of a quota per window.
pub fn lease(place: &Place, quota: u32, wanted: u32) -> Call {
    Call::new(&SCRIPT, vec![keys::rate(place)]).number(quota).number(wanted).number(RATE_WINDOW_SECONDS * 1000)
}

/// Reads the reply to [`lease`].
pub fn leased(reply: Value) -> Reply<Leased> {
    let reply = items(reply)?;
    let number = |index: usize| u32::try_from(millis(reply.get(index))?).map_err(|_| UnexpectedReply);
    Ok(Leased { granted: number(0)?, unleased: number(1)?, left_millis: millis(reply.get(2))? })
}
