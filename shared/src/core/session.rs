//! Whether a session lives, and when a read must record activity.

use super::end_reason::EndReason;
use super::record::{Header, State};
use super::time::Timestamp;
use crate::limits::TOUCH_INTERVAL_SECONDS_MAX;

/// The one definition of a live session, shared by reads, lists and (as its Lua twin) by every script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Usable.
    Alive,
    /// A tombstone.
    Ended(EndReason),
    /// Active on paper, but its time is over or its user's epoch has moved on; the sweep sets the tombstone.
    Lapsed(EndReason),
}

/// Judges a record: tombstone, then epoch, then absolute and idle timeout. A session is dead at its limit, not after.
pub fn liveness(header: &Header, epoch: u32, now: Timestamp) -> Liveness {
    match header.state {
        State::Ended(reason) => Liveness::Ended(reason),
        State::Active if header.epoch < epoch => Liveness::Lapsed(EndReason::RevokeAll),
        State::Active if now >= header.absolute_expires_at => Liveness::Lapsed(EndReason::Absolute),
        State::Active if now >= idle_expires_at(header) => Liveness::Lapsed(EndReason::Idle),
        State::Active => Liveness::Alive,
    }
}

/// When the session ends if nothing more happens, the absolute timeout aside.
pub fn idle_expires_at(header: &Header) -> Timestamp {
    header.last_activity_at.plus_seconds(u64::from(header.idle_timeout_seconds))
}

/// Reads write the last activity only this often: at most a minute, at most a twentieth of the idle timeout. A
/// session may therefore lapse that much early, never late.
pub fn touch_interval_seconds(idle_timeout_seconds: u32) -> u64 {
    (u64::from(idle_timeout_seconds) / 20).clamp(1, TOUCH_INTERVAL_SECONDS_MAX)
}

/// Whether a read at `now` must record its activity.
pub fn touch_due(header: &Header, now: Timestamp) -> bool {
    now >= header.last_activity_at.plus_seconds(touch_interval_seconds(header.idle_timeout_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::arbitrary;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).plus_seconds(seconds)
    }

    proptest! {
        #[test]
        fn time_and_epoch_only_ever_kill(header in arbitrary::header(), epoch in any::<u32>(), now in 0_u64..(1 << 31), later in 0_u64..1000) {
            if liveness(&header, epoch, at(now + later)) == Liveness::Alive {
                prop_assert_eq!(liveness(&header, epoch, at(now)), Liveness::Alive);
                prop_assert!(header.epoch >= epoch);
            }
        }
    }

    #[test]
    fn limits_are_exact() {
        let mut header = arbitrary::some_header();
        header.state = State::Active;
        header.epoch = 3;
        header.last_activity_at = at(1000);
        header.idle_timeout_seconds = 600;
        header.absolute_expires_at = at(2000);
        assert_eq!(liveness(&header, 3, at(1599)), Liveness::Alive);
        assert_eq!(liveness(&header, 3, at(1600)), Liveness::Lapsed(EndReason::Idle));
        assert_eq!(liveness(&header, 3, at(2000)), Liveness::Lapsed(EndReason::Absolute));
        assert_eq!(liveness(&header, 4, at(1000)), Liveness::Lapsed(EndReason::RevokeAll));
        assert!(!touch_due(&header, at(1029)));
        assert!(touch_due(&header, at(1030)));
    }
}
