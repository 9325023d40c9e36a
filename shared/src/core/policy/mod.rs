//! An application's session policy: one declarative document, checked as a whole against the ceilings in
//! [`crate::limits`].
//!
//! What the document states at its top holds for every session; `deviceTypes` and `trustLevels` overlay it, in this
//! order, so that what is said of a trust level has the last word ([`effective`]).

pub mod binding;
pub mod effective;
pub mod overlay;
pub mod preview;
pub mod privacy;
pub mod rates;
pub mod retention;
pub mod risk;

use super::device::{DeviceType, TrustLevel};
use super::json::FieldError;
use crate::limits::{
    ABSOLUTE_TIMEOUT_SECONDS_DEFAULT, ABSOLUTE_TIMEOUT_SECONDS_MAX, ABSOLUTE_TIMEOUT_SECONDS_MIN,
    IDLE_TIMEOUT_SECONDS_DEFAULT, IDLE_TIMEOUT_SECONDS_MAX, IDLE_TIMEOUT_SECONDS_MIN, REFRESH_GRACE_SECONDS_DEFAULT,
    REFRESH_GRACE_SECONDS_MAX, SESSION_LIMIT_DEFAULT, SESSION_LIMIT_MAX, STEP_UP_AGE_SECONDS_DEFAULT,
    STEP_UP_AGE_SECONDS_MAX, STEP_UP_AGE_SECONDS_MIN,
};
pub use binding::{Binding, IpBinding, PrefixBits};
pub use effective::{Effective, Timeouts};
pub use overlay::Overlay;
pub use preview::Preview;
pub use privacy::PrivacyDefaults;
pub use rates::RateLimits;
pub use retention::Retention;
pub use risk::{RiskMode, RiskPolicy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The session on the least trusted device ends; of those the one with the oldest activity. T-66.
    EvictLeastTrusted,
}

/// A concurrent limit: of a user, or of a user's devices of one type.
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
    /// Seconds during which the refresh token before the newest one still gets its successor. Cut to 30 for sessions
    /// that are not bound to a key.
    pub refresh_grace_seconds: u64,
    /// The concurrent limit of a user.
    pub session_limit: SessionLimit,
    /// How old an authentication may be for a sensitive operation, in seconds.
    pub step_up_age_seconds: u64,
    /// What a session's requests must have in common with its beginning.
    pub binding: Binding,
    /// How changed contexts are judged.
    pub risk: RiskPolicy,
    /// How much may be asked in a minute.
    pub rate_limits: RateLimits,
    /// What may be collected of users who have not chosen.
    #[serde(skip_serializing_if = "PrivacyDefaults::is_default")]
    pub privacy_defaults: PrivacyDefaults,
    /// What is kept for less time than the stack keeps it.
    #[serde(skip_serializing_if = "Retention::is_default")]
    pub retention: Retention,
    /// What differs by kind of device.
    pub device_types: BTreeMap<DeviceType, Overlay>,
    /// What differs by how far the device is trusted.
    pub trust_levels: BTreeMap<TrustLevel, Overlay>,
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
            step_up_age_seconds: STEP_UP_AGE_SECONDS_DEFAULT,
            binding: Binding::default(),
            risk: RiskPolicy::default(),
            rate_limits: RateLimits::default(),
            privacy_defaults: PrivacyDefaults::default(),
            retention: Retention::default(),
            device_types: BTreeMap::new(),
            trust_levels: BTreeMap::new(),
        }
    }
}

/// Collects what is out of bounds, with the path of the field.
pub(super) struct Violations {
    place: String,
    found: Vec<FieldError>,
}

impl Violations {
    fn at(place: &str) -> Self {
        Violations { place: place.to_owned(), found: Vec::new() }
    }

    fn within(&mut self, field: &str, value: u64, min: u64, max: u64) {
        if !(min..=max).contains(&value) {
            self.refuse(field, format!("must be {min} to {max}"));
        }
    }

    fn refuse(&mut self, field: &str, detail: impl Into<String>) {
        self.found.push(FieldError::new(format!("{}.{field}", self.place), detail));
    }

    fn limit(&mut self, limit: SessionLimit) {
        self.within("sessionLimit.max", u64::from(limit.max), 1, u64::from(SESSION_LIMIT_MAX));
    }
}

impl Policy {
    /// Whether proofs must carry a nonce. Which device a session is on shows in its record only, and a proof is judged
    /// before that is read: what the rules of any device demand is demanded of all.
    pub fn requires_nonce(&self) -> bool {
        let overlays = self.device_types.values().chain(self.trust_levels.values());
        let mut bindings = overlays.filter_map(|overlay| overlay.binding.as_ref());
        self.binding.require_nonce || bindings.any(|binding| binding.require_nonce)
    }

    /// Every field that is out of its bounds.
    pub fn violations(&self) -> Vec<FieldError> {
        let mut violations = Violations::at("policy");
        let (idle_max, absolute_max) = (self.idle_timeout_seconds_max, self.absolute_timeout_seconds_max);
        violations.within("idleTimeoutSecondsMax", idle_max, IDLE_TIMEOUT_SECONDS_MIN, IDLE_TIMEOUT_SECONDS_MAX);
        violations.within(
            "absoluteTimeoutSecondsMax",
            absolute_max,
            ABSOLUTE_TIMEOUT_SECONDS_MIN,
            ABSOLUTE_TIMEOUT_SECONDS_MAX,
        );
        violations.within(
            "idleTimeoutSeconds",
            self.idle_timeout_seconds,
            IDLE_TIMEOUT_SECONDS_MIN,
            idle_max.min(IDLE_TIMEOUT_SECONDS_MAX),
        );
        violations.within(
            "absoluteTimeoutSeconds",
            self.absolute_timeout_seconds,
            ABSOLUTE_TIMEOUT_SECONDS_MIN,
            absolute_max.min(ABSOLUTE_TIMEOUT_SECONDS_MAX),
        );
        violations.within("refreshGraceSeconds", self.refresh_grace_seconds, 0, REFRESH_GRACE_SECONDS_MAX);
        violations.limit(self.session_limit);
        violations.within(
            "stepUpAgeSeconds",
            self.step_up_age_seconds,
            STEP_UP_AGE_SECONDS_MIN,
            STEP_UP_AGE_SECONDS_MAX,
        );
        self.binding.check(&mut violations);
        self.risk.check(&mut violations);
        self.rate_limits.check(&mut violations);
        self.retention.check(&mut violations);
        let mut found = violations.found;
        for (kind, overlay) in &self.device_types {
            found.extend(overlay.violations(&format!("policy.deviceTypes.{}", kind.as_str())));
        }
        for (level, overlay) in &self.trust_levels {
            let place = format!("policy.trustLevels.{}", level.as_str());
            found.extend(overlay.violations(&place));
            if overlay.session_limit.is_some() {
                let detail = "limits count by user and by device type, not by trust";
                found.push(FieldError::new(format!("{place}.sessionLimit"), detail));
            }
            if *level == TrustLevel::Blocked {
                found.push(FieldError::new(place, "a blocked device has no sessions"));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_valid() {
        assert_eq!(Policy::default().violations(), []);
        assert!(Policy::default().effective(None, TrustLevel::New).timeouts(None, None).is_ok());
    }

    #[test]
    fn each_bound_is_named() {
        let fields = |policy: Policy| policy.violations().into_iter().map(|v| v.field).collect::<Vec<_>>();
        let default = Policy::default;
        assert_eq!(fields(Policy { idle_timeout_seconds: 59, ..default() }), ["policy.idleTimeoutSeconds"]);
        assert_eq!(fields(Policy { refresh_grace_seconds: 601, ..default() }), ["policy.refreshGraceSeconds"]);
        let max = ABSOLUTE_TIMEOUT_SECONDS_MAX + 1;
        assert_eq!(
            fields(Policy { absolute_timeout_seconds_max: max, ..default() }),
            ["policy.absoluteTimeoutSecondsMax"]
        );
        for (retention, field) in [
            (Retention { audit_months: Some(0), ..Retention::default() }, "policy.retention.auditMonths"),
            (Retention { activity_days: Some(3661), ..Retention::default() }, "policy.retention.activityDays"),
            (Retention { report_months: Some(121), ..Retention::default() }, "policy.retention.reportMonths"),
        ] {
            assert_eq!(fields(Policy { retention, ..default() }), [field]);
        }
        let session_limit = SessionLimit { max: 0, on_limit: OnLimit::Reject };
        assert_eq!(fields(Policy { session_limit, ..default() }), ["policy.sessionLimit.max"]);
        let overlay =
            Overlay { session_limit: Some(session_limit), idle_timeout_seconds: Some(1), ..Overlay::default() };
        let device_types = BTreeMap::from([(DeviceType::Tv, overlay.clone())]);
        assert_eq!(
            fields(Policy { device_types, ..default() }),
            ["policy.deviceTypes.tv.idleTimeoutSeconds", "policy.deviceTypes.tv.sessionLimit.max"]
        );
        let trust_levels = BTreeMap::from([(TrustLevel::New, Overlay { idle_timeout_seconds: None, ..overlay })]);
        assert_eq!(
            fields(Policy { trust_levels, ..default() }),
            ["policy.trustLevels.new.sessionLimit.max", "policy.trustLevels.new.sessionLimit"]
        );
        let trust_levels = BTreeMap::from([(TrustLevel::Blocked, Overlay::default())]);
        assert_eq!(fields(Policy { trust_levels, ..default() }), ["policy.trustLevels.blocked"]);
    }
}
