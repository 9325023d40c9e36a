//! How much may be asked in a minute.

use super::Violations;
use crate::limits::{
    ADDRESS_PER_MINUTE_DEFAULT, HOLDER_PER_MINUTE_DEFAULT, RATE_PER_MINUTE_MAX, UNKNOWN_PER_MINUTE_DEFAULT,
};
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
    /// Of one caller for what does not exist for it, with refused refresh tokens and application keys.
    pub unknown_per_minute: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        RateLimits {
            application_per_minute: 0,
            holder_per_minute: HOLDER_PER_MINUTE_DEFAULT,
            address_per_minute: ADDRESS_PER_MINUTE_DEFAULT,
            unknown_per_minute: UNKNOWN_PER_MINUTE_DEFAULT,
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
