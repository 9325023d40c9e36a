//! Recording activity.

use super::{Call, Reply, integer};
use crate::adapters::redis::keys;
use crate::core::id::{SessionId, UserSlot};
use crate::core::time::Timestamp;
use redis::Value;

script!(SCRIPT, "touch.lua", allow_oom);

/// Records activity.
pub fn touch(session: &SessionId, slot: UserSlot, now: Timestamp) -> Call {
    Call::new(&SCRIPT, vec![keys::session(session), keys::epoch(slot)]).number(now.millis())
}

/// Whether [`touch`] found the session alive.
pub fn touched(reply: &Value) -> Reply<bool> {
    Ok(integer(Some(reply))? == 1)
}
