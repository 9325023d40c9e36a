//! The model: what must be true of every session after every step.

use std::cell::RefCell;
use std::collections::BTreeMap;

use redis::Value;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Call};
use shared::clock;
use shared::core::id::{SessionId, UserSlot};
use shared::core::ledger::{LedgerEntry, Recorded, Spared};
use shared::core::policy::SessionLimit;
use shared::core::record::{SessionRecord, State};
use shared::core::session::{Liveness, liveness};
use shared::core::time::Timestamp;
use shared::service::catch_up;

use super::steps::Step;
use super::store::{self, Contents};
use crate::script_bench::{Bench, Event, case_rng, operation, random_slot, shifted};

/// The past in which a machine starts, so that the store's clock never comes before its own.
const START_MILLIS: i64 = -20 * 3_600_000;

/// What the record of a session must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) generation: u32,
    pub(super) rotated: Timestamp,
    pub(super) active: Timestamp,
    pub(super) version: u32,
    pub(super) sealed: Vec<u8>,
    pub(super) device: [u8; 8],
    pub(super) address: [u8; 8],
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) user: usize,
    pub(super) created: Timestamp,
    pub(super) absolute: Timestamp,
    pub(super) idle: u32,
    pub(super) grace: u16,
    /// Nothing when the store was set back to before the session.
    pub(super) facts: Option<Facts>,
    /// Somebody was told that it is over. It never lives again, whatever happens to the store.
    pub(super) ended: bool,
    /// The newest generation that was handed out.
    pub(super) newest: u32,
    pub(super) replays: usize,
}

/// A user's item in DynamoDB.
#[derive(Debug)]
pub(super) struct User {
    pub(super) slot: UserSlot,
    pub(super) epoch: u32,
    pub(super) spared: Option<Spared>,
}

struct Kept {
    contents: Contents,
    facts: Vec<Option<Facts>>,
}

/// How often the machines of a run met what they are made for.
pub type Met = RefCell<BTreeMap<&'static str, usize>>;

/// One machine.
pub struct World<'a> {
    pub(super) bench: &'a Bench,
    pub(super) met: &'a Met,
    pub(super) limit: SessionLimit,
    pub(super) now: Timestamp,
    pub(super) latest: Timestamp,
    pub(super) users: [User; 2],
    pub(super) sessions: Vec<Session>,
    pub(super) ledger: BTreeMap<String, LedgerEntry>,
    kept: Option<Kept>,
    pub(super) set_back: bool,
    pub(super) events: BTreeMap<String, Event>,
}

impl<'a> World<'a> {
    pub async fn new(bench: &'a Bench, limit: SessionLimit, met: &'a Met) -> Self {
        bench.command(&redis::cmd("FLUSHALL")).await;
        let mut rng = case_rng(rand::random(), 0);
        let users = [(); 2].map(|()| User { slot: random_slot(&mut rng), epoch: 0, spared: None });
        let latest = shifted(clock::now(), -60_000);
        World {
            bench,
            met,
            limit,
            now: shifted(latest, START_MILLIS),
            latest,
            users,
            sessions: Vec::new(),
            ledger: BTreeMap::new(),
            kept: None,
            set_back: false,
            events: BTreeMap::new(),
        }
    }

    pub async fn step(&mut self, step: &Step) {
        let present = !self.sessions.is_empty();
        match step.clone() {
            Step::Create { user, idle, absolute, grace, device, twice } => {
                let idle = [1800, 7200][idle];
                let absolute = [7200, 43_200, 2_592_000][absolute];
                self.create(user, idle, absolute, [0, 10, 30][grace], device, twice).await;
            }
            Step::Read { session } if present => self.read(self.pick(session)).await,
            Step::LateTouch { session, seconds } if present => self.late_touch(self.pick(session), seconds).await,
            Step::Write { session, stale, twice } if present => self.write(self.pick(session), stale, twice).await,
            Step::Refresh { session, token, device, address, twice } if present => {
                self.refresh(self.pick(session), token, digest(device), digest(address), twice).await;
            }
            Step::StaleJudgement { session } if present => self.stale_judgement(self.pick(session)).await,
            Step::End { session, by_another, twice } if present => {
                self.end(self.pick(session), by_another, twice).await
            }
            Step::EndUser { user, spared, twice } => {
                let revocation = self.raise(user, spared.filter(|_| present).map(|spared| self.pick(spared)));
                self.revoke(user, revocation, twice).await;
            }
            Step::EndUserCrossed { user, first, second } => {
                let first = self.raise(user, first.filter(|_| present).map(|spared| self.pick(spared)));
                let second = self.raise(user, second.filter(|_| present).map(|spared| self.pick(spared)));
                self.revoke(user, second, false).await;
                self.revoke(user, first, false).await;
            }
            Step::Sweep { user } => {
                let bucket = self.users[user].slot.bucket;
                self.run(&scripts::sweep(bucket, &operation(self.now), self.now)).await;
            }
            Step::Advance { millis } => self.now = shifted(self.now, millis).min(self.latest),
            Step::Keep => {
                let facts = self.sessions.iter().map(|session| session.facts.clone()).collect();
                self.kept = Some(Kept { contents: store::take(self.bench).await, facts });
            }
            Step::SetBack => self.set_back().await,
            _ => {}
        }
        self.check().await;
    }

    /// Dead sessions outnumber the living soon, so three of four choices are among the latter.
    pub(super) fn pick(&self, number: usize) -> usize {
        let living: Vec<usize> = (0..self.sessions.len()).filter(|index| self.alive(*index)).collect();
        match living.len() {
            count if count > 0 && !number.is_multiple_of(4) => living[number / 4 % count],
            _ => number % self.sessions.len(),
        }
    }

    pub(super) fn meet(&self, what: &'static str) {
        *self.met.borrow_mut().entry(what).or_default() += 1;
    }

    pub(super) fn alive(&self, index: usize) -> bool {
        let session = &self.sessions[index];
        let in_time = |facts: &Facts| {
            self.now < session.absolute && self.now < facts.active.plus_seconds(u64::from(session.idle))
        };
        !session.ended && session.facts.as_ref().is_some_and(in_time)
    }

    pub(super) async fn run(&self, call: &Call) -> Value {
        self.bench.run(call).await.expect("the script runs")
    }

    /// Runs an operation once, or twice as after a lost reply; the second run must not change anything.
    pub(super) async fn operate(&self, call: &Call, twice: bool) -> (Value, Option<Value>) {
        let first = self.run(call).await;
        if !twice {
            return (first, None);
        }
        let before = store::digest(self.bench).await;
        let second = self.run(call).await;
        assert_eq!(store::digest(self.bench).await, before, "I-14: a second run changed the store");
        (first, Some(second))
    }

    async fn set_back(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        self.drain().await;
        self.set_back = true;
        store::set_back(self.bench, &kept.contents).await;
        for (index, session) in self.sessions.iter_mut().enumerate() {
            session.facts = kept.facts.get(index).cloned().flatten();
        }
        self.kept = Some(kept);
        self.meet("set back");
        for entry in self.ledger.values() {
            let recorded = Recorded { entry: entry.clone(), at: self.now };
            catch_up::apply(&mut self.bench.connection(), &recorded, self.now).await.expect("applied");
        }
    }

    /// What the store says of every session, against the model.
    async fn check(&self) {
        for (user, item) in self.users.iter().enumerate() {
            let indices: Vec<usize> = (0..self.sessions.len()).filter(|i| self.sessions[*i].user == user).collect();
            let ids: Vec<SessionId> = indices.iter().map(|index| self.sessions[*index].id).collect();
            let reply = self.bench.command(&scripts::read(&ids, item.slot)).await;
            let (records, epoch) = scripts::read_reply(reply).expect("readable");
            let mut living = 0;
            for (index, record) in indices.iter().zip(&records) {
                let session = &self.sessions[*index];
                let lives = |record: &SessionRecord| liveness(&record.header, epoch, self.now) == Liveness::Alive;
                let alive = record.as_ref().is_some_and(lives);
                assert_eq!(alive, self.alive(*index), "I-1, I-11: {session:?} {record:?} epoch {epoch}");
                let Some(record) = record else { continue };
                assert_eq!(record.header.absolute_expires_at, session.absolute, "I-5: {session:?}");
                assert_eq!(record.header.created_at, session.created, "{session:?}");
                if alive {
                    living += 1;
                    assert_eq!(Some(facts_of(record)), session.facts, "{session:?}");
                }
            }
            assert!(living <= self.limit.max as usize, "I-4: {living} sessions live, limit {:?}", self.limit);
        }
    }

    async fn drain(&mut self) {
        for user in 0..2 {
            for event in self.bench.outbox(self.users[user].slot.bucket).await {
                self.events.insert(event.id.clone(), event);
            }
        }
    }

    /// The audit of the whole machine.
    pub async fn finish(mut self) {
        self.drain().await;
        for session in &self.sessions {
            let key_text = session.id.key_text();
            let count = |kind: &str| {
                self.events.values().filter(|event| event.session == key_text && event.kind == kind).count()
            };
            assert_eq!(count("refresh.replayed"), session.replays, "I-3: one event per replay: {session:?}");
            assert_eq!(count("session.created"), 1, "I-7: {session:?}");
            let ends = count("session.ended");
            assert!(ends <= 1 || self.set_back, "I-7: {ends} ends of {session:?}");
            let record = self.bench.bytes(&keys::session(&session.id)).await;
            let state = record.map(|bytes| SessionRecord::decode(&bytes).expect("readable").header.state);
            let tombstone = matches!(state, Some(State::Ended(_)));
            assert!(ends == 1 || !tombstone || self.set_back, "I-7: {ends} ends of {session:?}");
        }
    }
}

pub(super) fn digest(number: u8) -> [u8; 8] {
    [number; 8]
}

fn facts_of(record: &SessionRecord) -> Facts {
    let header = &record.header;
    Facts {
        generation: header.generation,
        rotated: header.rotated_at,
        active: header.last_activity_at,
        version: header.version,
        sealed: record.sealed.clone(),
        device: header.device,
        address: header.address,
    }
}
