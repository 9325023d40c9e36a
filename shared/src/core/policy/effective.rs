//! What a policy means for one session: the document with the overlays of its device's kind and trust.

use super::{Binding, DeviceType, FieldError, Overlay, Policy, RiskPolicy, SessionLimit, TrustLevel};
use crate::limits::{ABSOLUTE_TIMEOUT_SECONDS_MIN, IDLE_TIMEOUT_SECONDS_MIN, REFRESH_GRACE_SECONDS_UNBOUND_MAX};
use serde::Serialize;

/// The rules of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// Idle timeout in seconds.
    pub idle_timeout_seconds: u64,
    /// The largest override of it.
    pub idle_timeout_seconds_max: u64,
    /// Absolute timeout in seconds.
    pub absolute_timeout_seconds: u64,
    /// The largest override of it.
    pub absolute_timeout_seconds_max: u64,
    /// Grace window in seconds, of a session that is bound to a key.
    pub refresh_grace_seconds: u64,
    /// The limit of the user.
    pub session_limit: SessionLimit,
    /// The limit of the user's devices of this type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_limit: Option<SessionLimit>,
    /// Age of an authentication for sensitive operations, in seconds.
    pub step_up_age_seconds: u64,
    /// Binding.
    pub binding: Binding,
    /// Risk.
    pub risk: RiskPolicy,
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
    /// The rules of a session on a device of this kind and trust. A default above a smaller maximum is cut to it.
    pub fn effective(&self, kind: Option<DeviceType>, trust: TrustLevel) -> Effective {
        let of_type = kind.and_then(|kind| self.device_types.get(&kind));
        let mut rules = Effective {
            idle_timeout_seconds: self.idle_timeout_seconds,
            idle_timeout_seconds_max: self.idle_timeout_seconds_max,
            absolute_timeout_seconds: self.absolute_timeout_seconds,
            absolute_timeout_seconds_max: self.absolute_timeout_seconds_max,
            refresh_grace_seconds: self.refresh_grace_seconds,
            session_limit: self.session_limit,
            type_limit: of_type.and_then(|overlay| overlay.session_limit),
            step_up_age_seconds: self.step_up_age_seconds,
            binding: self.binding.clone(),
            risk: self.risk.clone(),
        };
        for overlay in of_type.into_iter().chain(self.trust_levels.get(&trust)) {
            rules.lay(overlay);
        }
        rules.idle_timeout_seconds = rules.idle_timeout_seconds.min(rules.idle_timeout_seconds_max);
        rules.absolute_timeout_seconds = rules.absolute_timeout_seconds.min(rules.absolute_timeout_seconds_max);
        rules
    }
}

impl Effective {
    fn lay(&mut self, overlay: &Overlay) {
        let fields = [
            (&mut self.idle_timeout_seconds, overlay.idle_timeout_seconds),
            (&mut self.idle_timeout_seconds_max, overlay.idle_timeout_seconds_max),
            (&mut self.absolute_timeout_seconds, overlay.absolute_timeout_seconds),
            (&mut self.absolute_timeout_seconds_max, overlay.absolute_timeout_seconds_max),
            (&mut self.refresh_grace_seconds, overlay.refresh_grace_seconds),
            (&mut self.step_up_age_seconds, overlay.step_up_age_seconds),
        ];
        for (field, stated) in fields {
            *field = stated.unwrap_or(*field);
        }
        if let Some(binding) = &overlay.binding {
            self.binding = binding.clone();
        }
        if let Some(risk) = &overlay.risk {
            self.risk = risk.clone();
        }
    }

    /// The grace window of a session, in seconds.
    pub fn grace_seconds(&self, key_bound: bool) -> u16 {
        let longest = if key_bound { u64::MAX } else { REFRESH_GRACE_SECONDS_UNBOUND_MAX };
        u16::try_from(self.refresh_grace_seconds.min(longest)).unwrap_or(u16::MAX)
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
    use crate::core::policy::OnLimit;
    use std::collections::BTreeMap;

    #[test]
    fn overrides_stay_inside_the_ceilings() {
        let policy = Policy {
            idle_timeout_seconds_max: 700_000,
            absolute_timeout_seconds_max: 2_000_000,
            absolute_timeout_seconds: 1_000_000,
            ..Policy::default()
        };
        let rules = policy.effective(None, TrustLevel::New);
        assert_eq!(rules.timeouts(Some(600), Some(3600)), Ok(Timeouts { idle_seconds: 600, absolute_seconds: 3600 }));
        assert_eq!(rules.timeouts(None, Some(3600)), Ok(Timeouts { idle_seconds: 3600, absolute_seconds: 3600 }));
        for (idle, absolute, field) in [
            (Some(59), None, "idleTimeoutSeconds"),
            (Some(700_001), None, "idleTimeoutSeconds"),
            (Some(601), Some(600), "idleTimeoutSeconds"),
            (None, Some(59), "absoluteTimeoutSeconds"),
            (None, Some(2_000_001), "absoluteTimeoutSeconds"),
            (None, Some(u64::MAX), "absoluteTimeoutSeconds"),
        ] {
            let errors = rules.timeouts(idle, absolute).expect_err(field);
            assert_eq!(errors[0].field, field);
        }
    }

    #[test]
    fn trust_has_the_last_word_over_type_and_type_over_the_rest() {
        let limit = SessionLimit { max: 1, on_limit: OnLimit::Reject };
        let tv = Overlay {
            idle_timeout_seconds: Some(1000),
            absolute_timeout_seconds_max: Some(5000),
            session_limit: Some(limit),
            ..Overlay::default()
        };
        let new = Overlay { idle_timeout_seconds: Some(500), refresh_grace_seconds: Some(0), ..Overlay::default() };
        let policy = Policy {
            device_types: BTreeMap::from([(DeviceType::Tv, tv)]),
            trust_levels: BTreeMap::from([(TrustLevel::New, new)]),
            ..Policy::default()
        };
        let both = policy.effective(Some(DeviceType::Tv), TrustLevel::New);
        assert_eq!((both.idle_timeout_seconds, both.absolute_timeout_seconds), (500, 5000));
        assert_eq!((both.refresh_grace_seconds, both.type_limit), (0, Some(limit)));
        let known = policy.effective(Some(DeviceType::Tv), TrustLevel::Known);
        assert_eq!((known.idle_timeout_seconds, known.refresh_grace_seconds), (1000, 10));
        let phone = policy.effective(Some(DeviceType::Phone), TrustLevel::Known);
        assert_eq!(phone, Policy::default().effective(None, TrustLevel::Known));
    }

    #[test]
    fn long_grace_windows_need_a_key() {
        let policy = Policy { refresh_grace_seconds: 600, ..Policy::default() };
        let rules = policy.effective(None, TrustLevel::New);
        assert_eq!((rules.grace_seconds(false), rules.grace_seconds(true)), (30, 600));
    }
}
