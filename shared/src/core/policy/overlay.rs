//! What a policy says of one kind of device, or of one level of trust. Absent fields leave the rest as it is.

use super::{Binding, FieldError, RiskPolicy, SessionLimit, Violations};
use crate::limits::{
    ABSOLUTE_TIMEOUT_SECONDS_MAX, ABSOLUTE_TIMEOUT_SECONDS_MIN, IDLE_TIMEOUT_SECONDS_MAX, IDLE_TIMEOUT_SECONDS_MIN,
    REFRESH_GRACE_SECONDS_MAX, STEP_UP_AGE_SECONDS_MAX, STEP_UP_AGE_SECONDS_MIN,
};
use serde::{Deserialize, Serialize};

/// Overrides; the fields are those of [`super::Policy`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Overlay {
    /// Idle timeout in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_seconds: Option<u64>,
    /// The largest override of the idle timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_seconds_max: Option<u64>,
    /// Absolute timeout in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_timeout_seconds: Option<u64>,
    /// The largest override of the absolute timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_timeout_seconds_max: Option<u64>,
    /// Grace window in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_grace_seconds: Option<u64>,
    /// Live sessions that a user may have on devices of this type, beside the limit of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_limit: Option<SessionLimit>,
    /// Age of an authentication for sensitive operations, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_up_age_seconds: Option<u64>,
    /// Binding, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Risk, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<RiskPolicy>,
}

impl Overlay {
    /// Every field that is out of its bounds; `place` is the path of the overlay.
    pub(super) fn violations(&self, place: &str) -> Vec<FieldError> {
        let mut violations = Violations::at(place);
        let bounds = [
            ("idleTimeoutSeconds", self.idle_timeout_seconds, IDLE_TIMEOUT_SECONDS_MIN, IDLE_TIMEOUT_SECONDS_MAX),
            (
                "idleTimeoutSecondsMax",
                self.idle_timeout_seconds_max,
                IDLE_TIMEOUT_SECONDS_MIN,
                IDLE_TIMEOUT_SECONDS_MAX,
            ),
            (
                "absoluteTimeoutSeconds",
                self.absolute_timeout_seconds,
                ABSOLUTE_TIMEOUT_SECONDS_MIN,
                ABSOLUTE_TIMEOUT_SECONDS_MAX,
            ),
            (
                "absoluteTimeoutSecondsMax",
                self.absolute_timeout_seconds_max,
                ABSOLUTE_TIMEOUT_SECONDS_MIN,
                ABSOLUTE_TIMEOUT_SECONDS_MAX,
            ),
            ("refreshGraceSeconds", self.refresh_grace_seconds, 0, REFRESH_GRACE_SECONDS_MAX),
            ("stepUpAgeSeconds", self.step_up_age_seconds, STEP_UP_AGE_SECONDS_MIN, STEP_UP_AGE_SECONDS_MAX),
        ];
        for (field, value, min, max) in bounds {
            if let Some(value) = value {
                violations.within(field, value, min, max);
            }
        }
        if let Some(limit) = self.session_limit {
            violations.limit(limit);
        }
        if let Some(binding) = &self.binding {
            binding.check(&mut violations);
        }
        if let Some(risk) = &self.risk {
            risk.check(&mut violations);
        }
        violations.found
    }
}
