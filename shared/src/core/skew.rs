//! Whether an environment may go by its own clock: it is held to the clock of the store, which all environments share.

use super::time::Timestamp;
use crate::limits::{CLOCK_CHECK_SECONDS, CLOCK_JUMP_MILLIS, CLOCK_SKEW_MILLIS_MAX};

/// What two clocks said, one of them asked by way of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// The environment's clock before the store was asked.
    pub before: Timestamp,
    /// The store's answer.
    pub store: Timestamp,
    /// The environment's clock when the answer was there.
    pub after: Timestamp,
}

impl Comparison {
    /// How far the environment's clock is ahead of the store's at the least, in milliseconds; negative when it is behind.
    /// An answer that took its time proves nothing for as long as it took.
    pub fn ahead_millis(self) -> i64 {
        let (before, store, after) = (self.before.millis(), self.store.millis(), self.after.millis());
        if store < before {
            before - store
        } else if store > after {
            after - store
        } else {
            0
        }
    }

    /// Whether time may be judged by the environment's clock. I-16, F-30.
    pub fn agrees(self) -> bool {
        self.ahead_millis().abs() <= CLOCK_SKEW_MILLIS_MAX
    }
}

/// Whether a clock still goes as it went when it was compared: by now `wall_millis` have passed on it, and
/// `monotonic_millis` on a clock that nobody sets. It is compared again after a jump, and now and then.
pub fn is_steady(wall_millis: i64, monotonic_millis: i64) -> bool {
    (wall_millis - monotonic_millis).abs() <= CLOCK_JUMP_MILLIS && monotonic_millis < CLOCK_CHECK_SECONDS * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn comparison(before: i64, store: i64, after: i64) -> Comparison {
        Comparison {
            before: Timestamp::from_millis(before),
            store: Timestamp::from_millis(store),
            after: Timestamp::from_millis(after),
        }
    }

    #[test]
    fn two_seconds_are_the_limit_on_both_sides() {
        for (before, agrees) in [(102_000, true), (102_001, false), (98_000, true), (97_999, false)] {
            assert_eq!(comparison(before, 100_000, before).agrees(), agrees, "{before}");
        }
        assert_eq!(comparison(3_700_000, 100_000, 3_700_005).ahead_millis(), 3_600_000);
        assert_eq!(comparison(100_000, 3_700_000, 100_005).ahead_millis(), -3_599_995);
    }

    proptest! {
        #[test]
        fn a_slow_answer_refuses_no_good_clock(sent in 0_i64..10_000, stay in 0_i64..10_000, back in 0_i64..10_000) {
            prop_assert_eq!(comparison(sent, sent + stay, sent + stay + back).ahead_millis(), 0);
        }
    }

    #[test]
    fn a_jump_and_a_long_time_ask_for_another_comparison() {
        assert!(is_steady(299_000, 299_999));
        assert!(is_steady(-1000, 0) && is_steady(1000, 0));
        assert!(!is_steady(-1001, 0) && !is_steady(3_600_000, 10));
        assert!(!is_steady(300_000, 300_000));
    }
}
