//! How a changed context is judged: whether at all, and at which score what happens.

use super::Violations;
use serde::{Deserialize, Serialize};

/// What a verdict does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskMode {
    /// Nothing is scored.
    Off,
    /// Verdicts are reached and recorded, and do nothing.
    Shadow,
    /// Verdicts take effect.
    Enforce,
}

/// Scores from which on each verdict is reached; 0 to 100, and 101 for never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RiskPolicy {
    /// What verdicts do.
    pub mode: RiskMode,
    /// From this score on, sensitive operations need a step-up.
    pub step_up_at: u8,
    /// From this score on, nothing but a step-up is possible.
    pub quarantine_at: u8,
    /// From this score on, the session ends.
    pub end_at: u8,
}

impl Default for RiskPolicy {
    fn default() -> Self {
        RiskPolicy { mode: RiskMode::Enforce, step_up_at: 40, quarantine_at: 70, end_at: 101 }
    }
}

impl RiskPolicy {
    pub(super) fn check(&self, violations: &mut Violations) {
        let thresholds = [
            ("risk.stepUpAt", self.step_up_at, 1),
            ("risk.quarantineAt", self.quarantine_at, self.step_up_at),
            ("risk.endAt", self.end_at, self.quarantine_at),
        ];
        for (field, value, min) in thresholds {
            violations.within(field, u64::from(value), u64::from(min), 101);
        }
    }
}
