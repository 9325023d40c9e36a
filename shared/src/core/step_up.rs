//! What a re-authentication does to a session: raised assurance, a fresh generation, both clocks anew within policy.

use super::assurance::authenticated_at;
use super::json::FieldError;
use super::policy::Effective;
use super::record::{Header, SessionRecord};
use super::standing::Standing;
use super::time::Timestamp;

/// What the application says of the re-authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Authentication context class; `None` keeps the recorded one.
    pub acr: Option<String>,
    /// Authentication methods; `None` keeps the recorded ones.
    pub amr: Option<Vec<String>>,
    /// When the user authenticated.
    pub auth_time: Timestamp,
    /// Idle timeout from here on; `None` keeps the session's.
    pub idle_timeout_seconds: Option<u64>,
    /// Absolute timeout, counted from the authentication; `None` takes that of the policy.
    pub absolute_timeout_seconds: Option<u64>,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The authentication is older than the policy allows, or not later than the recorded one: a replayed assertion.
    Stale,
    /// A timeout is out of the policy's bounds.
    Invalid(Vec<FieldError>),
}

/// The record after a step-up. Tokens tell authentications apart by the second, so a later one is of a later second.
pub fn decide(
    record: &SessionRecord,
    rules: &Effective,
    assertion: &Assertion,
    operation: [u8; 8],
    now: Timestamp,
) -> Result<SessionRecord, Refused> {
    let at = assertion.auth_time;
    if at.seconds() <= authenticated_at(record).seconds() || now > at.plus_seconds(rules.step_up_age_seconds) {
        return Err(Refused::Stale);
    }
    let header = &record.header;
    let timeouts =
        rules.timeouts(assertion.idle_timeout_seconds, assertion.absolute_timeout_seconds).map_err(Refused::Invalid)?;
    // An assertion from a clock ahead of ours gives no longer life.
    let from = at.min(now);
    let stated = from.plus_seconds(u64::from(timeouts.absolute_seconds));
    let absolute_expires_at = match assertion.absolute_timeout_seconds {
        Some(_) => stated,
        // What the session was promised when it began holds on, up to the largest that the policy allows.
        None => stated.max(header.absolute_expires_at).min(from.plus_seconds(rules.absolute_timeout_seconds_max)),
    };
    let idle_timeout_seconds = match assertion.idle_timeout_seconds {
        Some(_) => timeouts.idle_seconds,
        None => {
            let longest = u32::try_from(rules.idle_timeout_seconds_max).unwrap_or(u32::MAX);
            header.idle_timeout_seconds.min(longest)
        }
    };
    let mut stepped = record.clone();
    stepped.header = Header {
        revision: header.revision.wrapping_add(1),
        generation: header.generation.saturating_add(1),
        superseded_generation: header.generation,
        idle_timeout_seconds,
        last_activity_at: header.last_activity_at.max(now),
        absolute_expires_at,
        rotated_at: now,
        last_operation: operation,
        standing: Standing::Good,
        risk_score: 0,
        ..header.clone()
    };
    let attributes = &mut stepped.attributes;
    attributes.auth_time = Some(at);
    attributes.risk = None;
    if assertion.acr.is_some() {
        attributes.acr.clone_from(&assertion.acr);
    }
    if let Some(amr) = &assertion.amr {
        attributes.amr.clone_from(amr);
    }
    Ok(stepped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::attributes::Attributes;
    use crate::core::device::TrustLevel;
    use crate::core::policy::Policy;
    use crate::core::record::arbitrary;
    use proptest::prelude::*;

    const BEGAN: i64 = 1_700_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(BEGAN + seconds)
    }

    fn rules() -> Effective {
        Policy { absolute_timeout_seconds: 7200, absolute_timeout_seconds_max: 10_000, ..Policy::default() }
            .effective(None, TrustLevel::New)
    }

    fn record() -> SessionRecord {
        let mut header = arbitrary::some_header();
        header.created_at = at(0);
        header.last_activity_at = at(1000);
        header.absolute_expires_at = at(7200);
        header.generation = 4;
        header.idle_timeout_seconds = 600;
        let attributes = Attributes { acr: Some("aal1".into()), amr: vec!["pwd".into()], ..Attributes::default() };
        SessionRecord { header, attributes, sealed: Vec::new() }
    }

    fn assertion(auth_time: Timestamp) -> Assertion {
        Assertion { acr: None, amr: None, auth_time, idle_timeout_seconds: None, absolute_timeout_seconds: None }
    }

    fn step(record: &SessionRecord, assertion: &Assertion, now: Timestamp) -> Result<SessionRecord, Refused> {
        decide(record, &rules(), assertion, [9; 8], now)
    }

    #[test]
    fn t_63_only_a_later_and_recent_authentication_counts() {
        for stale in [at(0), at(-1), at(699)] {
            assert_eq!(step(&record(), &assertion(stale), at(1000)), Err(Refused::Stale), "{stale}");
        }
        let first = step(&record(), &assertion(at(900)), at(1000)).expect("accepted");
        assert_eq!(step(&first, &assertion(at(900)), at(1001)), Err(Refused::Stale), "a replayed assertion");
        let within_the_second = Timestamp::from_millis(at(900).millis() + 999);
        assert_eq!(step(&first, &assertion(within_the_second), at(1001)), Err(Refused::Stale));
        assert!(step(&first, &assertion(at(901)), at(1001)).is_ok());
    }

    #[test]
    fn i_6_assurance_falls_only_when_the_application_says_so() {
        let kept = step(&record(), &assertion(at(900)), at(1000)).expect("accepted").attributes;
        assert_eq!((kept.acr.as_deref(), kept.amr, kept.auth_time), (Some("aal1"), vec!["pwd".into()], Some(at(900))));
        let raised = Assertion { acr: Some("aal2".into()), amr: Some(vec!["otp".into()]), ..assertion(at(900)) };
        let raised = step(&record(), &raised, at(1000)).expect("accepted");
        assert_eq!((raised.attributes.acr.as_deref(), raised.attributes.amr), (Some("aal2"), vec!["otp".into()]));
        let header = raised.header;
        assert_eq!((header.generation, header.superseded_generation, header.rotated_at), (5, 4, at(1000)));
        assert_eq!((header.standing, header.risk_score, header.last_operation), (Standing::Good, 0, [9; 8]));
    }

    #[test]
    fn timeouts_out_of_policy_are_named() {
        let wrong = Assertion { absolute_timeout_seconds: Some(10_001), ..assertion(at(900)) };
        let Err(Refused::Invalid(errors)) = step(&record(), &wrong, at(1000)) else { panic!("refused") };
        assert_eq!(errors[0].field, "absoluteTimeoutSeconds");
    }

    proptest! {
        /// I-5, T-20: the end moves only as far as the policy reaches from the new authentication.
        #[test]
        fn i_5_the_end_never_passes_the_policy(
            end in 1_i64..40_000, auth in 1_i64..1000, ahead in 0_i64..30, stated in proptest::option::of(60_u64..10_000)
        ) {
            let now = at(1000);
            let mut record = record();
            record.header.absolute_expires_at = at(end);
            let auth_time = if auth > 970 { at(1000 + ahead) } else { at(auth) };
            let assertion = Assertion { absolute_timeout_seconds: stated, ..assertion(auth_time) };
            if let Ok(stepped) = step(&record, &assertion, now) {
                let from = auth_time.min(now);
                prop_assert!(stepped.header.absolute_expires_at <= from.plus_seconds(10_000));
                prop_assert!(stepped.header.absolute_expires_at >= from.plus_seconds(stated.unwrap_or(7200)));
            }
        }
    }
}
