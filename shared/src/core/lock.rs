//! Session locks: who may change a session's data while others must not.
//!
//! A lock has an owner token, of which only a digest is kept, and a fencing number that rises with every lock ever
//! issued for the session. It ends by the store's own expiry, so the store's clock alone decides how long it lasts; the
//! numbers outlive it. A write under a lock is applied only while that lock is held and its number is the highest issued
//! (I-12). `lock.lua`, `unlock.lua` and `update.lua` take the decisions below inside Redis, and a test compares the two.

use super::crypto;
use super::time::Timestamp;
use crate::limits::{LOCK_HOLD_SECONDS_MAX, LOCK_RENEWALS_MAX};

/// What an owner token begins with.
const PREFIX: &str = "lk_";

/// The secret of a lock's owner: `lk_` and 128 random bits. It does not print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LockToken([u8; 16]);

/// What is kept of an owner token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub [u8; 16]);

impl LockToken {
    /// Makes a token of random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        LockToken(random)
    }

    /// Reads `lk_…`; anything but the canonical form is refused.
    pub fn parse(text: &str) -> Option<Self> {
        crypto::decode(text.strip_prefix(PREFIX)?).map(LockToken)
    }

    /// The token as its owner carries it.
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", crypto::encode(&self.0))
    }

    /// What the store may know of it. The token is random, so a plain hash can not be guessed back.
    pub fn owner(&self) -> Owner {
        let mut owner = [0; 16];
        owner.copy_from_slice(&crypto::hash(&[b"lock owner", &self.0])[..16]);
        Owner(owner)
    }
}

impl Owner {
    /// What tells one owner from another once the lock is gone.
    pub fn mark(&self) -> [u8; 8] {
        let mut mark = [0; 8];
        mark.copy_from_slice(&self.0[..8]);
        mark
    }
}

/// A lock as the store holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Whose it is.
    pub owner: Owner,
    /// Its fencing number.
    pub fence: u64,
    /// How often it has been renewed.
    pub renewals: u8,
    /// When it was first granted, by the store's clock.
    pub granted_at: Timestamp,
    /// Mark of the last operation: a repeated script call is told by it.
    pub operation: [u8; 8],
}

/// A lock that has not expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The lock.
    pub lock: Lock,
    /// What is left of it in milliseconds, by the store's clock.
    pub left_millis: u64,
}

/// What outlives the locks of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Issued {
    /// The highest fencing number so far; 0 before the first.
    pub highest: u64,
    /// [`Owner::mark`] of the lock that was released last.
    pub released_by: [u8; 8],
}

/// Length of a stored lock in bytes.
const LOCK_BYTES: usize = 37;

impl Lock {
    /// The bytes for Redis: owner, fence (48 bits), renewals, granted (48 bits), operation.
    pub fn encode(&self) -> [u8; LOCK_BYTES] {
        let mut bytes = [0; LOCK_BYTES];
        bytes[..16].copy_from_slice(&self.owner.0);
        bytes[16..22].copy_from_slice(&self.fence.to_be_bytes()[2..]);
        bytes[22] = self.renewals;
        bytes[23..29].copy_from_slice(&self.granted_at.millis().to_be_bytes()[2..]);
        bytes[29..].copy_from_slice(&self.operation);
        bytes
    }
}

impl Issued {
    /// The bytes for Redis: the highest fence (48 bits) and the mark.
    pub fn encode(&self) -> [u8; 14] {
        let mut bytes = [0; 14];
        bytes[..6].copy_from_slice(&self.highest.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&self.released_by);
        bytes
    }
}

/// What is asked of a session's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A lock for this new owner.
    Acquire,
    /// More time for the lock of this owner.
    Renew,
}

/// The answer to a request for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is the caller's for `left_millis`; write it, and its fence as the highest.
    Granted(Held),
    /// The same operation again: as it is.
    Repeated(Held),
    /// Somebody else holds it for so long.
    HeldByAnother {
        /// Milliseconds.
        left_millis: u64,
    },
    /// The lock to renew is not held any more.
    Lost,
    /// The lock is still held and can not be renewed again: too often, or for too long already. T-73.
    NotRenewable,
}

/// Decides about a request for a lock. `now` is the store's clock.
pub fn decide(
    wanted: Wanted,
    held: Option<Held>,
    issued: Issued,
    owner: Owner,
    operation: [u8; 8],
    ttl_millis: u64,
    now: Timestamp,
) -> Decision {
    match (wanted, held) {
        (_, Some(held)) if held.lock.operation == operation => Decision::Repeated(held),
        (Wanted::Acquire, Some(held)) => Decision::HeldByAnother { left_millis: held.left_millis },
        (Wanted::Acquire, None) => {
            let fence = next_fence(issued, now);
            let lock = Lock { owner, fence, renewals: 0, granted_at: now, operation };
            Decision::Granted(Held { lock, left_millis: ttl_millis })
        }
        (Wanted::Renew, None) => Decision::Lost,
        (Wanted::Renew, Some(held)) if held.lock.owner != owner => Decision::Lost,
        (Wanted::Renew, Some(Held { lock, .. })) => {
            let left = hold_left_millis(&lock, now);
            if lock.renewals >= LOCK_RENEWALS_MAX || left == 0 {
                return Decision::NotRenewable;
            }
            let lock = Lock { renewals: lock.renewals + 1, operation, ..lock };
            Decision::Granted(Held { lock, left_millis: ttl_millis.min(left) })
        }
    }
}

/// The number of the next lock. It is no less than the store's clock in milliseconds: should the store lose what it
/// issued, later locks have higher numbers all the same. T-72.
fn next_fence(issued: Issued, now: Timestamp) -> u64 {
    (issued.highest + 1).max(u64::try_from(now.millis()).unwrap_or(0))
}

/// How much longer a lock may be held, in milliseconds.
fn hold_left_millis(lock: &Lock, now: Timestamp) -> u64 {
    let until = lock.granted_at.plus_seconds(LOCK_HOLD_SECONDS_MAX);
    u64::try_from(until.millis() - now.millis()).unwrap_or(0)
}

/// The answer to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Remove the lock.
    Released,
    /// It was this owner who released it: the answer is that of the first time.
    Repeated,
    /// The token is not that of the lock, or there is no lock. T-70.
    Refused,
}

/// Decides about a release.
pub fn release(held: Option<Held>, issued: Issued, owner: Owner) -> Release {
    match held {
        Some(held) if held.lock.owner == owner => Release::Released,
        _ if issued.released_by == owner.mark() => Release::Repeated,
        Some(_) | None => Release::Refused,
    }
}

/// Whether a write may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Nobody's lock is in the way.
    Free,
    /// It presents no token, and somebody holds the lock for so long.
    Locked {
        /// Milliseconds.
        left_millis: u64,
    },
    /// The lock it relies on is not held, or a later one has been issued. T-71, I-12.
    Lost,
}

/// Decides about a write with or without an owner token.
pub fn check_write(held: Option<Held>, issued: Issued, presented: Option<Owner>) -> Write {
    match (presented, held) {
        (None, None) => Write::Free,
        (None, Some(held)) => Write::Locked { left_millis: held.left_millis },
        (Some(owner), Some(held)) if held.lock.owner == owner && held.lock.fence == issued.highest => Write::Free,
        (Some(_), Some(_) | None) => Write::Lost,
    }
}

/// How often a lock that has been renewed so often can still be renewed.
pub fn renewals_left(renewals: u8) -> u8 {
    LOCK_RENEWALS_MAX.saturating_sub(renewals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn t_70_tokens_are_128_bits_in_one_form_and_do_not_show_in_their_digest() {
        let token = LockToken::new([0xfe; 16]);
        let text = token.expose();
        assert_eq!(text.len(), 25);
        assert!(LockToken::parse(&text).is_some_and(|parsed| parsed == token));
        for other in ["", "lk_", "lk_AAAA", &text[3..], &format!("{text}="), &format!("{text}A"), &text.to_uppercase()]
        {
            assert!(LockToken::parse(other).is_none(), "{other}");
        }
        assert_ne!(token.owner(), LockToken::new([0xff; 16]).owner());
        assert!(!text.contains(&crypto::encode(&token.owner().0)));
    }

    /// I-12: should a store ever hold an older lock beside a newer number, nobody writes under it.
    #[test]
    fn i_12_a_lock_below_the_highest_number_does_not_write() {
        let owner = Owner([1; 16]);
        let lock = Lock { owner, fence: 7, renewals: 0, granted_at: Timestamp::from_millis(1), operation: [0; 8] };
        let held = Some(Held { lock, left_millis: 1000 });
        for (highest, expected) in [(7, Write::Free), (8, Write::Lost), (0, Write::Lost)] {
            let issued = Issued { highest, released_by: [0; 8] };
            assert_eq!(check_write(held, issued, Some(owner)), expected, "{highest}");
        }
    }

    /// A store that runs the decisions one after another, as Redis does.
    #[derive(Default)]
    struct Store {
        now: i64,
        lock: Option<(Lock, i64)>,
        issued: Issued,
        granted: Vec<u64>,
    }

    impl Store {
        fn held(&self) -> Option<Held> {
            let (lock, until) = self.lock.filter(|(_, until)| *until > self.now)?;
            Some(Held { lock, left_millis: u64::try_from(until - self.now).expect("positive") })
        }

        fn ask(&mut self, wanted: Wanted, owner: Owner, operation: [u8; 8], ttl: u64) -> Decision {
            let now = Timestamp::from_millis(self.now);
            let decision = decide(wanted, self.held(), self.issued, owner, operation, ttl, now);
            if let Decision::Granted(held) = decision {
                self.lock = Some((held.lock, self.now + i64::try_from(held.left_millis).expect("small")));
                if wanted == Wanted::Acquire {
                    self.issued.highest = held.lock.fence;
                    self.granted.push(held.lock.fence);
                }
            }
            decision
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Acquire(usize, u64),
        Renew(usize, u64),
        Write(usize),
        WriteWithout,
        Unlock(usize),
        Wait(i64),
        LoseEverything,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_usize..2, 1_u64..=60).prop_map(|(who, seconds)| Step::Acquire(who, seconds)),
            3 => (0_usize..2, 1_u64..=60).prop_map(|(who, seconds)| Step::Renew(who, seconds)),
            5 => (0_usize..2).prop_map(Step::Write),
            1 => Just(Step::WriteWithout),
            1 => (0_usize..2).prop_map(Step::Unlock),
            4 => prop_oneof![1_i64..2000, 1000_i64..70_000].prop_map(Step::Wait),
            1 => Just(Step::LoseEverything),
        ]
    }

    proptest! {
        /// I-12, T-71, T-72, T-73: two owners in any order, with expiry, renewals, late writes and a store that loses
        /// its memory. Whatever is written under a lock is written under the highest number ever issued, and no lock
        /// is held longer than it may be.
        #[test]
        fn i_12_only_the_newest_lock_writes(steps in proptest::collection::vec(step(), 1..120)) {
            let mut store = Store { now: 1_800_000_000_000, ..Store::default() };
            let owner = |who: usize, turn: usize| Owner([u8::try_from(turn % 200).expect("small") + 1, who as u8, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            // What each of the two believes to hold, and since when.
            let mut mine: [Option<(Owner, u64, i64)>; 2] = [None, None];
            let mut released = None;
            for (turn, step) in steps.into_iter().enumerate() {
                let mark = (turn as u64 + 1).to_be_bytes();
                match step {
                    Step::Wait(millis) => store.now += millis,
                    Step::LoseEverything => {
                        // A restart takes longer than the millisecond in which a number may have been issued.
                        store.now += 1000;
                        (store.lock, store.issued, released) = (None, Issued::default(), None);
                    }
                    Step::Acquire(who, seconds) => {
                        let before = store.held();
                        let highest = store.granted.iter().max().copied().unwrap_or(0);
                        match store.ask(Wanted::Acquire, owner(who, turn), mark, seconds * 1000) {
                            Decision::Granted(held) => {
                                prop_assert!(before.is_none());
                                prop_assert!(held.lock.fence > highest, "a number came twice");
                                mine[who] = Some((held.lock.owner, held.lock.fence, store.now));
                                let again = store.ask(Wanted::Acquire, owner(who, turn), mark, seconds * 1000);
                                prop_assert_eq!(again, Decision::Repeated(held));
                            }
                            other => prop_assert_eq!(
                                Some(other),
                                before.map(|held| Decision::HeldByAnother { left_millis: held.left_millis })
                            ),
                        }
                    }
                    Step::Renew(who, seconds) => {
                        let Some((token, fence, since)) = mine[who] else { continue };
                        let holds = store.held().is_some_and(|held| held.lock.fence == fence);
                        let decision = store.ask(Wanted::Renew, token, mark, seconds * 1000);
                        prop_assert_eq!(holds, decision != Decision::Lost);
                        if let Decision::Granted(held) = decision {
                            let until = store.now + i64::try_from(held.left_millis).expect("small");
                            prop_assert!(until - since <= i64::try_from(LOCK_HOLD_SECONDS_MAX * 1000).expect("small"));
                            prop_assert!(held.lock.renewals <= LOCK_RENEWALS_MAX);
                            prop_assert_eq!(held.lock.fence, fence);
                        }
                    }
                    Step::Write(who) => {
                        let Some((token, fence, _)) = mine[who] else { continue };
                        let newest = store.granted.iter().max() == Some(&fence);
                        let holds = store.held().is_some_and(|held| held.lock.fence == fence);
                        match check_write(store.held(), store.issued, Some(token)) {
                            Write::Free => prop_assert!(newest && holds),
                            Write::Lost => prop_assert!(!(newest && holds)),
                            Write::Locked { .. } => prop_assert!(false, "a token was presented"),
                        }
                    }
                    Step::WriteWithout => {
                        let free = check_write(store.held(), store.issued, None) == Write::Free;
                        prop_assert_eq!(free, store.held().is_none());
                    }
                    Step::Unlock(who) => {
                        let Some((token, fence, _)) = mine[who] else { continue };
                        let holds = store.held().is_some_and(|held| held.lock.fence == fence);
                        match release(store.held(), store.issued, token) {
                            Release::Released => {
                                prop_assert!(holds);
                                (store.lock, store.issued.released_by) = (None, token.mark());
                                released = Some(token);
                                prop_assert_eq!(release(None, store.issued, token), Release::Repeated);
                            }
                            Release::Refused => prop_assert!(!holds && released != Some(token)),
                            Release::Repeated => prop_assert!(!holds && released == Some(token)),
                        }
                    }
                }
            }
        }
    }
}
