//! Erasing a person: the steps in their order, what a job remembers between them, and the receipt.
//!
//! Every step may run twice, and the job is written after each: one that is killed goes on where it was. What is counted
//! is counted before anything goes, so that a repeated step does not lower it.

use super::access_token::SigningKey;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `typ` of a receipt.
pub const RECEIPT_TYPE: &str = "erasure-receipt+jwt";

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Count what is there.
    Count,
    /// Ledger, epoch, sessions, history, settings, what waits in the outbox.
    Redis,
    /// The devices with their data.
    Devices,
    /// Deliveries to receivers that tell of what was before.
    Deliveries,
    /// Activities, once no drainer holds an event from before.
    Postgres,
    /// The key of the personal audit fields.
    Key,
    /// State and settings of the user.
    User,
    /// The receipt.
    Receipt,
    /// Tell the audit.
    Tell,
    /// Nothing.
    Done,
}

/// The steps in their order.
pub const STEPS: [Step; 10] = [
    Step::Count,
    Step::Redis,
    Step::Devices,
    Step::Deliveries,
    Step::Postgres,
    Step::Key,
    Step::User,
    Step::Receipt,
    Step::Tell,
    Step::Done,
];

impl Step {
    /// Its number.
    pub fn number(self) -> usize {
        STEPS.iter().position(|step| *step == self).unwrap_or(STEPS.len() - 1)
    }

    /// Whether it takes something away that can not be brought back. A legal hold stops it.
    pub fn destroys(self) -> bool {
        match self {
            Step::Redis | Step::Devices | Step::Deliveries | Step::Postgres | Step::Key | Step::User => true,
            Step::Count | Step::Receipt | Step::Tell | Step::Done => false,
        }
    }

    /// The one after it; the last stays.
    pub fn next(self) -> Step {
        STEPS.get(self.number() + 1).copied().unwrap_or(Step::Done)
    }
}

/// An erasure. It names a pseudonym and no person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erasure {
    /// Its id.
    pub erasure_id: String,
    /// The pseudonym of the user.
    pub subject: String,
    /// What belongs to an earlier time is erased. Milliseconds since the epoch.
    pub started_at: i64,
    /// Sessions of an earlier epoch are.
    pub epoch: u32,
    /// Settings of this version and earlier ones are.
    pub privacy_version: u32,
    /// Who asked, where.
    pub application_id: String,
    /// What its events say in common.
    pub common: String,
    /// What comes next.
    pub step: Step,
    /// What was found, by kind.
    pub counts: BTreeMap<String, u64>,
    /// When it was complete, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<i64>,
    /// The signed receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
    jti: &'a str,
    sub: &'a str,
    requested_at: Timestamp,
    completed_at: Timestamp,
    counts: &'a BTreeMap<String, u64>,
}

impl Erasure {
    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        Timestamp::from_millis(self.started_at)
    }

    /// The receipt: what was erased when, of a pseudonym.
    pub fn sign(&self, key: &SigningKey, issuer: &str, now: Timestamp) -> Option<String> {
        let claims = Claims {
            iss: issuer,
            iat: now.seconds(),
            jti: &self.erasure_id,
            sub: &self.subject,
            requested_at: self.started_at(),
            completed_at: now,
            counts: &self.counts,
        };
        key.sign_as(RECEIPT_TYPE, &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_to_the_end() {
        let mut step = STEPS[0];
        for expected in &STEPS[1..] {
            step = step.next();
            assert_eq!(step, *expected);
        }
        assert_eq!(step.next(), Step::Done);
    }

    /// Once everything is gone there is nothing to hold, and the person hears that it is.
    #[test]
    fn a_hold_stops_every_step_until_everything_is_gone() {
        let last = STEPS.iter().rposition(|step| step.destroys()).expect("a step");
        assert!(STEPS[1..=last].iter().all(|step| step.destroys()));
        assert_eq!(STEPS[last], Step::User);
    }

    #[test]
    fn the_key_goes_when_nothing_can_be_sealed_under_it_any_more() {
        assert!(Step::Redis.number() < Step::Postgres.number());
        assert!(Step::Postgres.number() < Step::Key.number());
    }
}
