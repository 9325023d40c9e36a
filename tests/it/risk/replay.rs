//! The month replayed through the engine under the default policy: what it detects, and what it costs honest users. The
//! document states both, and the test fails when it states anything else. T-77, T-92.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use shared::core::attributes::Attributes;
use shared::core::context::ClientContext;
use shared::core::crypto::{self, SecretKey};
use shared::core::device::TrustLevel;
use shared::core::fingerprint::Fingerprint;
use shared::core::id::{Bucket, SessionId, UserTag};
use shared::core::policy::{Effective, Policy};
use shared::core::record::{Header, SessionRecord, State};
use shared::core::risk::history::Entry;
use shared::core::risk::{self, History, Outcome, Scene};
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

use super::document::document;
use super::month::{Step, Theft, USERS, month};

/// When the month began.
const BEGINNING: i64 = 1_800_000_000;

/// What the users met.
#[derive(Debug, Default)]
struct Honest {
    requests: u64,
    changed: u64,
    step_ups: u64,
    quarantined: u64,
    ended: u64,
    asked: BTreeSet<usize>,
}

/// What the thieves met, by kind: tried, step-up, quarantined.
type Thefts = BTreeMap<Theft, [u64; 3]>;

struct Engine {
    routing: SecretKey,
    policy: Policy,
    rules: Effective,
    sessions: BTreeMap<(usize, usize), (SessionId, SessionRecord, bool)>,
    histories: BTreeMap<usize, History>,
    minted: u64,
    honest: Honest,
    thefts: Thefts,
}

impl Engine {
    fn new() -> Self {
        let policy = Policy::default();
        Engine {
            routing: SecretKey::new([7; 32]),
            rules: policy.effective(None, TrustLevel::New),
            policy,
            sessions: BTreeMap::new(),
            histories: BTreeMap::new(),
            minted: 0,
            honest: Honest::default(),
            thefts: Thefts::new(),
        }
    }

    fn play(&mut self, step: &Step) {
        let now = Timestamp::from_seconds(BEGINNING + step.at);
        let key = (step.user, step.device);
        match step.theft {
            Some(Theft::SignIn) => {
                let (_, record) = self.begin(step, now);
                self.count(Theft::SignIn, record.header.standing);
            }
            Some(theft) => self.steal(step, theft, now),
            None if step.begins || !self.sessions.contains_key(&key) => {
                let (session, mut record) = self.begin(step, now);
                self.honest.requests += 1;
                self.meet(step.user, record.header.standing);
                lift(&mut record);
                self.sessions.insert(key, (session, record, false));
            }
            None => self.request(step, now),
        }
    }

    fn begin(&mut self, step: &Step, now: Timestamp) -> (SessionId, SessionRecord) {
        self.minted += 1;
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&self.minted.to_be_bytes());
        let session = SessionId::from_parts(Bucket::new(1).expect("in range"), bytes);
        let bits = self.rules.binding.bits();
        let digests = step.client.digests(&self.routing, &session, self.policy.finest_bits());
        let mut attributes = Attributes { place: step.client.place.clone(), ..Attributes::default() };
        attributes.set_fingerprint(&Fingerprint::of(&step.client, &self.routing, &session, bits));
        let header = header(now, digests.address, digests.device);
        let mut record = SessionRecord { header, attributes, sealed: Vec::new() };
        let scene = self.scene(&session, &record, step, now);
        if let Some(judged) = risk::judge_beginning(&record, &self.rules, &scene) {
            record = judged.record;
        }
        let entry = Entry::of(scene.sighting, step.client.place.as_ref(), true, now);
        self.histories.insert(step.user, scene.history.learn(entry));
        (session, record)
    }

    fn request(&mut self, step: &Step, now: Timestamp) {
        self.honest.requests += 1;
        let key = (step.user, step.device);
        let (session, record, robbed) = self.sessions.remove(&key).expect("a session");
        let (mut record, outcome) = self.judge(&session, record, step, now);
        // After a theft the session is not the user's alone; what it is asked then is no false alarm.
        if let (Some(outcome), false) = (&outcome, robbed) {
            self.honest.changed += 1;
            match outcome {
                Outcome::End(_) => self.honest.ended += 1,
                Outcome::Refused => panic!("nothing is bound"),
                Outcome::Commit(_) => self.meet(step.user, record.header.standing),
            }
        }
        if record.header.standing != Standing::Good {
            // The user authenticates again and goes on from here.
            let scene = self.scene(&session, &record, step, now);
            let proved = risk::adopt(&record, &scene, true);
            record = proved.record;
            self.histories.insert(step.user, History::decode(&proved.history.unwrap_or_default()));
            lift(&mut record);
        }
        record.header.last_activity_at = now;
        self.sessions.insert(key, (session, record, false));
    }

    fn steal(&mut self, step: &Step, theft: Theft, now: Timestamp) {
        let key = (step.user, step.device);
        let Some((session, record, _)) = self.sessions.remove(&key) else { return };
        let (mut record, outcome) = self.judge(&session, record, step, now);
        let standing = match outcome {
            Some(Outcome::End(_)) => Standing::Quarantined,
            Some(Outcome::Commit(_) | Outcome::Refused) | None => record.header.standing,
        };
        self.count(theft, standing);
        record.header.last_activity_at = now;
        self.sessions.insert(key, (session, record, true));
    }

    /// As the service judges: nothing while the context is the record's own.
    fn judge(
        &mut self,
        session: &SessionId,
        record: SessionRecord,
        step: &Step,
        now: Timestamp,
    ) -> (SessionRecord, Option<Outcome>) {
        let scene = self.scene(session, &record, step, now);
        if !risk::unjudged(&record.header, scene.digests) {
            return (record, None);
        }
        match risk::judge(&record, &self.rules, &scene) {
            Outcome::Commit(commitment) => {
                if let Some(history) = &commitment.history {
                    self.histories.insert(step.user, History::decode(history));
                }
                (commitment.record.clone(), Some(Outcome::Commit(commitment)))
            }
            outcome => (record, Some(outcome)),
        }
    }

    fn scene(&self, session: &SessionId, record: &SessionRecord, step: &Step, now: Timestamp) -> Scene {
        let client: &ClientContext = &step.client;
        let fingerprint = Fingerprint::of(client, &self.routing, session, self.rules.binding.bits());
        let anchor = record.attributes.fingerprint();
        Scene {
            digests: client.digests(&self.routing, session, self.policy.finest_bits()),
            network: anchor.map_or(fingerprint.network, |anchor| anchor.network_of(client, &self.routing, session)),
            fingerprint,
            sighting: client.sighting(&self.routing, tag(step.user)),
            place: client.place.clone(),
            history: self.histories.get(&step.user).cloned().unwrap_or_default(),
            now,
        }
    }

    fn meet(&mut self, user: usize, standing: Standing) {
        match standing {
            Standing::Good => return,
            Standing::StepUp => self.honest.step_ups += 1,
            Standing::Quarantined => self.honest.quarantined += 1,
        }
        self.honest.asked.insert(user);
    }

    fn count(&mut self, theft: Theft, standing: Standing) {
        let counts = self.thefts.entry(theft).or_default();
        counts[0] += 1;
        match standing {
            Standing::Good => {}
            Standing::StepUp => counts[1] += 1,
            Standing::Quarantined => counts[2] += 1,
        }
    }

    /// The two tables of the document.
    fn tables(&self) -> String {
        let Honest { requests, changed, step_ups, quarantined, ended, asked } = &self.honest;
        let percent = |part: u64, whole: u64| format!("{:.2} %", 100.0 * part as f64 / whole.max(1) as f64);
        let mut text = String::from("| honest requests | count | rate |\n|---|---|---|\n");
        for (what, count) in [
            ("all", requests),
            ("in a changed context", changed),
            ("asked for a step-up", step_ups),
            ("quarantined", quarantined),
            ("ended", ended),
        ] {
            writeln!(text, "| {what} | {count} | {} |", percent(*count, *requests)).expect("text grows");
        }
        writeln!(
            text,
            "| users asked for anything in the month | {} | {} |",
            asked.len(),
            percent(asked.len() as u64, USERS as u64)
        )
        .expect("text grows");
        text.push_str("\n| theft | tried | step-up | quarantined | detected |\n|---|---|---|---|---|\n");
        for theft in Theft::ALL {
            let [tried, step_up, quarantined] = self.thefts.get(&theft).copied().unwrap_or_default();
            let detected = percent(step_up + quarantined, tried);
            writeln!(text, "| {} | {tried} | {step_up} | {quarantined} | {detected} |", theft.as_str())
                .expect("text grows");
        }
        text
    }
}

/// A re-authentication.
fn lift(record: &mut SessionRecord) {
    record.header.standing = Standing::Good;
    record.header.risk_score = 0;
    record.attributes.risk = None;
}

fn tag(user: usize) -> UserTag {
    let number = u32::try_from(user).expect("few users").to_be_bytes();
    UserTag::parse(&crypto::encode(&[0, 0, number[0], number[1], number[2], number[3]])).expect("six bytes")
}

fn header(now: Timestamp, address: [u8; 8], device: [u8; 8]) -> Header {
    Header {
        state: State::Active,
        mac_key_id: 1,
        version: 1,
        revision: 1,
        epoch: 0,
        generation: 1,
        idle_timeout_seconds: 3600,
        grace_seconds: 10,
        created_at: now,
        last_activity_at: now,
        absolute_expires_at: now,
        rotated_at: now,
        ended_at: Timestamp::from_millis(0),
        last_operation: [0; 8],
        user_tag: UserTag::NOBODY,
        application_tag: *b"own-app-",
        address,
        device,
        standing: Standing::Good,
        trust: TrustLevel::New,
        risk_score: 0,
        flags: 0,
        superseded_generation: 0,
        device_epoch: 0,
    }
}

/// T-77 (a false-positive budget on a labelled replay), T-92.
#[test]
fn t_77_t_92_the_replayed_month_keeps_the_stated_rates() {
    let mut engine = Engine::new();
    for step in month() {
        engine.play(&step);
    }
    let tables = engine.tables();
    println!("{tables}");
    let Honest { requests, quarantined, ended, step_ups, .. } = engine.honest;
    assert_eq!(ended, 0, "honest roaming never ends a session");
    assert!(quarantined * 1000 <= requests, "at most one honest request in a thousand is quarantined: {quarantined}");
    assert!(step_ups * 50 <= requests, "at most two honest requests in a hundred are asked: {step_ups}");
    for (theft, [tried, step_up, quarantined]) in &engine.thefts {
        assert!(*tried >= 5, "{theft:?}");
        match theft {
            // By nothing that a server sees does it differ from a commuter.
            Theft::NearSameClient => {}
            Theft::AbroadOtherClient | Theft::NearOtherClient => {
                assert_eq!(quarantined, tried, "{theft:?}")
            }
            // A country in which the user's device has been for a day, behind a VPN say, is no evidence.
            Theft::AbroadSameClient => assert!((step_up + quarantined) * 10 >= tried * 8, "{theft:?}"),
            Theft::SignIn | Theft::SameNetworkOtherClient => {
                assert_eq!(step_up + quarantined, *tried, "{theft:?}")
            }
        }
    }
    for line in tables.lines().filter(|line| !line.is_empty()) {
        assert!(document().contains(line), "docs/SECURITY.md does not say: {line}\nThe month gives:\n{tables}");
    }
}
