//! What a session's requests must have in common with its beginning. A request that does not is refused and leaves the
//! session as it is: whoever holds it rightly is not logged out by somebody else's attempt.

use super::Violations;
use serde::{Deserialize, Serialize};

/// How a session is bound to the address it began at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpBinding {
    /// Not at all: another network is a signal of risk and no more.
    Off,
    /// The prefix must be the same.
    Prefix,
    /// The address must be the same.
    Exact,
}

/// Binding rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Binding {
    /// Binding to the address.
    pub ip: IpBinding,
    /// Bits of an IPv4 address that are its prefix, 8 to 32.
    pub ipv4_prefix_bits: u8,
    /// Bits of an IPv6 address that are its prefix, 16 to 64: a device may change the rest every hour.
    pub ipv6_prefix_bits: u8,
    /// Whether every session must be bound to a key of its client (RFC 9449).
    pub require_key: bool,
    /// Whether proofs of possession must carry a nonce of this service (RFC 9449 §8).
    pub require_nonce: bool,
    /// Whether Device Bound Session Credentials are offered (cookie mode).
    pub device_bound_credentials: bool,
}

impl Default for Binding {
    fn default() -> Self {
        Binding {
            ip: IpBinding::Off,
            ipv4_prefix_bits: 24,
            ipv6_prefix_bits: 56,
            require_key: false,
            require_nonce: false,
            device_bound_credentials: false,
        }
    }
}

impl Binding {
    pub(super) fn check(&self, violations: &mut Violations) {
        violations.within("binding.ipv4PrefixBits", u64::from(self.ipv4_prefix_bits), 8, 32);
        violations.within("binding.ipv6PrefixBits", u64::from(self.ipv6_prefix_bits), 16, 64);
    }
}
