//! The caller's context: where a request comes from and with what, reduced to keyed digests.
//!
//! Digests are keyed with the family's MAC key, so equal devices of two stacks, or of two key generations, do not
//! match each other in a dump.

use super::crypto::{self, SecretKey};
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// What is known of a client. Everything is optional: an application may know little of its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientContext {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// An opaque fingerprint the application computed.
    pub fingerprint: Option<String>,
}

/// The digests that a record keeps; zeros mean unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContextDigests {
    /// Of the address prefix.
    pub address: [u8; 8],
    /// Of user agent and fingerprint.
    pub device: [u8; 8],
}

impl ClientContext {
    /// The address cut to its prefix: /24 for IPv4 (mapped addresses included), /56 for IPv6.
    pub fn address_prefix(&self) -> Option<String> {
        Some(match self.address?.to_canonical() {
            IpAddr::V4(address) => Ipv4Net::new(address, 24).ok()?.trunc().to_string(),
            IpAddr::V6(address) => Ipv6Net::new(address, 56).ok()?.trunc().to_string(),
        })
    }

    /// The digests under a key.
    pub fn digests(&self, key: &SecretKey) -> ContextDigests {
        let address = self.address_prefix().map_or([0; 8], |prefix| digest(key, &[b"address", prefix.as_bytes()]));
        let device = match (&self.user_agent, &self.fingerprint) {
            (None, None) => [0; 8],
            (agent, fingerprint) => {
                let part = |text: &Option<String>| text.clone().unwrap_or_default();
                digest(key, &[b"device v1", part(agent).as_bytes(), part(fingerprint).as_bytes()])
            }
        };
        ContextDigests { address, device }
    }
}

/// Eight bytes of a MAC; never the eight zeros that mean unknown.
fn digest(key: &SecretKey, parts: &[&[u8]]) -> [u8; 8] {
    let mac = crypto::mac(key, parts);
    let mut digest = [0; 8];
    digest.copy_from_slice(&mac[..8]);
    digest[7] |= 1;
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(address: &str) -> ClientContext {
        ClientContext { address: Some(address.parse().expect("an address")), ..ClientContext::default() }
    }

    #[test]
    fn prefixes_are_canonical() {
        assert_eq!(context("203.0.113.77").address_prefix().as_deref(), Some("203.0.113.0/24"));
        assert_eq!(context("::ffff:203.0.113.77").address_prefix().as_deref(), Some("203.0.113.0/24"));
        assert_eq!(context("2001:db8:1:2ff::1").address_prefix().as_deref(), Some("2001:db8:1:200::/56"));
    }

    #[test]
    fn unknown_is_zero_and_known_is_not() {
        let key = SecretKey::new([1; 32]);
        assert_eq!(ClientContext::default().digests(&key), ContextDigests::default());
        let known = ClientContext { user_agent: Some("agent".into()), ..context("203.0.113.1") }.digests(&key);
        assert_ne!(known.address, [0; 8]);
        assert_ne!(known.device, [0; 8]);
        assert_ne!(
            known,
            ClientContext { user_agent: Some("agent".into()), ..context("203.0.113.1") }
                .digests(&SecretKey::new([2; 32]))
        );
    }
}
