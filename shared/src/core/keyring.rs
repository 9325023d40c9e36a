//! Key rings: the service's secrets by purpose, and when each key is used.
//!
//! A key has an id and an activation time; the active key at `now` is the one activated last. A new key is published
//! a day before it activates, so every environment knows it before the first use, and a key stays readable until
//! nothing made with it can live. No state flips: the ring and the clock decide.

use super::access_token::VerifyingKey;
use super::crypto::{self, SecretKey};
use super::time::Timestamp;
use crate::limits::{ABSOLUTE_TIMEOUT_SECONDS_MAX, ACCESS_TOKEN_SECONDS, KEY_RING_STALE_SECONDS};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const DAY: u64 = 24 * 3600;
/// How long before its activation a key is published; above the 2 h that foreign JWKS caches may keep.
pub const PUBLISH_AHEAD_SECONDS: u64 = DAY;

/// What a ring is for: the KMS encryption context, and the unit of least privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Signs access tokens and MACs refresh tokens.
    Token,
    /// Seals session data, data of devices and states of users.
    Data,
    /// Seals personal fields of audit events.
    Audit,
    /// Turns users into buckets and pseudonyms.
    Pseudonym,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 4] = [Purpose::Token, Purpose::Data, Purpose::Audit, Purpose::Pseudonym];

    /// The word in the encryption context and the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Token => "token",
            Purpose::Data => "data",
            Purpose::Audit => "audit",
            Purpose::Pseudonym => "pseudonym",
        }
    }

    /// The uses of keys in the ring.
    pub fn uses(self) -> &'static [KeyUse] {
        match self {
            Purpose::Token => &[KeyUse::Sign, KeyUse::Mac],
            Purpose::Data => &[KeyUse::Seal, KeyUse::SealDocument],
            Purpose::Audit => &[KeyUse::SealAudit],
            Purpose::Pseudonym => &[KeyUse::Pseudonym],
        }
    }
}

/// What one key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// ES256 private key in PKCS#8.
    Sign,
    /// HMAC key of refresh tokens.
    Mac,
    /// HKDF key of session data.
    Seal,
    /// HKDF key of data of devices and states of users.
    SealDocument,
    /// HKDF key of personal audit fields.
    SealAudit,
    /// HMAC key of buckets and user tags.
    Pseudonym,
}

/// How a key use rotates.
struct Lifecycle {
    /// Age at which an active key gets a successor; `None` never.
    period_seconds: Option<u64>,
    /// How long after its successor's activation a key stays in the ring.
    keep_seconds: u64,
}

impl KeyUse {
    fn lifecycle(self) -> Lifecycle {
        let longest_session = ABSOLUTE_TIMEOUT_SECONDS_MAX + KEY_RING_STALE_SECONDS + DAY;
        match self {
            KeyUse::Sign => Lifecycle {
                period_seconds: Some(30 * DAY),
                keep_seconds: ACCESS_TOKEN_SECONDS + KEY_RING_STALE_SECONDS + DAY,
            },
            // A family keeps its key for life, so a MAC key outlives the longest session begun under it.
            KeyUse::Mac => Lifecycle { period_seconds: Some(90 * DAY), keep_seconds: longest_session },
            KeyUse::Seal => Lifecycle { period_seconds: Some(30 * DAY), keep_seconds: longest_session },
            // A document may lie untouched for as long as its user stays; yearly, because KMS wraps no more than 4 KiB.
            KeyUse::SealDocument => Lifecycle { period_seconds: Some(365 * DAY), keep_seconds: u64::MAX },
            // Kept beyond the longest retention; yearly, because KMS wraps no more than 4 KiB.
            KeyUse::SealAudit => Lifecycle { period_seconds: Some(365 * DAY), keep_seconds: 11 * 365 * DAY },
            // Changing it would lose every user's state and history: a migration, not a rotation.
            KeyUse::Pseudonym => Lifecycle { period_seconds: None, keep_seconds: u64::MAX },
        }
    }
}

/// One key of a ring.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RingKey {
    /// Unique to the ring; stands in tokens and sealed data.
    pub id: u8,
    /// What the key does.
    #[serde(rename = "use")]
    pub key_use: KeyUse,
    /// Milliseconds since the epoch from which the key is used for new things.
    pub activates_at: i64,
    /// base64url of 32 random bytes, or of a PKCS#8 document.
    secret: Zeroizing<String>,
}

impl std::fmt::Debug for RingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RingKey({} {:?} from {})", self.id, self.key_use, self.activates_at)
    }
}

impl RingKey {
    /// A key of this material.
    pub fn new(id: u8, key_use: KeyUse, activates_at: Timestamp, secret: &[u8]) -> Self {
        RingKey { id, key_use, activates_at: activates_at.millis(), secret: Zeroizing::new(crypto::encode(secret)) }
    }

    /// The raw secret.
    pub fn secret(&self) -> Option<Zeroizing<Vec<u8>>> {
        crypto::decode_vec(&self.secret).map(Zeroizing::new)
    }

    /// The secret as a symmetric key.
    pub fn secret_key(&self) -> Option<SecretKey> {
        crypto::decode(&self.secret).map(SecretKey::new)
    }
}

/// The keys of one purpose, as they are sealed by KMS (4 KiB of plaintext at most).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ring {
    /// In the order of their making.
    pub keys: Vec<RingKey>,
}

/// A key that a ring should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedKey {
    /// Its id.
    pub id: u8,
    /// Its use.
    pub key_use: KeyUse,
    /// When it becomes active.
    pub activates_at: Timestamp,
}

/// What a rotation should change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotationPlan {
    /// Keys to make.
    pub add: Vec<PlannedKey>,
    /// Ids of keys to drop.
    pub remove: Vec<u8>,
}

impl RotationPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

impl Ring {
    /// The key to use for new things at `now`. Before the first activation it is the first key: an environment whose clock
    /// is behind that of the one that made the ring is not without a key.
    pub fn active(&self, key_use: KeyUse, now: Timestamp) -> Option<&RingKey> {
        let activated = self.of(key_use).filter(|key| key.activates_at <= now.millis());
        let first = || self.of(key_use).min_by_key(|key| key.activates_at);
        activated.max_by_key(|key| key.activates_at).or_else(first)
    }

    /// A key by its id, active or not.
    pub fn by_id(&self, key_use: KeyUse, id: u8) -> Option<&RingKey> {
        self.of(key_use).find(|key| key.id == id)
    }

    /// All keys of a use.
    pub fn of(&self, key_use: KeyUse) -> impl Iterator<Item = &RingKey> {
        self.keys.iter().filter(move |key| key.key_use == key_use)
    }

    /// The public halves of the signing keys: what JWKS publishes, the coming key included.
    pub fn verifying_keys(&self) -> Vec<VerifyingKey> {
        self.of(KeyUse::Sign).filter_map(|key| VerifyingKey::from_pkcs8(&key.secret()?)).collect()
    }

    /// What rotation must do to this ring at `now`. An empty ring gets keys that are active at once; a due one gets
    /// its successor [`PUBLISH_AHEAD_SECONDS`] before it is used.
    pub fn plan_rotation(&self, purpose: Purpose, now: Timestamp) -> RotationPlan {
        let mut plan = RotationPlan::default();
        for key_use in purpose.uses().iter().copied() {
            let lifecycle = key_use.lifecycle();
            let newest = self.of(key_use).max_by_key(|key| key.activates_at);
            let activates_at = match newest {
                None => Some(now),
                Some(newest) => lifecycle.period_seconds.and_then(|period| {
                    let due = Timestamp::from_millis(newest.activates_at).plus_seconds(period);
                    let earliest = now.plus_seconds(PUBLISH_AHEAD_SECONDS);
                    (due <= earliest).then_some(earliest.max(due))
                }),
            };
            if let Some(activates_at) = activates_at {
                plan.add.push(PlannedKey { id: self.free_id(&plan), key_use, activates_at });
            }
            for key in self.of(key_use) {
                let successor =
                    self.of(key_use).map(|other| other.activates_at).filter(|other| *other > key.activates_at).min();
                let gone = successor.is_some_and(|activation| {
                    Timestamp::from_millis(activation).plus_seconds(lifecycle.keep_seconds) <= now
                });
                if gone {
                    plan.remove.push(key.id);
                }
            }
        }
        plan
    }

    fn free_id(&self, plan: &RotationPlan) -> u8 {
        let taken = |id: u8| self.keys.iter().any(|key| key.id == id) || plan.add.iter().any(|key| key.id == id);
        let after = self.keys.iter().map(|key| key.id).chain(plan.add.iter().map(|key| key.id)).max().unwrap_or(0);
        (1..=u8::MAX).map(|step| after.wrapping_add(step)).find(|id| *id != 0 && !taken(*id)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: u64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000).plus_seconds(days * DAY)
    }

    fn apply(ring: &mut Ring, plan: &RotationPlan) {
        ring.keys.retain(|key| !plan.remove.contains(&key.id));
        for key in &plan.add {
            ring.keys.push(RingKey::new(key.id, key.key_use, key.activates_at, &[key.id; 32]));
        }
    }

    /// More than a year of daily rotations: there is always an active key, a successor is always published a day ahead, and
    /// a key is there for as long as anything made with it can live.
    #[test]
    fn rotations_never_strand_a_key() {
        for purpose in Purpose::ALL {
            let mut ring = Ring::default();
            let mut used: Vec<(KeyUse, u8, Timestamp)> = Vec::new();
            for day in 0..500 {
                let before: Vec<u8> = ring.keys.iter().map(|key| key.id).collect();
                let plan = ring.plan_rotation(purpose, at(day));
                apply(&mut ring, &plan);
                assert!(ring.keys.len() <= 12, "{purpose:?} ring stays small");
                for key_use in purpose.uses() {
                    let active = ring.active(*key_use, at(day)).expect("an active key");
                    assert!(day == 0 || before.contains(&active.id), "published before use");
                    used.push((*key_use, active.id, at(day)));
                }
                let life = |key_use: KeyUse| match key_use {
                    KeyUse::Sign => ACCESS_TOKEN_SECONDS,
                    KeyUse::Mac | KeyUse::Seal | KeyUse::SealAudit | KeyUse::Pseudonym => ABSOLUTE_TIMEOUT_SECONDS_MAX,
                    KeyUse::SealDocument => 500 * DAY,
                };
                for (key_use, id, when) in &used {
                    if when.plus_seconds(life(*key_use)) >= at(day) {
                        assert!(ring.by_id(*key_use, *id).is_some(), "{key_use:?} {id} of {when} on day {day}");
                    }
                }
            }
            let rotates = purpose != Purpose::Pseudonym;
            assert_eq!(used.iter().any(|(_, id, _)| *id != used[0].1), rotates || purpose.uses().len() > 1);
        }
    }

    /// I-16: a clock that is behind finds a key in a ring that has just been made.
    #[test]
    fn before_the_first_activation_the_first_key_is_used() {
        let mut ring = Ring::default();
        let plan = ring.plan_rotation(Purpose::Token, at(1));
        apply(&mut ring, &plan);
        let first = ring.active(KeyUse::Mac, at(1)).expect("a key").id;
        let plan = ring.plan_rotation(Purpose::Token, at(90));
        apply(&mut ring, &plan);
        assert_eq!(ring.active(KeyUse::Mac, at(0)).expect("a key").id, first);
        assert_ne!(ring.active(KeyUse::Mac, at(92)).expect("a key").id, first);
    }

    #[test]
    fn rotation_is_idempotent_within_a_day() {
        let mut ring = Ring::default();
        let plan = ring.plan_rotation(Purpose::Token, at(0));
        assert_eq!(plan.add.len(), 2);
        apply(&mut ring, &plan);
        assert!(ring.plan_rotation(Purpose::Token, at(0)).is_empty());
        let plan = ring.plan_rotation(Purpose::Token, at(29));
        assert_eq!(plan.add.len(), 1);
        apply(&mut ring, &plan);
        assert!(ring.plan_rotation(Purpose::Token, at(29)).is_empty());
    }

    #[test]
    fn keys_do_not_print_their_secret() {
        let key = RingKey::new(1, KeyUse::Mac, at(0), b"very secret bytes");
        assert!(!format!("{key:?}").contains(&crypto::encode(b"very secret bytes")));
    }
}
