//! How much may be asked in a minute.

use super::Violations;
use crate::limits::RATE_PER_MINUTE_MAX;
use serde::{Deserialize, Serialize};

/// Requests per minute; 0 sets no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RateLimits {
    /// Of the application's key.
    pub application_per_minute: u32,
    /// Of one session's holder.
    pub holder_per_minute: u32,
    /// Of one source address without an application's key.
    pub address_per_minute: u32,
    /// Of one caller for sessions that do not exist for it.
    pub unknown_per_minute: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        RateLimits {
            application_per_minute: 0,
            holder_per_minute: 600,
            address_per_minute: 1200,
            unknown_per_minute: 60,
        }
    }
}

impl RateLimits {
    pub(super) fn check(&self, violations: &mut Violations) {
        let rates = [
            ("rateLimits.applicationPerMinute", self.application_per_minute),
            ("rateLimits.holderPerMinute", self.holder_per_minute),
            ("rateLimits.addressPerMinute", self.address_per_minute),
            ("rateLimits.unknownPerMinute", self.unknown_per_minute),
        ];
        for (field, value) in rates {
            violations.within(field, u64::from(value), 0, u64::from(RATE_PER_MINUTE_MAX));
        }
    }
}
