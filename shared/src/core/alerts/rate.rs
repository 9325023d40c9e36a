//! Counting over a window that slides by minutes.

use crate::core::time::Timestamp;

/// Length of a bin.
pub const MINUTE_SECONDS: i64 = 60;

/// How many events a minute had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// The number of the minute since the epoch.
    pub number: i64,
    /// Events.
    pub count: u64,
}

/// The highest count of any window that ends between `since` and `now`. Events reach the database late, and all at once
/// after an outage: looking at every window since the last evaluation misses none of them.
pub fn worst(minutes: &[Minute], window_seconds: u64, since: Timestamp, now: Timestamp) -> u64 {
    let length = i64::try_from(window_seconds).unwrap_or(i64::MAX) / MINUTE_SECONDS;
    let (first, last) = (since.seconds() / MINUTE_SECONDS, now.seconds() / MINUTE_SECONDS);
    let within = |end: i64| {
        let inside = minutes.iter().filter(|minute| minute.number > end - length && minute.number <= end);
        inside.map(|minute| minute.count).sum()
    };
    // Counts change at minutes that have events, so windows that end elsewhere are no higher than these.
    let ends = minutes.iter().map(|minute| minute.number).filter(|end| (first..=last).contains(end));
    ends.chain([first.min(last), last]).map(within).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_seconds(minute * 60)
    }

    fn minutes(counts: &[(i64, u64)]) -> Vec<Minute> {
        counts.iter().map(|(number, count)| Minute { number: *number, count: *count }).collect()
    }

    #[test]
    fn a_window_holds_its_last_minutes() {
        let counted = minutes(&[(100, 3), (102, 4), (104, 5)]);
        assert_eq!(worst(&counted, 300, at(104), at(104)), 12);
        assert_eq!(worst(&counted, 300, at(105), at(105)), 9);
        assert_eq!(worst(&counted, 300, at(109), at(109)), 0);
        assert_eq!(worst(&counted, 60, at(104), at(104)), 5);
        assert_eq!(worst(&counted, 60, at(103), at(103)), 0);
        assert_eq!(worst(&[], 300, at(0), at(9)), 0);
    }

    /// A burst that was written after its own window had passed is found by the evaluation after it.
    #[test]
    fn a_burst_that_comes_late_is_found() {
        let burst = minutes(&[(50, 40)]);
        assert_eq!(worst(&burst, 300, at(120), at(120)), 0);
        assert_eq!(worst(&burst, 300, at(40), at(120)), 40);
        assert_eq!(worst(&burst, 300, at(52), at(120)), 40);
        assert_eq!(worst(&burst, 300, at(55), at(120)), 0);
    }

    /// A clock that goes back makes no window negative.
    #[test]
    fn a_clock_that_goes_back_counts_what_is_there() {
        assert_eq!(worst(&minutes(&[(50, 7)]), 300, at(60), at(51)), 7);
    }
}
