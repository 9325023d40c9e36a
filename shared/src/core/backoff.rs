//! When a delivery is tried again.

use super::crypto;
use super::time::Timestamp;
use crate::limits::DELIVERY_ATTEMPTS_MAX;

/// Seconds to wait after the first, second, … failed attempt: a hiccup is over in half a minute, a bad release of a
/// receiver in an hour, and a receiver that stays away gets a try every three hours.
const WAIT_SECONDS: [u64; DELIVERY_ATTEMPTS_MAX as usize - 1] =
    [30, 120, 600, 3600, 7200, 7200, 10_800, 10_800, 10_800, 10_800, 10_800];

/// Longest lengthening of a wait, in percent of it.
const JITTER_PERCENT_MAX: u64 = 10;

/// When to try again after `attempts` failed attempts; `None` when there were enough. Deliveries that failed together do
/// not come back together: each wait is lengthened by up to a tenth, by a hash of the delivery and not by chance, so
/// that a run that is repeated decides the same.
pub fn next_attempt(attempts: u32, delivery_id: &str, now: Timestamp) -> Option<Timestamp> {
    let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let wait = *WAIT_SECONDS.get(index)?;
    let digest = crypto::hash(&[b"jitter", delivery_id.as_bytes(), &attempts.to_be_bytes()]);
    let share = u64::from(u16::from_be_bytes([digest[0], digest[1]]));
    let jitter = wait * JITTER_PERCENT_MAX * share / (100 * u64::from(u16::MAX));
    Some(now.plus_seconds(wait + jitter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_700_000_000)
    }

    fn wait(attempts: u32, delivery: &str) -> Option<i64> {
        next_attempt(attempts, delivery, now()).map(|at| at.seconds() - now().seconds())
    }

    #[test]
    fn waits_grow_up_to_the_last_attempt_and_end_within_a_day() {
        let mut total = 0;
        let mut before = 0;
        for attempts in 1..DELIVERY_ATTEMPTS_MAX {
            let base = WAIT_SECONDS[attempts as usize - 1] as i64;
            for delivery in 0..200 {
                let wait = wait(attempts, &format!("delivery-{delivery}")).expect("another attempt");
                assert!((base..=base + base / 10).contains(&wait), "{attempts}: {wait}");
            }
            assert!(base >= before, "{attempts}");
            before = base;
            total += base + base / 10;
        }
        assert!(total <= 24 * 3600, "{total}");
        assert_eq!(wait(DELIVERY_ATTEMPTS_MAX, "delivery"), None);
        assert_eq!(wait(0, "delivery"), None, "what was not tried has not failed");
    }

    #[test]
    fn jitter_spreads_and_does_not_change() {
        let waits: HashSet<_> = (0..100).map(|delivery| wait(4, &format!("delivery-{delivery}"))).collect();
        assert!(waits.len() > 50, "{}", waits.len());
        assert_eq!(wait(4, "delivery"), wait(4, "delivery"));
    }
}
