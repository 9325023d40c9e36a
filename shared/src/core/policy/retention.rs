//! How long what an application has caused is kept, where that is shorter than the stack keeps it.

use super::Violations;
use crate::limits::{ACTIVITY_RETENTION_DAYS_MAX, RETENTION_MONTHS_MAX};
use serde::{Deserialize, Serialize};

/// What is kept per class of data; a class that is absent is kept as long as the stack keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retention {
    /// Whole months of its audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_months: Option<u32>,
    /// Whole days of its recorded activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_days: Option<u32>,
    /// Whole months of what its reports are made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_months: Option<u32>,
}

impl Retention {
    /// Whether nothing is stated.
    pub fn is_default(&self) -> bool {
        *self == Retention::default()
    }

    pub(super) fn check(&self, violations: &mut Violations) {
        let stated = [
            ("retention.auditMonths", self.audit_months, RETENTION_MONTHS_MAX),
            ("retention.activityDays", self.activity_days, ACTIVITY_RETENTION_DAYS_MAX),
            ("retention.reportMonths", self.report_months, RETENTION_MONTHS_MAX),
        ];
        for (field, value, max) in stated {
            if let Some(value) = value {
                violations.within(field, u64::from(value), 1, u64::from(max));
            }
        }
    }
}
