//! What a batch of events adds to the roll-ups: counted in memory at the shortest grain, folded into the longer ones once
//! per row and not once per event.

use super::UNKNOWN;
use super::distinct::{Distinct, digest};
use super::grain::Grain;
use super::sample::{ANSWERS, Sample};
use super::spread::Spread;
use crate::core::attributes::Attributes;
use crate::core::audit::AuditEvent;
use crate::core::refusal::REFUSED;
use crate::core::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is counted. The words are those of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Sessions created.
    Created,
    /// Sessions ended, by reason.
    Ended,
    /// Refreshes.
    Refreshed,
    /// Recorded activities.
    Activities,
    /// Security events, by type and reason.
    Security,
    /// Sessions created, by country.
    Countries,
    /// Sessions created, by kind of device.
    Devices,
    /// Answers, by operation and class.
    Answers,
    /// Distinct users with an event of their own or of their application's making.
    ActiveUsers,
    /// Distinct sessions with such an event.
    ActiveSessions,
    /// Distinct users who created a session, by country.
    CountryUsers,
    /// Distinct users who created a session, by kind of device.
    DeviceUsers,
    /// Seconds that sessions lasted.
    Durations,
    /// The same, by kind of device.
    DeviceDurations,
    /// The same, by the reason of the end.
    ReasonDurations,
    /// Milliseconds that requests took, by operation.
    Handling,
}

impl Metric {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::Created => "created",
            Metric::Ended => "ended",
            Metric::Refreshed => "refreshed",
            Metric::Activities => "activities",
            Metric::Security => "security",
            Metric::Countries => "countries",
            Metric::Devices => "devices",
            Metric::Answers => "answers",
            Metric::ActiveUsers => "active_users",
            Metric::ActiveSessions => "active_sessions",
            Metric::CountryUsers => "country_users",
            Metric::DeviceUsers => "device_users",
            Metric::Durations => "durations",
            Metric::DeviceDurations => "device_durations",
            Metric::ReasonDurations => "reason_durations",
            Metric::Handling => "handling",
        }
    }

    /// The shortest grain that it is kept at.
    pub fn finest(self) -> Grain {
        match self {
            Metric::Created
            | Metric::Ended
            | Metric::Refreshed
            | Metric::Activities
            | Metric::Security
            | Metric::Answers
            | Metric::ActiveUsers
            | Metric::ActiveSessions
            | Metric::Handling => Grain::Minute,
            Metric::Countries
            | Metric::Devices
            | Metric::CountryUsers
            | Metric::DeviceUsers
            | Metric::Durations
            | Metric::DeviceDurations
            | Metric::ReasonDurations => Grain::Quarter,
        }
    }
}

/// Events of these types are told by the report about security, with the reason of the event.
pub const SECURITY_EVENTS: [&str; 9] = [
    "refresh.replayed",
    "session.context_changed",
    "session.risk_raised",
    "session.risk_shadowed",
    "session.binding_refused",
    "session.key_refused",
    "share.refused",
    "device.revoked",
    "security.probing",
];

/// Refusals with one of these codes are security events too: what an honest client does not come to, and no event of its own
/// tells of.
pub const SECURITY_REFUSALS: [&str; 3] = ["device_blocked", "device_proof_invalid", "dpop_proof_invalid"];

/// Ends for one of these reasons are security events too.
pub const SECURITY_ENDS: [&str; 3] = ["reuse", "device_blocked", "risk"];

/// The class of answers that count as failed.
pub const ANSWERS_FAILED: &str = ANSWERS[2];

/// A row of a roll-up. The order is that of the database's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Whose it is; empty for the service as a whole.
    pub application: String,
    /// What is counted.
    pub metric: Metric,
    /// The length of its time.
    pub grain: Grain,
    /// When its time begins.
    pub start: Timestamp,
    /// What it is counted by; empty when by nothing.
    pub key: String,
}

/// What events add, at the shortest grain of each metric.
#[derive(Default)]
pub struct Increments {
    counts: HashMap<Row, i64>,
    members: HashMap<Row, HashSet<u64>>,
    spreads: HashMap<Row, Spread>,
}

/// What events add, at every grain, in the order of the rows.
#[derive(Default)]
pub struct Rollups {
    /// To counters.
    pub counts: BTreeMap<Row, i64>,
    /// To distinct counts.
    pub distinct: BTreeMap<Row, Distinct>,
    /// To spreads.
    pub spreads: BTreeMap<Row, Spread>,
}

impl Increments {
    /// Counts an event of the audit. `attributes` are those that came with it, `began` is when an ended session had begun.
    pub fn event(&mut self, event: &AuditEvent, attributes: Option<&Attributes>, began: Option<Timestamp>) {
        let (application, at) = (event.application_id.as_str(), event.occurred_at);
        match event.event_type.as_str() {
            "session.created" => self.created(event, attributes),
            "session.ended" => self.ended(event, attributes, began),
            "session.refreshed" => self.count(application, Metric::Refreshed, at, "", 1),
            REFUSED if SECURITY_REFUSALS.contains(&event.reason.as_str()) => self.security(event),
            other if SECURITY_EVENTS.contains(&other) => self.security(event),
            _ => {}
        }
        // What the service does by itself is nobody's activity, nor is what it refuses.
        if event.actor != "service" && !["security.probing", REFUSED].contains(&event.event_type.as_str()) {
            self.active(application, at, &event.subject, &event.session_id);
        }
    }

    fn created(&mut self, event: &AuditEvent, attributes: Option<&Attributes>) {
        let (application, at) = (event.application_id.as_str(), event.occurred_at);
        let (country, device) = dimensions(attributes);
        self.count(application, Metric::Created, at, "", 1);
        self.count(application, Metric::Countries, at, &country, 1);
        self.count(application, Metric::Devices, at, &device, 1);
        let user = digest(&event.subject);
        self.member(application, Metric::CountryUsers, at, &country, user);
        self.member(application, Metric::DeviceUsers, at, &device, user);
    }

    fn ended(&mut self, event: &AuditEvent, attributes: Option<&Attributes>, began: Option<Timestamp>) {
        let (application, at) = (event.application_id.as_str(), event.occurred_at);
        self.count(application, Metric::Ended, at, &event.reason, 1);
        if SECURITY_ENDS.contains(&event.reason.as_str()) {
            self.security(event);
        }
        let Some(began) = began else { return };
        let seconds = at.millis_since(began) as f64 / 1000.0;
        let (_, device) = dimensions(attributes);
        for (metric, key) in [
            (Metric::Durations, ""),
            (Metric::DeviceDurations, device.as_str()),
            (Metric::ReasonDurations, event.reason.as_str()),
        ] {
            self.spread(application, metric, at, key).insert(seconds);
        }
    }

    fn security(&mut self, event: &AuditEvent) {
        let key = security_key(&event.event_type, &event.reason);
        self.count(&event.application_id, Metric::Security, event.occurred_at, &key, 1);
    }

    /// Counts recorded activities of a session.
    pub fn activity(&mut self, application: &str, subject: &str, session: &str, at: Timestamp) {
        self.count(application, Metric::Activities, at, "", 1);
        self.active(application, at, subject, session);
    }

    /// Counts what an environment has measured: for the application, when there is one, and for the service as a whole.
    pub fn sample(&mut self, sample: &Sample) {
        let whole = Some("").filter(|_| !sample.application.is_empty());
        for application in [sample.application.as_str()].into_iter().chain(whole) {
            self.spread(application, Metric::Handling, sample.minute, &sample.operation).add(&sample.millis);
            for (class, count) in ANSWERS.iter().zip(sample.answers) {
                let key = answers_key(&sample.operation, class);
                self.count(application, Metric::Answers, sample.minute, &key, i64::from(count));
            }
        }
    }

    fn active(&mut self, application: &str, at: Timestamp, subject: &str, session: &str) {
        if !subject.is_empty() {
            self.member(application, Metric::ActiveUsers, at, "", digest(subject));
        }
        if !session.is_empty() {
            self.member(application, Metric::ActiveSessions, at, "", digest(session));
        }
    }

    fn count(&mut self, application: &str, metric: Metric, at: Timestamp, key: &str, by: i64) {
        if by != 0 {
            *self.counts.entry(row(application, metric, at, key)).or_default() += by;
        }
    }

    fn member(&mut self, application: &str, metric: Metric, at: Timestamp, key: &str, digest: u64) {
        self.members.entry(row(application, metric, at, key)).or_default().insert(digest);
    }

    fn spread(&mut self, application: &str, metric: Metric, at: Timestamp, key: &str) -> &mut Spread {
        self.spreads.entry(row(application, metric, at, key)).or_default()
    }

    /// The rows to write. `None` only when a distinct count can not be made at all.
    pub fn rollups(self) -> Option<Rollups> {
        let mut rollups = Rollups::default();
        for (row, count) in self.counts {
            grains(&row).for_each(|row| *rollups.counts.entry(row).or_default() += count);
        }
        for (row, members) in self.members {
            for row in grains(&row) {
                let distinct = match rollups.distinct.entry(row) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Distinct::new()?),
                };
                members.iter().for_each(|member| distinct.insert(*member));
            }
        }
        for (row, spread) in self.spreads {
            grains(&row).for_each(|row| rollups.spreads.entry(row).or_default().add(&spread));
        }
        Some(rollups)
    }
}

/// The key of a security event's counter.
pub fn security_key(event_type: &str, reason: &str) -> String {
    format!("{event_type} {reason}")
}

/// The key of a counter of answers.
pub fn answers_key(operation: &str, class: &str) -> String {
    format!("{operation} {class}")
}

fn row(application: &str, metric: Metric, at: Timestamp, key: &str) -> Row {
    let grain = metric.finest();
    Row { application: application.to_owned(), metric, grain, start: grain.floor(at), key: key.to_owned() }
}

/// The rows of every grain that a row of the shortest one belongs to.
fn grains(row: &Row) -> impl Iterator<Item = Row> {
    Grain::ALL.into_iter().filter(|grain| *grain >= row.grain).map(|grain| Row {
        grain,
        start: grain.floor(row.start),
        ..row.clone()
    })
}

/// Country and kind of device.
fn dimensions(attributes: Option<&Attributes>) -> (String, String) {
    let country = attributes.and_then(|attributes| attributes.place.as_ref()).map(|place| place.country);
    let country = country.and_then(|code| std::str::from_utf8(&code).ok().map(str::to_owned));
    let device = attributes.and_then(|attributes| attributes.device_type.clone());
    (country.unwrap_or_else(|| UNKNOWN.into()), device.unwrap_or_else(|| UNKNOWN.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(number: u64, user: u8, kind: &str, at: i64) -> AuditEvent {
        AuditEvent {
            event_id: number.to_string(),
            occurred_at: Timestamp::from_millis(at),
            event_type: kind.into(),
            application_id: "demo".into(),
            subject: format!("b000.{user}"),
            session_id: format!("ses_{user}"),
            actor: "holder".into(),
            reason: if kind == "session.ended" { "user".into() } else { String::new() },
            request_id: String::new(),
            detail: String::new(),
            sealed: Vec::new(),
        }
    }

    proptest! {
        /// Every grain holds every event once, whatever the batches that they came in.
        #[test]
        fn batches_add_up_at_every_grain(
            events in prop::collection::vec((any::<u8>(), 0..3_usize, 1_700_000_000_000_i64..1_710_000_000_000), 1..60),
            cut in 0_usize..60,
        ) {
            let kinds = ["session.created", "session.refreshed", "session.ended"];
            let events: Vec<AuditEvent> = (0..).zip(&events)
                .map(|(number, (user, kind, at))| event(number, *user, kinds[*kind], *at)).collect();
            let mut total: BTreeMap<(Metric, Grain), i64> = BTreeMap::new();
            let mut users: BTreeMap<Grain, Distinct> = BTreeMap::new();
            for batch in [&events[..cut.min(events.len())], &events[cut.min(events.len())..]] {
                let mut increments = Increments::default();
                batch.iter().for_each(|event| increments.event(event, None, None));
                let rollups = increments.rollups().expect("sets");
                for (row, count) in rollups.counts {
                    *total.entry((row.metric, row.grain)).or_default() += count;
                }
                for (row, set) in rollups.distinct.iter().filter(|(row, _)| row.metric == Metric::ActiveUsers) {
                    prop_assert!(users.entry(row.grain).or_insert_with(|| Distinct::new().expect("a set")).merge(&set.stored()));
                }
            }
            for (metric, kind) in [(Metric::Created, kinds[0]), (Metric::Refreshed, kinds[1]), (Metric::Ended, kinds[2])] {
                let expected = events.iter().filter(|event| event.event_type == kind).count() as i64;
                for grain in Grain::ALL {
                    prop_assert_eq!(total.get(&(metric, grain)).copied().unwrap_or_default(), expected);
                }
            }
            let expected: HashSet<_> = events.iter().map(|event| &event.subject).collect();
            for grain in Grain::ALL {
                prop_assert_eq!(users[&grain].count(), expected.len() as u64);
            }
        }
    }

    #[test]
    fn jobs_and_misses_are_nobodys_activity() {
        let mut increments = Increments::default();
        increments.event(&AuditEvent { actor: "service".into(), ..event(1, 1, "session.ended", 0) }, None, None);
        increments.event(&event(2, 1, "security.probing", 0), None, None);
        assert!(increments.members.is_empty());
        assert_eq!(increments.counts.len(), 2);
    }

    #[test]
    fn refusals_are_nobodys_activity_and_few_are_security_events() {
        let counted = |reason: &str| {
            let mut increments = Increments::default();
            increments.event(&AuditEvent { reason: reason.into(), ..event(1, 1, REFUSED, 0) }, None, None);
            assert!(increments.members.is_empty(), "{reason}");
            increments.counts.into_iter().map(|(row, count)| (row.metric, row.key, count)).collect::<Vec<_>>()
        };
        for reason in SECURITY_REFUSALS {
            assert_eq!(counted(reason), [(Metric::Security, format!("{REFUSED} {reason}"), 1)]);
        }
        for reason in ["credential_missing", "credential_invalid", "rate_limited", "session_locked"] {
            assert_eq!(counted(reason), [], "{reason}");
        }
    }
}
