//! Waiting for a bucket that is just being moved to another store.

use crate::limits::{MOVE_PAUSE_MILLIS_MAX, MOVE_PAUSE_MILLIS_MIN};
use std::time::{Duration, Instant};

/// Pauses that grow, until a time is over.
pub struct Patience {
    began: Instant,
    most: Duration,
    next_millis: u64,
}

impl Patience {
    /// Patience for this long.
    pub fn of_millis(most: u64) -> Self {
        Patience { began: Instant::now(), most: Duration::from_millis(most), next_millis: MOVE_PAUSE_MILLIS_MIN }
    }

    /// Pauses, each time twice as long; at once `false` when the time is over.
    pub async fn pause(&mut self) -> bool {
        if self.began.elapsed() >= self.most {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(self.next_millis)).await;
        self.next_millis = (self.next_millis * 2).min(MOVE_PAUSE_MILLIS_MAX);
        true
    }
}
