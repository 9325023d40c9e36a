//! An application's session policy, checked as a whole against the ceilings in [`crate::limits`].

use super::json::FieldError;
use crate::limits::{
    ABSOLUTE_TIMEOUT_SECONDS_DEFAULT, ABSOLUTE_TIMEOUT_SECONDS_MAX, ABSOLUTE_TIMEOUT_SECONDS_MIN,
    IDLE_TIMEOUT_SECONDS_DEFAULT, IDLE_TIMEOUT_SECONDS_MAX, IDLE_TIMEOUT_SECONDS_MIN, REFRESH_GRACE_SECONDS_DEFAULT,
    REFRESH_GRACE_SECONDS_MAX, SESSION_LIMIT_DEFAULT, SESSION_LIMIT_MAX,
};
use serde::{Deserialize, Serialize};

/// What happens to a session that would exceed the concurrent limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// 409; the user's sessions stay as they are.
    Reject,
    /// The session created first ends.
    EvictOldest,
    /// The session with the oldest activity ends.
    EvictLeastRecent,
}

/// The concurrent limit per user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionLimit {
    /// Live sessions a user may have, 1 to 100.
    pub max: u32,
    /// What happens at the limit.
    pub on_limit: OnLimit,
}

/// A policy document. Absent fields take the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// Seconds without activity after which a session ends, unless the session overrides it.
    pub idle_timeout_seconds: u64,
    /// The largest override of the idle timeout.
    pub idle_timeout_seconds_max: u64,
    /// Seconds after creation at which a session ends, unless the session overrides it.
    pub absolute_timeout_seconds: u64,
    /// The largest override of the absolute timeout.
    pub absolute_timeout_seconds_max: u64,
    /// Seconds during which the refresh token before the newest one still gets its successor.
    pub refresh_grace_seconds: u64,
    /// The concurrent limit.
    pub session_limit: SessionLimit,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            idle_timeout_seconds: IDLE_TIMEOUT_SECONDS_DEFAULT,
            idle_timeout_seconds_max: IDLE_TIMEOUT_SECONDS_MAX,
            absolute_timeout_seconds: ABSOLUTE_TIMEOUT_SECONDS_DEFAULT,
            absolute_timeout_seconds_max: ABSOLUTE_TIMEOUT_SECONDS_MAX,
            refresh_grace_seconds: REFRESH_GRACE_SECONDS_DEFAULT,
            session_limit: SessionLimit { max: SESSION_LIMIT_DEFAULT, on_limit: OnLimit::EvictLeastRecent },
        }
    }
}

/// The timeouts of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Seconds without activity.
    pub idle_seconds: u32,
    /// Seconds in all.
    pub absolute_seconds: u32,
}

impl Policy {
    /// Every field that is out of its bounds.
    pub fn violations(&self) -> Vec<FieldError> {
        let mut violations = Vec::new();
        let mut within = |field: &str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                violations.push(FieldError::new(format!("policy.{field}"), format!("must be {min} to {max}")));
            }
        };
        within(
            "idleTimeoutSecondsMax",
            self.idle_timeout_seconds_max,
            IDLE_TIMEOUT_SECONDS_MIN,
            IDLE_TIMEOUT_SECONDS_MAX,
        );
        within(
            "absoluteTimeoutSecondsMax",
            self.absolute_timeout_seconds_max,
            ABSOLUTE_TIMEOUT_SECONDS_MIN,
            ABSOLUTE_TIMEOUT_SECONDS_MAX,
        );
        within(
            "idleTimeoutSeconds",
            self.idle_timeout_seconds,
            IDLE_TIMEOUT_SECONDS_MIN,
            self.idle_timeout_seconds_max.min(IDLE_TIMEOUT_SECONDS_MAX),
        );
        within(
            "absoluteTimeoutSeconds",
            self.absolute_timeout_seconds,
            ABSOLUTE_TIMEOUT_SECONDS_MIN,
            self.absolute_timeout_seconds_max.min(ABSOLUTE_TIMEOUT_SECONDS_MAX),
        );
        within("refreshGraceSeconds", self.refresh_grace_seconds, 0, REFRESH_GRACE_SECONDS_MAX);
        within("sessionLimit.max", u64::from(self.session_limit.max), 1, u64::from(SESSION_LIMIT_MAX));
        violations
    }

    /// The timeouts of a session with these overrides. A default that exceeds a shorter absolute timeout is cut to it;
    /// a stated one is refused.
    pub fn timeouts(&self, idle: Option<u64>, absolute: Option<u64>) -> Result<Timeouts, Vec<FieldError>> {
        let mut errors = Vec::new();
        let absolute_seconds = absolute.unwrap_or(self.absolute_timeout_seconds);
        let absolute_range = ABSOLUTE_TIMEOUT_SECONDS_MIN..=self.absolute_timeout_seconds_max;
        if !absolute_range.contains(&absolute_seconds) {
            let detail = format!("must be {} to {}", absolute_range.start(), absolute_range.end());
            errors.push(FieldError::new("absoluteTimeoutSeconds", detail));
        }
        let idle_seconds = idle.unwrap_or(self.idle_timeout_seconds.min(absolute_seconds));
        let idle_range = IDLE_TIMEOUT_SECONDS_MIN..=self.idle_timeout_seconds_max.min(absolute_seconds);
        if idle.is_some() && !idle_range.contains(&idle_seconds) {
            let detail = format!("must be {} to {}", idle_range.start(), idle_range.end());
            errors.push(FieldError::new("idleTimeoutSeconds", detail));
        }
        match (errors.is_empty(), u32::try_from(idle_seconds), u32::try_from(absolute_seconds)) {
            (true, Ok(idle_seconds), Ok(absolute_seconds)) => Ok(Timeouts { idle_seconds, absolute_seconds }),
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_valid() {
        assert_eq!(Policy::default().violations(), []);
        assert!(Policy::default().timeouts(None, None).is_ok());
    }

    #[test]
    fn each_bound_is_named() {
        let fields = |policy: Policy| policy.violations().into_iter().map(|v| v.field).collect::<Vec<_>>();
        let default = Policy::default;
        assert_eq!(fields(Policy { idle_timeout_seconds: 59, ..default() }), ["policy.idleTimeoutSeconds"]);
        assert_eq!(fields(Policy { refresh_grace_seconds: 31, ..default() }), ["policy.refreshGraceSeconds"]);
        let max = ABSOLUTE_TIMEOUT_SECONDS_MAX + 1;
        assert_eq!(
            fields(Policy { absolute_timeout_seconds_max: max, ..default() }),
            ["policy.absoluteTimeoutSecondsMax"]
        );
        let session_limit = SessionLimit { max: 0, on_limit: OnLimit::Reject };
        assert_eq!(fields(Policy { session_limit, ..default() }), ["policy.sessionLimit.max"]);
    }

    #[test]
    fn overrides_stay_inside_the_ceilings() {
        let policy = Policy {
            idle_timeout_seconds_max: 700_000,
            absolute_timeout_seconds_max: 2_000_000,
            absolute_timeout_seconds: 1_000_000,
            ..Policy::default()
        };
        assert_eq!(policy.timeouts(Some(600), Some(3600)), Ok(Timeouts { idle_seconds: 600, absolute_seconds: 3600 }));
        assert_eq!(policy.timeouts(None, Some(3600)), Ok(Timeouts { idle_seconds: 3600, absolute_seconds: 3600 }));
        for (idle, absolute, field) in [
            (Some(59), None, "idleTimeoutSeconds"),
            (Some(700_001), None, "idleTimeoutSeconds"),
            (Some(601), Some(600), "idleTimeoutSeconds"),
            (None, Some(59), "absoluteTimeoutSeconds"),
            (None, Some(2_000_001), "absoluteTimeoutSeconds"),
            (None, Some(u64::MAX), "absoluteTimeoutSeconds"),
        ] {
            let errors = policy.timeouts(idle, absolute).expect_err(field);
            assert_eq!(errors[0].field, field);
        }
    }
}
