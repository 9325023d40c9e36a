//! Signed statements of where every chain of the audit ends, kept outside the database.
//!
//! The root is a Merkle tree over the heads of the chains (leaf and node prefixes as in RFC 6962 §2.1). The statement
//! holds root, number and the digest of the statement before it, so anchors are a chain of their own; it is what gets
//! signed, and small enough for KMS to take as it is. The heads stand beside it and are held to the root.

use super::crypto::{self, hex};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Chains of the audit.
pub const CHAINS: usize = 64;
/// What a statement says it is.
const FORMAT: &str = "session-audit-anchor-1";
/// Keeps these leaves apart from those of any other tree.
const LEAF_DOMAIN: &[u8] = b"session-audit-head-1";
const LEAF: u8 = 0;
const NODE: u8 = 1;

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its last place; 0 for an empty chain.
    pub sequence: i64,
    /// The hash there.
    pub hash: [u8; 32],
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    format: String,
    /// The stack it is of.
    pub stack: String,
    /// Its place among the anchors, from 1.
    pub number: u64,
    /// SHA-256 of the statement before it, in hexadecimal; empty in the first.
    pub previous: String,
    /// When it was made.
    pub signed_at: String,
    /// Root of the tree over the heads, in hexadecimal.
    pub root: String,
    /// Events in all chains up to their heads.
    pub events: u64,
}

/// A statement with the heads it is about and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The bytes that are signed.
    text: String,
    /// The same, read.
    pub statement: Statement,
    /// One per chain.
    pub heads: Vec<Head>,
    /// ECDSA over P-256 and SHA-256, DER.
    signature: Vec<u8>,
}

/// How an anchor is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    statement: String,
    heads: Vec<String>,
    signature: String,
}

/// An anchor that is not signed yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What to sign.
    pub text: String,
    statement: Statement,
    heads: Vec<Head>,
}

impl Draft {
    /// States where the chains end, after the anchor before.
    pub fn new(stack: &str, previous: Option<&Anchor>, heads: Vec<Head>, now: Timestamp) -> Option<Self> {
        if heads.len() != CHAINS {
            return None;
        }
        let events = heads.iter().map(|head| u64::try_from(head.sequence).unwrap_or(0)).sum();
        let statement = Statement {
            format: FORMAT.to_owned(),
            stack: stack.to_owned(),
            number: previous.map_or(1, |anchor| anchor.statement.number + 1),
            previous: previous.map(Anchor::digest).unwrap_or_default(),
            signed_at: now.to_string(),
            root: hex(&root(&heads)),
            events,
        };
        let text = serde_json::to_string(&statement).ok()?;
        Some(Draft { text, statement, heads })
    }

    /// The anchor, with its signature.
    pub fn signed(self, signature: Vec<u8>) -> Anchor {
        Anchor { text: self.text, statement: self.statement, heads: self.heads, signature }
    }
}

impl Anchor {
    /// The stored form: JSON.
    pub fn encode(&self) -> String {
        let stored = Stored {
            statement: self.text.clone(),
            heads: self.heads.iter().map(|head| format!("{}:{}", head.sequence, hex(&head.hash))).collect(),
            signature: crypto::encode(&self.signature),
        };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads the stored form. Whether it is true is another question: [`Anchor::holds`].
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let statement: Statement = serde_json::from_str(&stored.statement).ok()?;
        let head = |text: &String| {
            let (sequence, hash) = text.split_once(':')?;
            Some(Head { sequence: sequence.parse().ok().filter(|sequence| *sequence >= 0)?, hash: unhex(hash)? })
        };
        let heads: Vec<Head> = stored.heads.iter().map(head).collect::<Option<_>>()?;
        if statement.format != FORMAT || heads.len() != CHAINS {
            return None;
        }
        Some(Anchor { text: stored.statement, statement, heads, signature: crypto::decode_vec(&stored.signature)? })
    }

    /// Whether one of these keys (points on P-256) signed it, for this stack, and the heads are those of its root.
    pub fn holds(&self, keys: &[[u8; 65]], stack: Option<&str>) -> bool {
        let signed = keys.iter().any(|key| crypto::ecdsa_p256_verifies(key, self.text.as_bytes(), &self.signature));
        let events: u64 = self.heads.iter().map(|head| u64::try_from(head.sequence).unwrap_or(0)).sum();
        signed
            && stack.is_none_or(|stack| self.statement.stack == stack)
            && hex(&root(&self.heads)) == self.statement.root
            && events == self.statement.events
    }

    /// Whether it is the next one after another: number, digest, and no chain shorter than before.
    pub fn follows(&self, previous: Option<&Anchor>) -> bool {
        let Some(previous) = previous else { return self.statement.number == 1 && self.statement.previous.is_empty() };
        let grown = self.heads.iter().zip(&previous.heads).all(|(head, before)| head.sequence >= before.sequence);
        self.statement.number == previous.statement.number + 1 && self.statement.previous == previous.digest() && grown
    }

    /// What the next anchor names this one by.
    pub fn digest(&self) -> String {
        hex(&crypto::sha256(self.text.as_bytes()))
    }

    /// When it was made.
    pub fn signed_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.statement.signed_at)
    }
}

/// Root of the tree over the heads, in the order of their chains.
pub fn root(heads: &[Head]) -> [u8; 32] {
    let mut level: Vec<[u8; 32]> = heads.iter().zip(0_u16..).map(|(head, group)| leaf(group, head)).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| node(&pair[0], pair.last().unwrap_or(&pair[0]))).collect();
    }
    level.first().copied().unwrap_or_default()
}

fn leaf(group: u16, head: &Head) -> [u8; 32] {
    let mut bytes = vec![LEAF];
    bytes.extend(LEAF_DOMAIN);
    bytes.extend(group.to_be_bytes());
    bytes.extend(head.sequence.to_be_bytes());
    bytes.extend(head.hash);
    crypto::sha256(&bytes)
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    crypto::sha256(&[&[NODE][..], left, right].concat())
}

/// SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480 §2).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The point of a public key as KMS and PEM files state it; `None` for any other kind of key.
pub fn point_of_spki(der: &[u8]) -> Option<[u8; 65]> {
    der.strip_prefix(&SPKI_PREFIX)?.try_into().ok().filter(|point: &[u8; 65]| point[0] == 4)
}

/// Reads exactly `N` bytes of hexadecimal.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let plain = text.len() == 2 * N && text.bytes().all(|c| c.is_ascii_hexdigit());
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)).take_while(|_| plain) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    plain.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    fn heads() -> Vec<Head> {
        (0..CHAINS as u8).map(|n| Head { sequence: i64::from(n), hash: [n; 32] }).collect()
    }

    fn key() -> EcdsaKeyPair {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).expect("the key")
    }

    fn point(key: &EcdsaKeyPair) -> [u8; 65] {
        key.public_key().as_ref().try_into().expect("a point")
    }

    fn anchor(key: &EcdsaKeyPair, previous: Option<&Anchor>, heads: Vec<Head>) -> Anchor {
        let draft = Draft::new("stack", previous, heads, Timestamp::from_seconds(1_800_000_000)).expect("64 heads");
        assert!(draft.text.len() < 4096, "KMS takes no more");
        let signature = key.sign(&SystemRandom::new(), draft.text.as_bytes()).expect("signs");
        draft.signed(signature.as_ref().to_vec())
    }

    #[test]
    fn the_root_moves_with_every_head_and_its_place() {
        let whole = root(&heads());
        for group in 0..CHAINS {
            let mut changed = heads();
            changed[group].sequence += 1;
            assert_ne!(root(&changed), whole);
            let mut changed = heads();
            changed[group].hash[31] ^= 1;
            assert_ne!(root(&changed), whole);
        }
        let mut swapped = heads();
        swapped.swap(3, 4);
        assert_ne!(root(&swapped), whole);
        assert_ne!(root(&heads()[..32]), whole);
    }

    #[test]
    fn an_anchor_survives_its_stored_form_and_no_change_of_it() {
        let key = key();
        let anchor = anchor(&key, None, heads());
        let text = anchor.encode();
        let read = Anchor::decode(text.as_bytes()).expect("reads");
        assert_eq!(read, anchor);
        assert!(read.holds(&[point(&key)], Some("stack")) && read.follows(None));
        assert!(!read.holds(&[point(&self::key())], Some("stack")), "another key");
        assert!(!read.holds(&[point(&key)], Some("other")), "another stack");
        assert!(!read.holds(&[], None), "no key");
        for (from, to) in
            [("\"5:", "\"6:"), ("number\\\":1", "number\\\":2"), ("\"0:00", "\"0:01"), ("events\\\":2", "events\\\":3")]
        {
            assert!(text.contains(from), "{from} in {text}");
            let changed = text.replacen(from, to, 1);
            let read = Anchor::decode(changed.as_bytes());
            assert!(read.is_none_or(|read| !read.holds(&[point(&key)], None)), "{from}");
        }
        assert_eq!(Anchor::decode(b"{}"), None);
        assert_eq!(Anchor::decode(text.replacen("\"0:00", "\"-1:00", 1).as_bytes()), None);
    }

    #[test]
    fn anchors_follow_each_other() {
        let key = key();
        let first = anchor(&key, None, heads());
        let mut grown = heads();
        grown[7].sequence += 3;
        let second = anchor(&key, Some(&first), grown.clone());
        assert!(second.follows(Some(&first)) && !second.follows(None) && !first.follows(Some(&second)));
        assert!(!anchor(&key, Some(&second), heads()).follows(Some(&second)), "a chain became shorter");
        assert!(!anchor(&key, Some(&first), grown).follows(Some(&second)), "a fork");
    }

    #[test]
    fn keys_and_hexadecimal_are_read_strictly() {
        let point = point(&key());
        let spki = [&SPKI_PREFIX[..], &point].concat();
        assert_eq!(point_of_spki(&spki), Some(point));
        assert_eq!(point_of_spki(&spki[..90]), None);
        assert_eq!(point_of_spki(&point), None);
        assert_eq!(unhex::<2>("00ff"), Some([0, 255]));
        assert_eq!((unhex::<2>("00f"), unhex::<2>("+0ff"), unhex::<1>("zz")), (None, None, None));
    }
}
