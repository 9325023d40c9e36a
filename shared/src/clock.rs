//! The only place that reads the system clock.

use crate::core::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock of this environment.
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}
