//! What a session's requests must have in common with its beginning. A request that does not is refused and leaves the
//! session as it is: whoever holds it rightly is not logged out by somebody else's attempt.

use super::{Policy, Violations};
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

/// How many bits of an address are its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixBits {
    /// Of IPv4.
    pub v4: u8,
    /// Of IPv6.
    pub v6: u8,
}

impl PrefixBits {
    /// The whole address.
    pub const EXACT: PrefixBits = PrefixBits { v4: 32, v6: 128 };

    /// The longer of each.
    pub fn finest(self, other: PrefixBits) -> PrefixBits {
        PrefixBits { v4: self.v4.max(other.v4), v6: self.v6.max(other.v6) }
    }
}

impl Binding {
    /// What counts as one network under this binding.
    pub fn bits(&self) -> PrefixBits {
        match self.ip {
            IpBinding::Exact => PrefixBits::EXACT,
            IpBinding::Off | IpBinding::Prefix => PrefixBits { v4: self.ipv4_prefix_bits, v6: self.ipv6_prefix_bits },
        }
    }
}

impl Policy {
    /// The longest prefix that any binding of the document looks at: two addresses that are equal under it are equal for
    /// every session, whatever its device's kind and trust.
    pub fn finest_bits(&self) -> PrefixBits {
        let overlays = self.device_types.values().chain(self.trust_levels.values());
        let bindings = overlays.filter_map(|overlay| overlay.binding.as_ref());
        bindings.fold(self.binding.bits(), |bits, binding| bits.finest(binding.bits()))
    }
}
