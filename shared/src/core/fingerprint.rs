//! A device's fingerprint: a few keyed hashes, one per component, so that two requests can be called similar without
//! keeping what they were like. T-93.
//!
//! It stands in the record as bytes: version, bits of the IPv4 and IPv6 prefix, network digest (8), major version of the
//! client (u16), then up to [`COMPONENTS_MAX`] components of `id u8, hash u16`. Bytes of another version are no evidence
//! of anything: the next judgement replaces them, and nobody is logged out by a release.

use super::context::{self, ClientContext};
use super::crypto::{self, SecretKey};
use super::id::SessionId;
use super::policy::PrefixBits;
use super::privacy::Privacy;
use std::collections::BTreeMap;

/// The version this code writes.
pub const VERSION: u8 = 1;
/// Components of one fingerprint: four of headers, the others of the application's own.
pub const COMPONENTS_MAX: usize = 16;
/// Bytes at most.
pub const BYTES_MAX: usize = 13 + 3 * COMPONENTS_MAX;
const PREFIX_BYTES: usize = 13;

const FAMILY: u8 = 1;
const SYSTEM: u8 = 2;
const PLATFORM: u8 = 3;
const LANGUAGE: u8 = 4;
/// Components of the client-supplied fingerprint have ids from here on.
const CLIENT: u8 = 16;

/// Weights of the header components; the client's own share one.
const WEIGHTS: [(u8, u32); 4] = [(FAMILY, 30), (SYSTEM, 30), (PLATFORM, 10), (LANGUAGE, 10)];
/// What the components of the client-supplied fingerprint weigh together.
const CLIENT_WEIGHT: u32 = 40;
/// Fingerprints less similar than this are of two devices, in percent.
pub const SIMILARITY_MIN: u32 = 70;

/// The fingerprint of a request under the key of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// What counted as one network.
    pub bits: PrefixBits,
    /// Keyed digest of the network; zeros when unknown.
    pub network: [u8; 8],
    /// Major version of the client; 0 when unknown.
    pub major: u16,
    /// Keyed hashes by component.
    pub components: BTreeMap<u8, u16>,
}

/// How a fingerprint differs from an earlier one of the same session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Weight of the equal components in percent of those known to both; 100 when there are none.
    pub similarity: u32,
    /// Whether there are any.
    pub comparable: bool,
    /// Another client or another operating system.
    pub other_kind: bool,
    /// The same client on the same system, in an older major version.
    pub downgraded: bool,
}

impl Comparison {
    /// Whether it is another device as far as one can tell.
    pub fn drifted(&self) -> bool {
        self.other_kind || self.similarity < SIMILARITY_MIN
    }
}

impl Fingerprint {
    /// The fingerprint of a context.
    pub fn of(context: &ClientContext, routing: &SecretKey, session: &SessionId, bits: PrefixBits) -> Self {
        let key = SecretKey::new(crypto::mac(routing, &[b"fingerprint v1", session.to_string().as_bytes()]));
        let mut components = BTreeMap::new();
        let agent = context.agent();
        let headers = [
            (FAMILY, agent.as_ref().map(|agent| agent.family)),
            (SYSTEM, agent.as_ref().and_then(|agent| agent.system)),
            (PLATFORM, context.platform.as_deref()),
            (LANGUAGE, context.language.as_deref()),
        ];
        for (id, value) in headers {
            if let Some(value) = value {
                components.insert(id, hash(&key, &[&[id], value.as_bytes()]));
            }
        }
        for (name, value) in context.fingerprint.iter().flat_map(|text| parts(text)) {
            let id = CLIENT + (hash(&key, &[b"name", name.as_bytes()]) % u16::from(u8::MAX - CLIENT)) as u8;
            if components.len() < COMPONENTS_MAX {
                // Two names of one id are one component.
                let value = hash(&key, &[name.as_bytes(), value.as_bytes()]);
                components.entry(id).and_modify(|sum: &mut u16| *sum ^= value).or_insert(value);
            }
        }
        Fingerprint {
            bits,
            network: network(context, &key, bits),
            major: agent.map_or(0, |agent| agent.major),
            components,
        }
    }

    /// The network digest of a context under the prefix that this fingerprint was made with, so that a changed policy
    /// moves no session to another network.
    pub fn network_of(&self, context: &ClientContext, routing: &SecretKey, session: &SessionId) -> [u8; 8] {
        let key = SecretKey::new(crypto::mac(routing, &[b"fingerprint v1", session.to_string().as_bytes()]));
        network(context, &key, self.bits)
    }

    /// How `later` differs.
    pub fn compare(&self, later: &Fingerprint) -> Comparison {
        let equal = |id: u8| Some(self.components.get(&id)? == later.components.get(&id)?);
        let (mut known, mut same) = (0, 0);
        for (id, weight) in WEIGHTS {
            if let Some(equal) = equal(id) {
                known += weight;
                same += if equal { weight } else { 0 };
            }
        }
        let own = |components: &BTreeMap<u8, u16>| components.range(CLIENT..).map(|(id, _)| *id).collect::<Vec<_>>();
        let (before, after) = (own(&self.components), own(&later.components));
        if !before.is_empty() && !after.is_empty() {
            let mut all = [before, after].concat();
            all.sort_unstable();
            all.dedup();
            // A component that came or went is a change, once both sides have any.
            let kept = all.iter().filter(|id| equal(**id) == Some(true)).count();
            known += CLIENT_WEIGHT;
            same += CLIENT_WEIGHT * u32::try_from(kept).unwrap_or(0) / u32::try_from(all.len()).unwrap_or(1);
        }
        let other_kind = equal(FAMILY) == Some(false) || equal(SYSTEM) == Some(false);
        Comparison {
            similarity: (100 * same).checked_div(known).unwrap_or(100),
            comparable: known > 0,
            other_kind,
            downgraded: equal(FAMILY) == Some(true) && !other_kind && later.major != 0 && later.major < self.major,
        }
    }

    /// What is known after `later`: what it does not tell stays as it was.
    pub fn followed_by(&self, later: &Fingerprint) -> Fingerprint {
        let mut merged = later.clone();
        for (id, value) in &self.components {
            let own = *id >= CLIENT && later.components.range(CLIENT..).next().is_some();
            if !own && merged.components.len() < COMPONENTS_MAX {
                merged.components.entry(*id).or_insert(*value);
            }
        }
        if later.network == [0; 8] {
            (merged.network, merged.bits) = (self.network, self.bits);
        }
        if later.major == 0 {
            merged.major = self.major;
        }
        merged
    }

    /// What may be kept of it: the network, which binds the session, and nothing that tells the device by its traits.
    pub fn permitted(self, privacy: Privacy) -> Fingerprint {
        match privacy.fingerprinting() {
            true => self,
            false => Fingerprint { major: 0, components: BTreeMap::new(), ..self },
        }
    }

    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        self.network == [0; 8] && self.components.is_empty()
    }

    /// The bytes of the record's attribute.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.bits.v4, self.bits.v6];
        bytes.extend_from_slice(&self.network);
        bytes.extend_from_slice(&self.major.to_be_bytes());
        for (id, value) in self.components.iter().take(COMPONENTS_MAX) {
            bytes.push(*id);
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    /// Reads [`Fingerprint::encode`]; `None` for another version, which says nothing.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (prefix, rest) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
        if prefix[0] != VERSION || bytes.len() > BYTES_MAX || rest.len() % 3 != 0 {
            return None;
        }
        let mut network = [0; 8];
        network.copy_from_slice(&prefix[3..11]);
        Some(Fingerprint {
            bits: PrefixBits { v4: prefix[1], v6: prefix[2] },
            network,
            major: u16::from_be_bytes([prefix[11], prefix[12]]),
            components: rest.chunks_exact(3).map(|c| (c[0], u16::from_be_bytes([c[1], c[2]]))).collect(),
        })
    }
}

fn hash(key: &SecretKey, parts: &[&[u8]]) -> u16 {
    let mac = crypto::mac(key, parts);
    u16::from_be_bytes([mac[0], mac[1]])
}

fn network(context: &ClientContext, key: &SecretKey, bits: PrefixBits) -> [u8; 8] {
    let mut digest = [0; 8];
    if let Some(prefix) = context.address.and_then(|address| context::prefix(address, bits)) {
        digest.copy_from_slice(&crypto::mac(key, &[b"network", prefix.as_bytes()])[..8]);
        digest[7] |= 1;
    }
    digest
}

/// The components of a client-supplied fingerprint: members of a JSON object, or `name=value` separated by semicolons,
/// or else the whole text as one.
fn parts(text: &str) -> Vec<(String, String)> {
    if let Ok(serde_json::Value::Object(members)) = serde_json::from_str(text) {
        return members.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    }
    let pairs = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let pairs: Option<Vec<_>> = pairs.map(|part| part.split_once('=')).collect();
    match pairs {
        Some(pairs) if !pairs.is_empty() => {
            pairs.into_iter().map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
        }
        Some(_) | None => vec![(String::new(), text.to_owned())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::context::COARSE;
    use crate::core::id::Bucket;
    use proptest::prelude::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0) Chrome/131.0.0.0 Safari/537.36";

    fn of(agent: &str, language: &str, fingerprint: Option<&str>) -> Fingerprint {
        let context = ClientContext {
            address: Some("203.0.113.7".parse().expect("an address")),
            user_agent: Some(agent.into()),
            language: Some(language.into()),
            fingerprint: fingerprint.map(str::to_owned),
            ..ClientContext::default()
        };
        let session = SessionId::from_parts(Bucket::new(1).expect("in range"), [7; 16]);
        Fingerprint::of(&context, &SecretKey::new([1; 32]), &session, COARSE)
    }

    #[test]
    fn an_update_is_no_drift_and_another_kind_of_client_is() {
        let base = of(CHROME, "de", None);
        let with = |agent: &str| base.compare(&of(agent, "de", None));
        let updated = with(&CHROME.replace("131", "132"));
        assert_eq!(updated, Comparison { similarity: 100, comparable: true, other_kind: false, downgraded: false });
        assert!(with(&CHROME.replace("131", "99")).downgraded);
        assert!(with(&CHROME.replace("Windows NT 10.0", "X11; Linux")).drifted());
        assert!(with("curl/8.5").drifted());
        let travelled = base.compare(&of(CHROME, "en", None));
        assert!(!travelled.drifted() && travelled.similarity < 100);
    }

    #[test]
    fn components_of_the_client_are_compared_one_by_one() {
        let json = |canvas: &str, fonts: u32| {
            format!("{{\"canvas\":\"{canvas}\",\"fonts\":{fonts},\"gpu\":\"x\",\"tz\":\"Europe/Vienna\"}}")
        };
        let base = of(CHROME, "de", Some(&json("a", 10)));
        let one = base.compare(&of(CHROME, "de", Some(&json("a", 11))));
        assert_eq!((one.drifted(), one.similarity), (false, 90));
        let listed = of(CHROME, "de", Some("canvas=a; fonts=10"));
        assert_eq!(listed.compare(&of(CHROME, "de", Some("canvas=a;fonts=10"))).similarity, 100);
        let whole = of(CHROME, "de", Some("opaque"));
        assert!(whole.compare(&of(CHROME, "de", Some("other"))).drifted());
        assert_eq!(base.compare(&of(CHROME, "de", None)).similarity, 100, "what is not told contradicts nothing");
    }

    /// T-93: bytes of another version are no evidence.
    #[test]
    fn t_93_another_version_says_nothing() {
        let base = of(CHROME, "de", Some("opaque"));
        assert_eq!(Fingerprint::decode(&base.encode()), Some(base.clone()));
        let mut later = base.encode();
        later[0] = VERSION + 1;
        assert_eq!(Fingerprint::decode(&later), None);
    }

    proptest! {
        /// T-93: whatever clients send, it is bounded and reads back.
        #[test]
        fn t_93_fingerprints_are_bounded(agent in any::<String>(), language in any::<String>(), own in any::<String>(), pairs in proptest::collection::vec(("[a-z]{0,9}", "[a-z]{0,9}"), 0..40)) {
            let listed = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";");
            for own in [own, listed] {
                let fingerprint = of(&agent, &language, Some(&own));
                prop_assert!(fingerprint.encode().len() <= BYTES_MAX && BYTES_MAX <= 64);
                prop_assert_eq!(Fingerprint::decode(&fingerprint.encode()), Some(fingerprint.clone()));
                let same = fingerprint.compare(&fingerprint);
                prop_assert!(same.similarity == 100 && !same.drifted() && !same.downgraded);
                prop_assert_eq!(fingerprint.followed_by(&fingerprint), fingerprint);
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in any::<Vec<u8>>()) {
            let _ = Fingerprint::decode(&bytes);
        }
    }
}
