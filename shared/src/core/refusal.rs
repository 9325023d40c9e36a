//! Refusals: answers by which the service denies something to somebody, and how often the audit is told of one.

use super::crypto;
use super::rate::{Party, Place, Quota};
use super::time::Timestamp;
use std::collections::HashSet;

/// The type of the event.
pub const REFUSED: &str = "request.refused";

/// What an error denies to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// Nothing: the request can not be done as it was put, or not at the moment.
    Nothing,
    /// To be taken for somebody: there is no credential or proof, or none that is accepted.
    Credential,
    /// More than a quota.
    Quota,
    /// An operation, for what the caller, its user or their device is.
    Operation,
    /// An operation on a session that is there for the caller, for what that session is.
    Session,
}

/// How often a refusal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// It is none.
    Never,
    /// Every one.
    Each,
    /// One of its caller, code and quota in a minute.
    OnceAMinute,
}

impl Denial {
    /// Whoever can show no good credential, or has used up a quota, can cause any number of refusals; everybody else answers
    /// for each.
    pub fn telling(self, caller: &Party) -> Telling {
        match (self, caller) {
            (Denial::Nothing, _) => Telling::Never,
            (Denial::Quota, _)
            | (Denial::Credential, Party::Holder(_))
            | (Denial::Credential | Denial::Operation | Denial::Session, Party::Source { .. }) => Telling::OnceAMinute,
            (Denial::Credential | Denial::Operation | Denial::Session, Party::Application(_))
            | (Denial::Operation | Denial::Session, Party::Holder(_)) => Telling::Each,
        }
    }
}

/// The id of the one event of a caller, code and quota in a minute: the same in every environment, and the audit keeps one
/// row of an id.
pub fn event_id(caller: &Place, code: &str, quota: Option<Quota>, minute: i64) -> [u8; 16] {
    let quota = quota.map_or("", Quota::as_str);
    let fields = [REFUSED.as_bytes(), caller.digest.as_bytes(), code.as_bytes(), quota.as_bytes()];
    let digest = crypto::hash(&[&fields[..], &[&minute.to_be_bytes()]].concat());
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

/// The minute of an instant.
pub fn minute(now: Timestamp) -> i64 {
    now.seconds().div_euclid(60)
}

/// What the event says beside its code: the operation, and the quota that is used up.
pub fn detail(operation: &str, quota: Option<Quota>) -> String {
    let quota = quota.map(|quota| format!("quota={}", quota.as_str()));
    [Some(operation.to_owned()), quota]
        .into_iter()
        .flatten()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}

/// The events of this minute that an environment has told of, so that it tells of none again.
#[derive(Debug)]
pub struct Told {
    capacity: usize,
    minute: i64,
    ids: HashSet<[u8; 16]>,
}

/// What to do about an event that is told once a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Tell it.
    First,
    /// It has been told.
    Again,
    /// There have been too many in this minute.
    Full,
}

impl Told {
    /// None so far, and at most so many in a minute.
    pub fn new(capacity: usize) -> Self {
        Told { capacity, minute: i64::MIN, ids: HashSet::new() }
    }

    /// Notes an event of a minute.
    pub fn turn(&mut self, minute: i64, id: [u8; 16]) -> Turn {
        if self.minute != minute {
            self.minute = minute;
            self.ids.clear();
        }
        if self.ids.contains(&id) {
            return Turn::Again;
        }
        if self.ids.len() >= self.capacity {
            return Turn::Full;
        }
        self.ids.insert(id);
        Turn::First
    }

    /// The event has not been told after all.
    pub fn forget(&mut self, id: &[u8; 16]) {
        self.ids.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::crypto::SecretKey;
    use crate::core::id::{SessionId, UserId, UserSlot};
    use crate::core::rate::{Counted, Network};
    use proptest::prelude::*;

    fn stranger(address: &str) -> Party {
        Party::Source { application: [0; 8], network: Network::of(address.parse().expect("an address")) }
    }

    fn holder() -> Party {
        let slot = UserSlot::of(&SecretKey::new([1; 32]), "shop", &UserId::parse("ada").expect("valid"));
        Party::Holder(SessionId::mint(slot, [7; 10], &SecretKey::new([2; 32])))
    }

    #[test]
    fn whoever_shows_no_credential_is_told_of_once_a_minute() {
        for denial in [Denial::Credential, Denial::Quota, Denial::Operation, Denial::Session] {
            assert_eq!(denial.telling(&stranger("203.0.113.7")), Telling::OnceAMinute, "{denial:?}");
        }
        for (denial, by_application, by_holder) in [
            (Denial::Credential, Telling::Each, Telling::OnceAMinute),
            (Denial::Quota, Telling::OnceAMinute, Telling::OnceAMinute),
            (Denial::Operation, Telling::Each, Telling::Each),
            (Denial::Session, Telling::Each, Telling::Each),
            (Denial::Nothing, Telling::Never, Telling::Never),
        ] {
            assert_eq!(denial.telling(&Party::Application([1; 8])), by_application, "{denial:?}");
            assert_eq!(denial.telling(&holder()), by_holder, "{denial:?}");
        }
    }

    #[test]
    fn events_of_a_minute_differ_by_caller_code_quota_and_minute() {
        let routing = SecretKey::new([2; 32]);
        let mut seen = HashSet::new();
        for party in [stranger("203.0.113.7"), stranger("203.0.113.8"), Party::Application([1; 8]), holder()] {
            let place = party.place(Counted::Misses, &routing);
            for code in ["credential_missing", "rate_limited"] {
                for quota in [None, Some(Quota::Address), Some(Quota::Unknown)] {
                    for at in [0, 59, 60] {
                        let id = event_id(&place, code, quota, minute(Timestamp::from_seconds(at)));
                        assert_eq!(seen.insert(id), at != 59, "{party:?} {code} {quota:?} {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn details_are_words() {
        assert_eq!(detail("lookup", None), "lookup");
        assert_eq!(detail("lookup", Some(Quota::Holder)), "lookup,quota=holder");
        assert_eq!(detail("", Some(Quota::Address)), "quota=address");
        assert_eq!(detail("", None), "");
    }

    #[test]
    fn what_was_not_told_is_told_the_next_time() {
        let mut told = Told::new(2);
        assert_eq!((told.turn(1, [1; 16]), told.turn(1, [1; 16])), (Turn::First, Turn::Again));
        told.forget(&[1; 16]);
        assert_eq!(told.turn(1, [1; 16]), Turn::First);
        assert_eq!((told.turn(1, [2; 16]), told.turn(1, [3; 16])), (Turn::First, Turn::Full));
        assert_eq!(told.turn(2, [3; 16]), Turn::First);
    }

    proptest! {
        /// However many strangers there are, an environment tells of so many a minute and of none twice.
        #[test]
        fn a_minute_tells_of_no_more_than_its_capacity(ids in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut told = Told::new(20);
            let first: Vec<u8> = ids.iter().copied().filter(|id| told.turn(5, [*id; 16]) == Turn::First).collect();
            let distinct: HashSet<u8> = ids.iter().copied().collect();
            prop_assert_eq!(first.len(), distinct.len().min(20));
            prop_assert_eq!(first.iter().collect::<HashSet<_>>().len(), first.len());
        }
    }
}
