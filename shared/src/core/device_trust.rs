//! How far a device is trusted, and by what proof it rises. T-62, I-6.
//!
//! | wanted | needs |
//! |---|---|
//! | `known` | a day since it was first seen, and a recent authentication on it or possession of its key |
//! | `trusted` | a recent authentication on it, and seven days since it was first seen; a day with possession of its key |
//!
//! The key of a device is that of the session that registered it. What a client says of itself (its id, its user agent,
//! its fingerprint) is no proof: it can be copied.

use super::device::TrustLevel;
use super::record::{KEY_BOUND, SessionRecord};
use super::time::Timestamp;
use crate::limits::{DEVICE_KNOWN_AFTER_SECONDS, DEVICE_TRUSTED_AFTER_SECONDS};

/// What is recorded of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Its level.
    pub trust: TrustLevel,
    /// When it was registered.
    pub first_seen_at: Timestamp,
    /// Thumbprint of the key that its first key-bound session proved.
    pub jkt: Option<String>,
}

/// What a live session of the device shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// The user authenticated in it recently, and nothing since then asks for another authentication.
    pub recent_authentication: bool,
    /// The key that it is bound to.
    pub jkt: Option<&'a str>,
}

/// What a rise was granted for; it is recorded with the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A recent authentication on a device of sufficient age.
    Authentication,
    /// Possession of the device's key.
    Key,
    /// Both at once.
    KeyAndAuthentication,
}

impl Proof {
    /// The word in JSON and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Proof::Authentication => "authentication",
            Proof::Key => "key",
            Proof::KeyAndAuthentication => "key_and_authentication",
        }
    }

    /// The proof of a word.
    pub fn parse(text: &str) -> Option<Self> {
        [Proof::Authentication, Proof::Key, Proof::KeyAndAuthentication].into_iter().find(|one| one.as_str() == text)
    }
}

/// The wanted level is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotProved;

/// The key that a session is bound to.
pub fn bound_key(record: &SessionRecord) -> Option<&str> {
    record.attributes.jkt.as_deref().filter(|_| record.header.flags & KEY_BOUND != 0)
}

/// Whether a device may have the wanted level, and by which proof it rises to it; `None` when it does not rise. Lowering
/// needs no proof. A blocked device rises by no proof at all: [`unblock`].
pub fn change(
    facts: &DeviceFacts,
    wanted: TrustLevel,
    evidence: Option<Evidence<'_>>,
    now: Timestamp,
) -> Result<Option<Proof>, NotProved> {
    if wanted <= facts.trust {
        return Ok(None);
    }
    if facts.trust == TrustLevel::Blocked {
        return Err(NotProved);
    }
    let evidence = evidence.ok_or(NotProved)?;
    let has_key = facts.jkt.is_some() && facts.jkt.as_deref() == evidence.jkt;
    // Whoever lacks the key of a device that has one is not that device, whatever else it shows.
    if facts.jkt.is_some() && !has_key {
        return Err(NotProved);
    }
    let old_enough = |seconds| now >= facts.first_seen_at.plus_seconds(seconds);
    let authenticated = evidence.recent_authentication;
    let proof = match (authenticated, has_key) {
        (true, true) => Proof::KeyAndAuthentication,
        (true, false) => Proof::Authentication,
        (false, true) => Proof::Key,
        (false, false) => return Err(NotProved),
    };
    let proved = match (wanted, proof) {
        (TrustLevel::Blocked | TrustLevel::New, _) => return Ok(None),
        (TrustLevel::Known, _) | (TrustLevel::Trusted, Proof::KeyAndAuthentication) => {
            old_enough(DEVICE_KNOWN_AFTER_SECONDS)
        }
        (TrustLevel::Trusted, Proof::Authentication) => old_enough(DEVICE_TRUSTED_AFTER_SECONDS),
        (TrustLevel::Trusted, Proof::Key) => false,
    };
    proved.then_some(Some(proof)).ok_or(NotProved)
}

/// Whether the caller may lift a block: applications only, and only to `new`.
pub fn unblock(wanted: TrustLevel, by_application: bool) -> Result<(), NotProved> {
    match wanted {
        TrustLevel::New if by_application => Ok(()),
        TrustLevel::Blocked => Ok(()),
        TrustLevel::New | TrustLevel::Known | TrustLevel::Trusted => Err(NotProved),
    }
}

/// The level that a beginning session gets from its device. A device that has shown a key is that device only with the
/// key: an id alone can be copied.
pub fn of_session(facts: &DeviceFacts, jkt: Option<&str>) -> TrustLevel {
    match &facts.jkt {
        Some(key) if jkt != Some(key) => facts.trust.min(TrustLevel::New),
        Some(_) | None => facts.trust,
    }
}

/// Whether a beginning session makes its device `known`: the authentication that the application states is the proof.
pub fn on_create(facts: &DeviceFacts, evidence: Evidence<'_>, now: Timestamp) -> Option<Proof> {
    match facts.trust {
        TrustLevel::New => change(facts, TrustLevel::Known, Some(evidence), now).ok().flatten(),
        TrustLevel::Blocked | TrustLevel::Known | TrustLevel::Trusted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn facts(trust: TrustLevel, jkt: Option<&str>) -> DeviceFacts {
        DeviceFacts { trust, first_seen_at: at(0), jkt: jkt.map(str::to_owned) }
    }

    fn shown(recent_authentication: bool, jkt: Option<&str>) -> Option<Evidence<'_>> {
        Some(Evidence { recent_authentication, jkt })
    }

    /// T-62: every step needs its proof, at the exact second.
    #[test]
    fn t_62_a_level_needs_its_proof_and_its_age() {
        let new = facts(TrustLevel::New, None);
        let rise = |wanted, evidence, seconds| change(&new, wanted, evidence, at(seconds));
        assert_eq!(rise(TrustLevel::Known, shown(true, None), DAY - 1), Err(NotProved));
        assert_eq!(rise(TrustLevel::Known, shown(true, None), DAY), Ok(Some(Proof::Authentication)));
        assert_eq!(rise(TrustLevel::Known, shown(false, None), 90 * DAY), Err(NotProved));
        assert_eq!(rise(TrustLevel::Known, None, 90 * DAY), Err(NotProved));
        assert_eq!(rise(TrustLevel::Trusted, shown(true, None), 7 * DAY - 1), Err(NotProved));
        assert_eq!(rise(TrustLevel::Trusted, shown(true, None), 7 * DAY), Ok(Some(Proof::Authentication)));
        assert_eq!(rise(TrustLevel::Known, shown(false, Some("key")), 0), Err(NotProved), "a key nobody recorded");

        let keyed = facts(TrustLevel::New, Some("key"));
        let rise = |wanted, evidence| change(&keyed, wanted, evidence, at(DAY));
        assert_eq!(change(&keyed, TrustLevel::Known, shown(true, Some("key")), at(DAY - 1)), Err(NotProved));
        assert_eq!(rise(TrustLevel::Known, shown(false, Some("key"))), Ok(Some(Proof::Key)));
        assert_eq!(rise(TrustLevel::Trusted, shown(false, Some("key"))), Err(NotProved));
        assert_eq!(rise(TrustLevel::Trusted, shown(true, Some("key"))), Ok(Some(Proof::KeyAndAuthentication)));
        for copy in [None, Some("other")] {
            assert_eq!(rise(TrustLevel::Known, shown(true, copy)), Err(NotProved), "a copied id without the key");
        }
    }

    #[test]
    fn t_62_a_copied_id_gets_no_trust_without_the_key() {
        let device = facts(TrustLevel::Trusted, Some("key"));
        assert_eq!(of_session(&device, Some("key")), TrustLevel::Trusted);
        assert_eq!(of_session(&device, Some("other")), TrustLevel::New);
        assert_eq!(of_session(&device, None), TrustLevel::New);
        assert_eq!(of_session(&facts(TrustLevel::Known, None), None), TrustLevel::Known);
        assert_eq!(of_session(&facts(TrustLevel::Blocked, Some("key")), None), TrustLevel::Blocked);
    }

    #[test]
    fn a_block_is_lifted_by_applications_and_only_to_new() {
        assert_eq!(unblock(TrustLevel::New, true), Ok(()));
        assert_eq!(unblock(TrustLevel::New, false), Err(NotProved));
        assert_eq!(unblock(TrustLevel::Known, true), Err(NotProved));
    }

    fn level() -> impl Strategy<Value = TrustLevel> {
        proptest::sample::select(TrustLevel::ALL.to_vec())
    }

    proptest! {
        /// I-6: whatever is asked, nothing rises without a proof, and a blocked device never by one.
        #[test]
        fn i_6_nothing_rises_without_a_proof(
            trust in level(), wanted in level(), recent in any::<bool>(), own in any::<bool>(), has in any::<bool>(),
            age in 0_i64..(20 * DAY),
        ) {
            let facts = facts(trust, own.then_some("key"));
            let outcome = change(&facts, wanted, shown(recent, has.then_some("key")), at(age));
            match outcome {
                Ok(Some(_)) => {
                    prop_assert!(wanted > trust && trust != TrustLevel::Blocked);
                    prop_assert!(recent || (own && has));
                    prop_assert!(age >= DAY);
                    prop_assert!(wanted != TrustLevel::Trusted || recent);
                }
                Ok(None) => prop_assert!(wanted <= trust),
                Err(NotProved) => prop_assert!(wanted > trust),
            }
            prop_assert!(of_session(&facts, None) <= trust);
        }
    }
}
