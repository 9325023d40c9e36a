//! The concurrent limits: whether one more session may begin, and which ones make room.
//! `scripts/create.lua` decides the same inside Redis.

use super::device::TrustLevel;
use super::policy::{OnLimit, SessionLimit};
use super::time::Timestamp;

/// A live session as admission sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// [`super::id::SessionId::key_text`]; breaks ties so that the choice is the same everywhere.
    pub key_text: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its last recorded activity.
    pub last_activity_at: Timestamp,
    /// How far its device is trusted.
    pub trust: TrustLevel,
    /// Whether its device is of the newcomer's type.
    pub same_type: bool,
}

/// The verdict on one more session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// A limit is reached and its policy rejects.
    Reject,
    /// Welcome, after these have been ended (most often none).
    Admit {
        /// `key_text` of the sessions to evict, in the order of the policy.
        evict: Vec<String>,
    },
}

/// Decides for a user with these live sessions. The limit of the newcomer's type comes first: what it evicts makes room
/// under the limit of the user as well.
pub fn admit(live: Vec<LiveSession>, limit: SessionLimit, type_limit: Option<SessionLimit>) -> Admission {
    let mut evict = Vec::new();
    let mut rest = live;
    if let Some(type_limit) = type_limit {
        let (of_type, others) = rest.into_iter().partition(|session| session.same_type);
        let Some(kept) = make_room(of_type, type_limit, &mut evict) else { return Admission::Reject };
        rest = others;
        rest.extend(kept);
    }
    match make_room(rest, limit, &mut evict) {
        Some(_) => Admission::Admit { evict },
        None => Admission::Reject,
    }
}

/// Moves whoever must go so that one more fits from `live` to `evict`, and returns the others; `None` rejects.
fn make_room(mut live: Vec<LiveSession>, limit: SessionLimit, evict: &mut Vec<String>) -> Option<Vec<LiveSession>> {
    let surplus = (live.len() + 1).saturating_sub(usize::try_from(limit.max).unwrap_or(usize::MAX));
    if surplus == 0 {
        return Some(live);
    }
    let order = |session: &LiveSession| match limit.on_limit {
        OnLimit::Reject | OnLimit::EvictOldest => (TrustLevel::Blocked, session.created_at),
        OnLimit::EvictLeastRecent => (TrustLevel::Blocked, session.last_activity_at),
        OnLimit::EvictLeastTrusted => (session.trust, session.last_activity_at),
    };
    match limit.on_limit {
        OnLimit::Reject => None,
        OnLimit::EvictOldest | OnLimit::EvictLeastRecent | OnLimit::EvictLeastTrusted => {
            live.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.key_text.cmp(&b.key_text)));
            let kept = live.split_off(surplus.min(live.len()));
            evict.extend(live.into_iter().map(|session| session.key_text));
            Some(kept)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn session(key_text: &str, created: i64, active: i64) -> LiveSession {
        LiveSession {
            key_text: key_text.into(),
            created_at: Timestamp::from_millis(created),
            last_activity_at: Timestamp::from_millis(active),
            trust: TrustLevel::New,
            same_type: false,
        }
    }

    fn evicted(names: &[&str]) -> Admission {
        Admission::Admit { evict: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn victims_follow_the_policy() {
        let live = || vec![session("b", 2, 9), session("a", 2, 8), session("c", 1, 10)];
        let evict = |max, on_limit| admit(live(), SessionLimit { max, on_limit }, None);
        assert_eq!(evict(4, OnLimit::Reject), evicted(&[]));
        assert_eq!(evict(3, OnLimit::Reject), Admission::Reject);
        assert_eq!(evict(3, OnLimit::EvictOldest), evicted(&["c"]));
        assert_eq!(evict(2, OnLimit::EvictOldest), evicted(&["c", "a"]));
        assert_eq!(evict(3, OnLimit::EvictLeastRecent), evicted(&["a"]));
    }

    /// T-66: logins from devices that proved nothing push out each other, not the devices of the user.
    #[test]
    fn t_66_the_least_trusted_goes_first() {
        let mut live = vec![session("known", 1, 1), session("late", 3, 9), session("early", 2, 8)];
        live[0].trust = TrustLevel::Known;
        let limit = |max| SessionLimit { max, on_limit: OnLimit::EvictLeastTrusted };
        assert_eq!(admit(live.clone(), limit(3), None), evicted(&["early"]));
        assert_eq!(admit(live, limit(1), None), evicted(&["early", "late", "known"]));
    }

    #[test]
    fn t_67_both_limits_hold_and_what_the_type_evicts_makes_room_for_the_user() {
        let mut live = vec![session("a", 1, 1), session("b", 2, 2), session("tv", 3, 3)];
        live[2].same_type = true;
        let limit = |max, on_limit| SessionLimit { max, on_limit };
        let decide = |user, of_type| admit(live.clone(), user, Some(of_type));
        let (one_evicts, one_rejects) = (limit(1, OnLimit::EvictOldest), limit(1, OnLimit::Reject));
        assert_eq!(decide(limit(3, OnLimit::Reject), one_evicts), evicted(&["tv"]));
        assert_eq!(decide(limit(9, OnLimit::EvictOldest), one_rejects), Admission::Reject);
        assert_eq!(decide(limit(2, OnLimit::EvictOldest), one_evicts), evicted(&["tv", "a"]));
        assert_eq!(decide(limit(2, OnLimit::Reject), one_evicts), Admission::Reject);
        assert_eq!(decide(limit(3, OnLimit::EvictOldest), limit(2, OnLimit::Reject)), evicted(&["a"]));
    }

    fn limits() -> impl Strategy<Value = SessionLimit> {
        let words =
            [OnLimit::Reject, OnLimit::EvictOldest, OnLimit::EvictLeastRecent, OnLimit::EvictLeastTrusted].to_vec();
        (1_u32..6, proptest::sample::select(words)).prop_map(|(max, on_limit)| SessionLimit { max, on_limit })
    }

    proptest! {
        /// I-4: after an admission neither limit is exceeded, and nobody goes who need not.
        #[test]
        fn i_4_no_admission_exceeds_a_limit(
            sessions in proptest::collection::vec((0_i64..4, any::<bool>()), 0..9), limit in limits(),
            type_limit in proptest::option::of(limits()),
        ) {
            let live: Vec<_> = sessions.iter().enumerate().map(|(index, (at, same_type))| LiveSession {
                same_type: *same_type, ..session(&index.to_string(), *at, *at)
            }).collect();
            if let Admission::Admit { evict } = admit(live.clone(), limit, type_limit) {
                let kept: Vec<_> = live.iter().filter(|one| !evict.contains(&one.key_text)).collect();
                prop_assert!(kept.len() < limit.max as usize || limit.max == 0);
                if let Some(type_limit) = type_limit {
                    prop_assert!(kept.iter().filter(|one| one.same_type).count() < type_limit.max as usize);
                }
                prop_assert_eq!(kept.len() + evict.len(), live.len());
            }
        }
    }
}
