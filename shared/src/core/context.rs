//! The caller's context: where a request comes from and with what, reduced to keyed digests.
//!
//! Keys are drawn from the routing key, which every function holds without KMS. What a record keeps is keyed by its
//! session, so nothing links two sessions, two applications or two stacks; what a user's history keeps is keyed by the
//! user's pseudonym, so nothing links two groups of applications. T-103.

use super::crypto::{self, SecretKey};
use super::id::{SessionId, UserTag};
use super::place::Place;
use super::policy::PrefixBits;
use super::privacy::Privacy;
use super::user_agent::UserAgent;
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
    /// The first language of `Accept-Language`.
    pub language: Option<String>,
    /// The platform of `Sec-CH-UA-Platform`.
    pub platform: Option<String>,
    /// Where the address is, when a proved edge has told. Else it is looked up.
    pub place: Option<Place>,
}

/// The digests that a record keeps; zeros mean unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContextDigests {
    /// Of the address, cut to the finest prefix that the application's policy looks at.
    pub address: [u8; 8],
    /// Of the lasting parts of user agent, platform, language and fingerprint.
    pub device: [u8; 8],
}

impl ContextDigests {
    /// What may be kept of them. The address stays: keyed by the session, it binds it and tells nothing of where it is.
    pub fn permitted(self, privacy: Privacy) -> Self {
        if privacy.fingerprinting() { self } else { ContextDigests { device: [0; 8], ..self } }
    }
}

/// A network and a device as the history of one user names them; zeros mean unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Keyed digest of the address prefix.
    pub network: [u8; 6],
    /// Keyed digest of what does not change with a browser's update.
    pub device: [u8; 6],
}

impl Sighting {
    /// What may be kept of it.
    pub fn permitted(self, privacy: Privacy) -> Self {
        let kept = |digest: [u8; 6], allowed: bool| if allowed { digest } else { [0; 6] };
        Sighting {
            network: kept(self.network, privacy.location()),
            device: kept(self.device, privacy.fingerprinting()),
        }
    }
}

/// Prefixes of histories and views: /24 for IPv4, /56 for IPv6.
pub const COARSE: PrefixBits = PrefixBits { v4: 24, v6: 56 };

/// An address cut to its prefix. Mapped addresses count as IPv4. T-91.
pub fn prefix(address: IpAddr, bits: PrefixBits) -> Option<String> {
    Some(match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Net::new(address, bits.v4).ok()?.trunc().to_string(),
        IpAddr::V6(address) => Ipv6Net::new(address, bits.v6).ok()?.trunc().to_string(),
    })
}

impl ClientContext {
    /// The address cut to its prefix, as views show it.
    pub fn address_prefix(&self) -> Option<String> {
        prefix(self.address?, COARSE)
    }

    /// The lasting parts of the user agent.
    pub fn agent(&self) -> Option<UserAgent<'_>> {
        UserAgent::parse(self.user_agent.as_deref()?)
    }

    /// Whether anything is known that a device could be told by.
    fn has_device(&self) -> bool {
        self.agent().is_some() || self.fingerprint.is_some()
    }

    /// The digests of a session, by which a script tells that nothing has changed.
    pub fn digests(&self, routing: &SecretKey, session: &SessionId, bits: PrefixBits) -> ContextDigests {
        let id = session.to_string();
        let keyed = |parts: &[&[u8]]| {
            let mac = crypto::mac(routing, &[&[b"context v2", id.as_bytes()], parts].concat());
            let mut digest = [0; 8];
            digest.copy_from_slice(&mac[..8]);
            digest[7] |= 1;
            digest
        };
        let prefix = self.address.and_then(|address| prefix(address, bits));
        let address = prefix.map_or([0; 8], |prefix| keyed(&[b"address", prefix.as_bytes()]));
        let device = match self.has_device() {
            false => [0; 8],
            true => {
                let major = self.agent().map_or(0, |agent| agent.major).to_be_bytes();
                let language = self.language.as_deref().unwrap_or_default();
                let [family, system, platform, fingerprint] = self.lasting();
                keyed(&[b"device", family, system, platform, fingerprint, &major, language.as_bytes()])
            }
        };
        ContextDigests { address, device }
    }

    /// The network and the device in the history of a user.
    pub fn sighting(&self, routing: &SecretKey, user: UserTag) -> Sighting {
        let tag = user.text();
        let keyed = |parts: &[&[u8]]| {
            let mac = crypto::mac(routing, &[&[b"history", tag.as_bytes()], parts].concat());
            let mut digest = [0; 6];
            digest.copy_from_slice(&mac[..6]);
            digest[5] |= 1;
            digest
        };
        let network = self.address_prefix().map_or([0; 6], |prefix| keyed(&[b"network", prefix.as_bytes()]));
        let device = match self.has_device() {
            false => [0; 6],
            true => {
                let [family, system, platform, fingerprint] = self.lasting();
                keyed(&[b"device", family, system, platform, fingerprint])
            }
        };
        Sighting { network, device }
    }

    /// Family, operating system, platform and fingerprint; empty where unknown.
    fn lasting(&self) -> [&[u8]; 4] {
        let agent = self.agent();
        [
            agent.as_ref().map_or(&b""[..], |agent| agent.family.as_bytes()),
            agent.and_then(|agent| agent.system).unwrap_or_default().as_bytes(),
            self.platform.as_deref().unwrap_or_default().as_bytes(),
            self.fingerprint.as_deref().unwrap_or_default().as_bytes(),
        ]
    }
}

/// Whether two digests contradict; an unknown side never does.
pub fn differs<const N: usize>(recorded: [u8; N], presented: [u8; N]) -> bool {
    recorded != [0; N] && presented != [0; N] && recorded != presented
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fingerprint::Fingerprint;
    use crate::core::id::Bucket;
    use proptest::prelude::*;

    fn context(address: &str) -> ClientContext {
        ClientContext { address: Some(address.parse().expect("an address")), ..ClientContext::default() }
    }

    fn session(number: u8) -> SessionId {
        SessionId::from_parts(Bucket::new(7).expect("in range"), [number; 16])
    }

    #[test]
    fn t_91_prefixes_are_canonical() {
        assert_eq!(context("203.0.113.77").address_prefix().as_deref(), Some("203.0.113.0/24"));
        assert_eq!(context("::ffff:203.0.113.77").address_prefix().as_deref(), Some("203.0.113.0/24"));
        assert_eq!(context("2001:db8:1:2ff::1").address_prefix().as_deref(), Some("2001:db8:1:200::/56"));
        let exact = PrefixBits::EXACT;
        assert_eq!(prefix("::ffff:192.0.2.1".parse().expect("v6"), exact).as_deref(), Some("192.0.2.1/32"));
        assert_eq!(prefix("2001:db8::1".parse().expect("v6"), exact).as_deref(), Some("2001:db8::1/128"));
        for hostile in ["0300.0.113.77", "203.0.113", "fe80::1%eth0", "203.0.113.077", " 203.0.113.7", "1.2.3.4.5"] {
            assert!(hostile.parse::<IpAddr>().is_err(), "{hostile}");
        }
    }

    proptest! {
        #[test]
        fn t_91_a_mapped_address_is_the_address(address in any::<[u8; 4]>(), v4 in 8_u8..=32, v6 in 16_u8..=64) {
            let bits = PrefixBits { v4, v6 };
            let plain = std::net::Ipv4Addr::from(address);
            prop_assert_eq!(prefix(plain.into(), bits), prefix(plain.to_ipv6_mapped().into(), bits));
        }

        #[test]
        fn t_91_addresses_of_one_prefix_are_one_network(network in any::<u64>(), a in any::<u64>(), b in any::<u64>()) {
            let address = |host: u64| std::net::Ipv6Addr::from((u128::from(network) << 64) | u128::from(host));
            let bits = PrefixBits { v4: 24, v6: 64 };
            // Mapped addresses are of the other family.
            prop_assume!(network != 0);
            prop_assert_eq!(prefix(address(a).into(), bits), prefix(address(b).into(), bits));
        }
    }

    #[test]
    fn unknown_is_zero_and_known_is_not() {
        let key = SecretKey::new([1; 32]);
        let digests = |context: &ClientContext| context.digests(&key, &session(1), COARSE);
        assert_eq!(digests(&ClientContext::default()), ContextDigests::default());
        let context = ClientContext { user_agent: Some("agent".into()), ..context("203.0.113.1") };
        let known = digests(&context);
        assert_ne!(known.address, [0; 8]);
        assert_ne!(known.device, [0; 8]);
        assert_ne!(known, context.digests(&SecretKey::new([2; 32]), &session(1), COARSE));
        assert_eq!(ClientContext::default().sighting(&key, UserTag::NOBODY), Sighting::default());
    }

    /// T-103: the same device on the same network in two sessions, or of two users, gives no equal value.
    #[test]
    fn t_103_no_digest_links_two_sessions_or_two_users() {
        let key = SecretKey::new([1; 32]);
        let (agent, language) = (Some("agent".into()), Some("de".into()));
        let context = ClientContext { user_agent: agent, language, ..context("203.0.113.1") };
        let (one, two) = (context.digests(&key, &session(1), COARSE), context.digests(&key, &session(2), COARSE));
        assert!(one.address != two.address && one.device != two.device);
        let print = |number| Fingerprint::of(&context, &key, &session(number), COARSE);
        let (one, two) = (print(1), print(2));
        assert!(one.network != two.network && !one.components.is_empty());
        assert!(one.components.iter().all(|(id, hash)| two.components.get(id) != Some(hash)));
        let other = UserTag::parse("AAAAAAAB").expect("a tag");
        let (one, two) = (context.sighting(&key, UserTag::NOBODY), context.sighting(&key, other));
        assert!(one.network != two.network && one.device != two.device);
    }

    #[test]
    fn a_minor_version_changes_no_digest_and_a_major_one_leaves_the_device() {
        let key = SecretKey::new([1; 32]);
        let with = |agent: &str| ClientContext { user_agent: Some(agent.into()), ..context("203.0.113.1") };
        let (old, minor, major) = (with("app/7.1 (Android)"), with("app/7.2 (Android)"), with("app/8.0 (Android)"));
        let digest = |context: &ClientContext| context.digests(&key, &session(1), COARSE).device;
        assert_eq!(digest(&old), digest(&minor));
        assert_ne!(digest(&old), digest(&major));
        assert_eq!(old.sighting(&key, UserTag::NOBODY), major.sighting(&key, UserTag::NOBODY));
    }
}
