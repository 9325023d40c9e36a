//! Sessions of a system that an application is leaving. Each is exchanged once for a session of this service.
//!
//! The application has verified the legacy session and says whose it is. Its id is a credential of the other system, so
//! nothing but a keyed digest of it is kept.

use super::crypto::{self, SecretKey};
use super::id::UserId;
use super::time::Timestamp;
use crate::limits::{LEGACY_REMEMBERED_SECONDS_MIN, LEGACY_REPEAT_SECONDS};

/// What the audit says of the beginning of a session that a legacy session was exchanged for.
pub const DETAIL: &str = "legacy";

/// What is kept of a legacy session's id. It belongs to one user of one application.
pub fn digest(secret: &SecretKey, application_id: &str, user: &UserId, id: &str) -> [u8; 16] {
    let parts = [b"legacy session", application_id.as_bytes(), user.as_str().as_bytes(), id.as_bytes()];
    let mac = crypto::mac(secret, &parts);
    let mut digest = [0; 16];
    digest.copy_from_slice(&mac[..16]);
    digest
}

/// Whether an exchange is still repeated: the same answer again, as for an idempotency key. After that the legacy session
/// is used up. The script that creates decides the same.
pub fn is_repeated(exchanged_at: Timestamp, now: Timestamp) -> bool {
    now < exchanged_at.plus_seconds(LEGACY_REPEAT_SECONDS)
}

/// How long an exchange is remembered: as long as the session may live that it made, and no shorter than any could.
pub fn remembered_millis(absolute_expires_at: Timestamp, now: Timestamp) -> i64 {
    let least = now.plus_seconds(LEGACY_REMEMBERED_SECONDS_MIN);
    absolute_expires_at.max(least).millis_since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::MAX;

    fn user(id: &str) -> UserId {
        UserId::parse(id).expect("a user id")
    }

    /// The same id of another application, of another user or under another key is another legacy session.
    #[test]
    fn a_digest_is_of_one_user_of_one_application() {
        let (key, other) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
        let ada = user("ada");
        let own = digest(&key, "shop", &ada, "sid");
        assert_eq!(own, digest(&key, "shop", &ada, "sid"));
        for digest in [
            digest(&other, "shop", &ada, "sid"),
            digest(&key, "forum", &ada, "sid"),
            digest(&key, "shop", &user("bob"), "sid"),
            digest(&key, "shop", &ada, "sid2"),
            digest(&key, "sho", &user("pada"), "sid"),
        ] {
            assert_ne!(own, digest);
        }
    }

    #[test]
    fn an_exchange_is_repeated_for_a_minute() {
        let now = NOW.minus_seconds(3600);
        let before = |millis: i64| Timestamp::from_millis(now.millis() - millis);
        let expected = [(-2000, true), (0, true), (59_999, true), (60_000, false), (86_400_000, false)];
        for (ago, repeated) in expected {
            assert_eq!(is_repeated(before(ago), now), repeated, "{ago} ms ago");
        }
    }

    #[test]
    fn an_exchange_is_remembered_until_the_absolute_end_and_for_thirty_days() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let day = 24 * 3600;
        for (lives, remembered) in [(60, 30 * day), (30 * day, 30 * day), (31 * day, 31 * day)] {
            let millis = remembered_millis(now.plus_seconds(lives), now);
            assert_eq!(millis, i64::try_from(remembered * 1000).expect("in range"));
        }
    }
}
