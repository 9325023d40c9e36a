//! How far the audit is behind the outboxes.

use super::metrics::Measure;
use super::time::Timestamp;

/// What waits to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    oldest: Option<Timestamp>,
    waiting: u64,
}

impl Lag {
    /// So many entries wait.
    pub fn waiting(&mut self, entries: u64) {
        self.waiting += entries;
    }

    /// One of them was queued then.
    pub fn seen(&mut self, queued_at: Timestamp) {
        self.oldest = Some(self.oldest.map_or(queued_at, |oldest| oldest.min(queued_at)));
    }

    /// Age of the oldest entry, and how many there are.
    pub fn measures(&self, now: Timestamp) -> [Measure; 2] {
        let age = self.oldest.map_or(0, |oldest| now.millis_since(oldest) / 1000);
        [Measure::seconds("OldestWaitingSeconds", age), Measure::count("EntriesWaiting", self.waiting)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_counts_and_every_bucket() {
        let now = Timestamp::from_seconds(1000);
        let values = |lag: &Lag| lag.measures(now).map(|measure| measure.value);
        let mut lag = Lag::default();
        assert_eq!(values(&lag), [0, 0]);
        lag.waiting(2);
        lag.seen(Timestamp::from_seconds(970));
        lag.waiting(3);
        lag.seen(Timestamp::from_seconds(940));
        lag.seen(Timestamp::from_seconds(999));
        assert_eq!(values(&lag), [60, 5]);
        // The clock of the store may be ahead.
        let mut ahead = Lag::default();
        ahead.seen(Timestamp::from_seconds(1001));
        assert_eq!(values(&ahead), [0, 0]);
    }
}
