//! The concurrent limit: whether one more session may begin, and which ones make room.
//! `scripts/create.lua` decides the same inside Redis.

use super::policy::OnLimit;
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
}

/// The verdict on one more session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The limit is reached and the policy rejects.
    Reject,
    /// Welcome, after these have been ended (most often none).
    Admit {
        /// `key_text` of the sessions to evict, in the order of the policy.
        evict: Vec<String>,
    },
}

/// Decides for a user with these live sessions.
pub fn admit(mut live: Vec<LiveSession>, max: u32, on_limit: OnLimit) -> Admission {
    let surplus = (live.len() + 1).saturating_sub(usize::try_from(max).unwrap_or(usize::MAX));
    if surplus == 0 {
        return Admission::Admit { evict: Vec::new() };
    }
    let order = |session: &LiveSession| match on_limit {
        OnLimit::Reject | OnLimit::EvictOldest => session.created_at,
        OnLimit::EvictLeastRecent => session.last_activity_at,
    };
    match on_limit {
        OnLimit::Reject => Admission::Reject,
        OnLimit::EvictOldest | OnLimit::EvictLeastRecent => {
            live.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.key_text.cmp(&b.key_text)));
            Admission::Admit { evict: live.into_iter().take(surplus).map(|session| session.key_text).collect() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(key_text: &str, created: i64, active: i64) -> LiveSession {
        LiveSession {
            key_text: key_text.into(),
            created_at: Timestamp::from_millis(created),
            last_activity_at: Timestamp::from_millis(active),
        }
    }

    #[test]
    fn victims_follow_the_policy() {
        let live = || vec![session("b", 2, 9), session("a", 2, 8), session("c", 1, 10)];
        let evict = |max, on_limit| admit(live(), max, on_limit);
        assert_eq!(evict(4, OnLimit::Reject), Admission::Admit { evict: vec![] });
        assert_eq!(evict(3, OnLimit::Reject), Admission::Reject);
        assert_eq!(evict(3, OnLimit::EvictOldest), Admission::Admit { evict: vec!["c".into()] });
        assert_eq!(evict(2, OnLimit::EvictOldest), Admission::Admit { evict: vec!["c".into(), "a".into()] });
        assert_eq!(evict(3, OnLimit::EvictLeastRecent), Admission::Admit { evict: vec!["a".into()] });
    }
}
