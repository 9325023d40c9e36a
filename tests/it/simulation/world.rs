//! One simulation under way: the store, the model, the environments, and what clients were told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::Poll;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::{RedisResult, Value};
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Call, Operation};
use shared::clock;
use shared::core::audit::{self, Actor};
use shared::core::crypto;
use shared::core::device_tag::DeviceTag;
use shared::core::end_reason::EndReason;
use shared::core::family::Family;
use shared::core::id::{ApplicationId, Bucket, SessionId, UserSlot, UserTag};
use shared::core::ledger::{LedgerEntry, Recorded, Spared};
use shared::core::privacy::Privacy;
use shared::core::record::{SHARED, SessionRecord, State};
use shared::core::share_code::ShareCode;
use shared::core::time::Timestamp;
use shared::limits::CLOCK_LEEWAY_SECONDS;
use shared::service::catch_up;

use super::environment::Environment;
use super::model::{Answer, By, Contents, Model, Stored};
use super::previous::Previous;
use super::rules::ABSOLUTE_SECONDS_MAX;
use super::schedule::{Clock, ENVIRONMENTS, Fault, Schedule};
use super::search::{Defect, Fleet};
use crate::model::store;
use crate::script_bench::{ANOTHER_DEVICE, Bench, DEVICE, OWN, shifted};

/// The past in which a simulation starts, so that the store's own expiry never comes before its model's.
const START_MILLIS: i64 = -20 * 3_600_000;
/// A function lives no longer than this with one request.
pub const REQUEST_MILLIS: i64 = 29_000;

/// Why an operation goes no further: the client gets a 503, or hears nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// A client's view of a session.
#[derive(Default)]
pub struct Told {
    pub ended: bool,
    /// Newest generation that was handed out, and when, of the owner and of whoever shares the session.
    pub newest: [Option<(u32, Timestamp)>; 2],
    pub code: Option<(u32, ShareCode)>,
    /// The generation that a step-up put out of use.
    pub superseded: u32,
    /// Whether the session was quarantined, and nobody has begun to lift that.
    pub quarantined: bool,
    /// Locks with their fences, in the order they were granted.
    pub locks: Vec<(usize, u64)>,
}

/// What DynamoDB holds of a user.
#[derive(Default, Clone, Copy)]
pub struct Item {
    pub epoch: u32,
    pub spared: Option<Spared>,
    /// Epochs of the devices.
    pub devices: [u32; 2],
    /// Version of the settings, and what a client was last told.
    pub settings: u32,
    pub acknowledged: (Privacy, u32),
}

pub struct World<'a> {
    pub bench: &'a Bench,
    pub defect: Defect,
    /// The scripts of an environment that is of the release before.
    previous: Option<Previous>,
    pub model: RefCell<Model>,
    pub ids: RefCell<Vec<SessionId>>,
    pub told: RefCell<Vec<Told>>,
    pub slots: [UserSlot; 2],
    pub items: RefCell<[Item; 2]>,
    pub ledger: RefCell<BTreeMap<String, Recorded>>,
    pub truth: Cell<Timestamp>,
    environments: RefCell<Vec<Environment>>,
    store_offset: Cell<i64>,
    kept: RefCell<Option<(store::Contents, Contents)>>,
    /// How often the store was set back.
    pub set_backs: Cell<u32>,
    events: RefCell<BTreeSet<String>>,
    /// Ids of the operations whose change must be in the audit.
    owed: RefCell<BTreeSet<String>>,
    rng: RefCell<StdRng>,
    turn_ended: Cell<bool>,
    pub violation: RefCell<Option<String>>,
    pub met: RefCell<BTreeSet<&'static str>>,
    pub serial: Cell<u32>,
}

/// One operation under way.
pub struct Context {
    pub environment: usize,
    pub fault: Fault,
    pub begun: Timestamp,
    /// The environment's clock when it took the request.
    pub now: Timestamp,
    pub operation: Operation,
    calls: Cell<u32>,
}

impl<'a> World<'a> {
    pub async fn new(bench: &'a Bench, schedule: &Schedule, defect: Defect, fleet: Fleet) -> Self {
        bench.command(&redis::cmd("FLUSHALL")).await;
        let mut rng = StdRng::seed_from_u64(schedule.seed ^ 0x5eed);
        let slots = [0, 1].map(|user| UserSlot {
            bucket: Bucket::new(rng.random_range(0..2048) * 2 + user).expect("in range"),
            tag: UserTag::parse(&crypto::encode(&rng.random::<[u8; 6]>())).expect("six bytes"),
        });
        World {
            bench,
            defect,
            previous: (fleet == Fleet::Mixed).then(Previous::new),
            model: RefCell::new(Model { limit: schedule.limit, terms: Vec::new(), held: Contents::default() }),
            ids: RefCell::default(),
            told: RefCell::default(),
            slots,
            items: RefCell::default(),
            ledger: RefCell::default(),
            truth: Cell::new(shifted(clock::now(), START_MILLIS)),
            environments: RefCell::new(vec![Environment::default(); ENVIRONMENTS]),
            store_offset: Cell::new(0),
            kept: RefCell::default(),
            set_backs: Cell::new(0),
            events: RefCell::default(),
            owed: RefCell::default(),
            rng: RefCell::new(rng),
            turn_ended: Cell::new(false),
            violation: RefCell::default(),
            met: RefCell::default(),
            serial: Cell::new(0),
        }
    }

    pub fn context(&self, environment: usize, fault: Fault) -> Context {
        let now = self.environments.borrow()[environment].clock(self.truth.get());
        let operation = self.operation(now);
        Context { environment, fault, begun: self.truth.get(), now, operation, calls: Cell::new(0) }
    }

    fn operation(&self, now: Timestamp) -> Operation {
        let id: [u8; 16] = self.rng.borrow_mut().random();
        let mark = id[..8].try_into().expect("eight bytes");
        Operation { event_id: crypto::encode(&id), mark, common: audit::common(&Actor::Service, "simulation", now) }
    }

    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        std::array::from_fn(|_| self.rng.borrow_mut().random())
    }

    pub fn next(&self) -> u32 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    pub fn slot(&self, session: usize) -> UserSlot {
        self.slots[self.model.borrow().terms[session].user]
    }

    pub fn meet(&self, what: &'static str) {
        self.met.borrow_mut().insert(what);
    }

    /// Keeps the first violation; the search looks at it after each turn.
    pub fn claim(&self, holds: bool, promise: &str, detail: impl FnOnce() -> String) {
        if !holds {
            self.violation.borrow_mut().get_or_insert_with(|| format!("{promise}: {}", detail()));
        }
    }

    pub fn take_turn_end(&self) -> bool {
        self.turn_ended.take()
    }

    /// Lets others have their turn.
    async fn turn(&self) {
        let mut waited = false;
        poll_fn(|_| match std::mem::replace(&mut waited, true) {
            true => Poll::Ready(()),
            false => {
                self.turn_ended.set(true);
                Poll::Pending
            }
        })
        .await;
    }

    /// Before each call to any store: others may come first, and the environment may die.
    pub async fn step(&self, context: &Context) -> Result<u32, Stopped> {
        self.turn().await;
        let number = context.calls.replace(context.calls.get() + 1);
        let late = self.truth.get().millis_since(context.begun) > REQUEST_MILLIS;
        if late || context.fault == Fault::Crash(number) {
            self.meet("crash");
            return Err(Stopped);
        }
        Ok(number)
    }

    /// Whether the environment may use Redis by its clock. I-16.
    fn may_serve(&self, environment: usize) -> Result<(), Stopped> {
        let (truth, store) = (self.truth.get(), shifted(self.truth.get(), self.store_offset.get()));
        let environment = &mut self.environments.borrow_mut()[environment];
        if self.defect != Defect::ClockUnchecked && !environment.may_serve(truth, store) {
            self.meet("clock refused");
            return Err(Stopped);
        }
        Ok(())
    }

    /// As [`Self::script`] begins, for a plain command.
    pub fn may_read(&self, context: &Context) -> Result<(), Stopped> {
        self.may_serve(context.environment)
    }

    /// Runs a script as the service does, faults included, and holds its answer to the model's.
    pub async fn script(
        &self,
        context: &Context,
        call: &Call,
        read: impl Fn(RedisResult<Value>) -> Answer,
        expect: impl Fn(&mut Model, By) -> Answer,
    ) -> Result<Answer, Stopped> {
        let number = self.step(context).await?;
        self.may_serve(context.environment)?;
        let first = self.run(context, call, &read, &expect).await;
        if context.fault == Fault::LostReply(number) {
            self.meet("lost reply");
            let before = store::digest(self.bench).await;
            let again = read(self.send(context, call).await);
            // A refused release is queued twice under one id, of which the audit keeps one.
            let unchanged = first == Answer::LockLost || store::digest(self.bench).await == before;
            self.claim(unchanged, "I-14", || "a second run changed the store".into());
            let same = again == first || matches!((&first, &again), (Answer::Ended(_), Answer::Ended(_)));
            self.claim(same, "I-14", || format!("first {first:?}, then {again:?}"));
        }
        if context.fault == Fault::LateRepeat(number) {
            self.turn().await;
            self.may_serve(context.environment)?;
            self.meet("late repeat");
            return Ok(self.run(context, call, &read, &expect).await);
        }
        Ok(first)
    }

    pub fn is_mixed(&self) -> bool {
        self.previous.is_some()
    }

    pub fn runs_release_before(&self, context: &Context) -> bool {
        self.is_mixed() && context.environment == ENVIRONMENTS - 1
    }

    /// Runs a script; the last environment of a mixed fleet runs that of the release before.
    async fn send(&self, context: &Context, call: &Call) -> RedisResult<Value> {
        match &self.previous {
            Some(previous) if self.runs_release_before(context) => {
                self.bench.connection().command(&previous.command(call)).await
            }
            _ => self.bench.run(call).await,
        }
    }

    async fn run(
        &self,
        context: &Context,
        call: &Call,
        read: &impl Fn(RedisResult<Value>) -> Answer,
        expect: &impl Fn(&mut Model, By) -> Answer,
    ) -> Answer {
        let release_before = self.runs_release_before(context);
        let by = By { release_before, now: context.now, truth: self.truth.get(), mark: context.operation.mark };
        let before = self.model.borrow().held.clone();
        let expected = expect(&mut self.model.borrow_mut(), by);
        let answer = read(self.send(context, call).await);
        self.claim(answer == expected, "model", || format!("answered {answer:?}, expected {expected:?}"));
        let after = self.model.borrow().held.clone();
        let told = |held: &Contents| {
            let mut held = held.clone();
            // Touches and codes that are used up leave no event of their own.
            for session in held.sessions.values_mut() {
                (session.active, session.truly_active, session.code) = (by.now, by.truth, None);
            }
            held
        };
        if told(&before) != told(&after) {
            self.owed.borrow_mut().insert(context.operation.event_id.clone());
        }
        self.judge_ends(&before, &after);
        answer
    }

    /// What time has ended was over by the true clock as well, as far as clocks may differ. I-16.
    fn judge_ends(&self, before: &Contents, after: &Contents) {
        for (session, held) in &after.sessions {
            let was = before.sessions.get(session).and_then(|held| held.ended);
            if was.is_none() && matches!(held.ended, Some(EndReason::Idle | EndReason::Absolute)) {
                self.meet("time is over");
                let lately = self.truth.get().plus_seconds(CLOCK_LEEWAY_SECONDS);
                let over = self.truly_over(held, lately);
                self.claim(over, "I-16", || format!("session {session} was ended early: {held:?}"));
            }
        }
    }

    pub fn truly_over(&self, held: &Stored, at: Timestamp) -> bool {
        at >= held.absolute || at >= held.truly_active.plus_seconds(held.idle.into())
    }

    /// A session was served as living: by the true clock it may have been over for a moment only. I-1, I-16.
    pub fn served(&self, session: usize) {
        let held = self.model.borrow().held.sessions.get(&session).cloned();
        let Some(held) = held else { return self.claim(false, "I-11", || format!("session {session} is not there")) };
        let slack = i64::try_from(CLOCK_LEEWAY_SECONDS).expect("small") * 1000 + REQUEST_MILLIS;
        let over = self.truly_over(&held, shifted(self.truth.get(), -slack));
        self.claim(!over, "I-16", || format!("session {session} was served after its time"));
        self.claim(!self.told.borrow()[session].ended, "I-1", || format!("session {session} was served after its end"));
    }

    /// The ledger, which is durable.
    pub async fn record(&self, context: &Context, entry: LedgerEntry) -> Result<(), Stopped> {
        self.step(context).await?;
        if self.defect == Defect::LedgerForgotten {
            return Ok(());
        }
        let mut ledger = self.ledger.borrow_mut();
        let recorded = Recorded { entry: entry.clone(), at: context.now };
        let held = ledger.entry(entry.sort_key()).or_insert_with(|| recorded.clone());
        // A later revocation is not replaced by an earlier one.
        let later = match (&held.entry, &entry) {
            (LedgerEntry::User { epoch: held, .. }, LedgerEntry::User { epoch, .. })
            | (LedgerEntry::Device { epoch: held, .. }, LedgerEntry::Device { epoch, .. }) => epoch >= held,
            (LedgerEntry::Privacy { version: held, .. }, LedgerEntry::Privacy { version, .. }) => version >= held,
            _ => true,
        };
        if later {
            *held = recorded;
        }
        Ok(())
    }

    /// Sets clocks.
    pub fn skew(&self, clock: Clock, millis: i64) {
        for (number, environment) in self.environments.borrow_mut().iter_mut().enumerate() {
            let own = if clock == Clock::Environment(number) { millis } else { environment.offset };
            environment.offset = if own.abs() > 2_000 && clock != Clock::Environment(number) { 0 } else { own };
        }
        self.store_offset.set(if clock == Clock::Store { millis } else { 0 });
    }

    pub async fn lock_ends(&self, session: usize) {
        let id = self.ids.borrow()[session];
        self.bench.command(redis::cmd("DEL").arg(keys::lock(&id))).await;
        if let Some(held) = self.model.borrow_mut().held.sessions.get_mut(&session) {
            held.lock = None;
        }
    }

    pub async fn keep(&self) {
        let contents = store::take(self.bench).await;
        *self.kept.borrow_mut() = Some((contents, self.model.borrow().held.clone()));
    }

    pub async fn set_back(&self) {
        let Some((contents, held)) = self.kept.take() else { return };
        self.drain().await;
        self.set_backs.set(self.set_backs.get() + 1);
        self.meet("set back");
        store::set_back(self.bench, &contents).await;
        self.model.borrow_mut().held = held.clone();
        *self.kept.borrow_mut() = Some((contents, held));
        for told in self.told.borrow_mut().iter_mut() {
            // Fences of a lock that the store forgot are told apart by the store's clock alone.
            told.locks.clear();
        }
        if self.defect == Defect::NoCatchUp {
            return;
        }
        let entries: Vec<Recorded> = self.ledger.borrow().values().cloned().collect();
        for recorded in entries {
            let now = self.truth.get();
            catch_up::apply(&mut self.bench.connection(), &recorded, now).await.expect("applied");
            let mark = catch_up::operation_of(&recorded.entry, now).mark;
            let by = By { release_before: false, now, truth: now, mark };
            let mut model = self.model.borrow_mut();
            match &recorded.entry {
                LedgerEntry::Session { session, reason, application_tag } => {
                    let sharer = *application_tag != OWN;
                    let asked = recorded.at.plus_seconds(CLOCK_LEEWAY_SECONDS);
                    model.end(self.number(session), sharer, Some(asked), *reason, by);
                }
                LedgerEntry::User { slot, epoch, spared } => {
                    let user = self.user(slot);
                    let spared = spared.map(|spared| (self.number(&spared.session), spared.floor));
                    model.revoke(user, *epoch, spared, by);
                }
                LedgerEntry::Privacy { slot, privacy, version, .. } => {
                    model.set_privacy(self.user(slot), *privacy, *version, by);
                }
                LedgerEntry::Device { slot, device, epoch, reason } => {
                    model.end_device(self.user(slot), number_of(*device), *epoch, *reason, by);
                }
                LedgerEntry::Family { .. } | LedgerEntry::Erased { .. } => unreachable!("not of this simulation"),
            }
        }
    }

    pub fn number(&self, id: &SessionId) -> usize {
        self.ids.borrow().iter().position(|known| known == id).expect("one of ours")
    }

    fn user(&self, slot: &UserSlot) -> usize {
        self.slots.iter().position(|known| known == slot).expect("one of ours")
    }

    async fn drain(&self) {
        for slot in self.slots {
            for event in self.bench.outbox(slot.bucket).await {
                self.events.borrow_mut().insert(event.id);
            }
        }
    }

    /// Redis against the model, and against what clients were told.
    pub async fn check(&self) {
        let truth = self.truth.get();
        for (user, slot) in self.slots.iter().enumerate() {
            let sessions = self.model.borrow().of_user(user);
            let ids: Vec<SessionId> = sessions.iter().map(|session| self.ids.borrow()[*session]).collect();
            if ids.is_empty() {
                continue;
            }
            let reply = self.bench.command(&scripts::read(&ids, *slot)).await;
            let (records, epoch) = scripts::read_reply(reply).expect("readable");
            let model = self.model.borrow();
            let expected = model.held.epochs.get(&user).copied().unwrap_or(0);
            self.claim(epoch == expected, "I-1", || format!("epoch {epoch}, expected {expected}"));
            let item = self.items.borrow()[user];
            // No other settings are on their way, so what clients were told holds.
            let settled = item.settings == item.acknowledged.1;
            let live = sessions.iter().filter(|session| model.lives(**session, truth)).count();
            let most = model.limit.max as usize;
            self.claim(live <= most, "I-4", || format!("{live} sessions live of {most}"));
            for (session, record) in sessions.iter().zip(&records) {
                let held = model.held.sessions.get(session);
                self.compare(*session, held, record.as_ref());
                let told = self.told.borrow()[*session].ended;
                let lives = model.lives(*session, truth);
                self.claim(!(told && lives), "I-1, I-11", || format!("session {session} lives after its end"));
                if let Some(record) = record.as_ref().filter(|record| settled && record.header.state == State::Active) {
                    self.collects(*session, record, item.acknowledged.0);
                }
            }
        }
    }

    /// What a user has switched off is in no record.
    fn collects(&self, session: usize, record: &SessionRecord, privacy: Privacy) {
        let kept = &record.attributes;
        let off = (kept.address_prefix.is_none() || privacy.location())
            && (kept.user_agent.is_none() || privacy.fingerprinting())
            && record.header.flags & !SHARED == privacy.record_flags();
        self.claim(off, "T-103", || format!("session {session} under {privacy:?}: {record:?}"));
    }

    fn compare(&self, session: usize, held: Option<&Stored>, record: Option<&SessionRecord>) {
        let (Some(held), Some(record)) = (held, record) else {
            let (model, store) = (held.is_some(), record.is_some());
            return self.claim(model == store, "I-11", || format!("session {session}: model {model}, store {store}"));
        };
        let model = self.model.borrow();
        let terms = &model.terms[session];
        let header = &record.header;
        let ended = match header.state {
            State::Active => None,
            State::Ended(reason) => Some(reason),
        };
        let same = (ended, header.epoch, header.generation, header.version, header.revision)
            == (held.ended, held.epoch, held.generation, held.version, held.revision)
            && (header.rotated_at, header.last_activity_at, header.last_operation)
                == (held.rotated, held.active, held.mark)
            && record.sealed == held.data;
        self.claim(same, "I-11, I-14", || format!("session {session}: model {held:?}, store {record:?}"));
        let times = (header.absolute_expires_at, header.created_at, header.idle_timeout_seconds);
        let lasting = times == (held.absolute, terms.created, held.idle);
        self.claim(lasting, "I-5", || format!("session {session}: {held:?}, store {record:?}"));
        let from = held.authenticated.unwrap_or(terms.created).max(terms.created);
        let bounded = header.absolute_expires_at <= from.plus_seconds(ABSOLUTE_SECONDS_MAX);
        self.claim(bounded, "I-5", || format!("session {session} lives on and on: {record:?}"));
        let judged = (header.standing, header.address, header.superseded_generation);
        let same = judged == (held.standing, held.address, held.superseded)
            && header.flags & !SHARED == held.privacy.record_flags();
        self.claim(same, "I-6", || format!("session {session}: model {held:?}, store {record:?}"));
        if header.state == State::Active {
            let kept = &record.attributes;
            let found = (kept.auth_time, kept.address_prefix.is_some(), kept.user_agent.is_some());
            let same = found == (held.authenticated, held.prefix, held.agent);
            self.claim(same, "T-103", || format!("session {session}: model {held:?}, store {record:?}"));
        }
    }

    /// The family of the sharing application, and the audit of everything that happened.
    pub async fn finish(&self) {
        self.drain().await;
        for owed in self.owed.borrow().iter() {
            // Events about one of several sessions name it behind the id.
            let told = self.events.borrow().iter().any(|event| event.starts_with(owed));
            self.claim(told, "I-7", || format!("no event of operation {owed}"));
        }
        for (user, slot) in self.slots.iter().enumerate() {
            let mirror = self.bench.bytes(&keys::privacy(*slot)).await;
            let held = self.model.borrow().held.privacy.get(&user).copied();
            let expected = held.map(|(privacy, version)| [&[privacy.bits()][..], &version.to_be_bytes()].concat());
            self.claim(mirror == expected, "T-103", || format!("settings {mirror:?}, expected {expected:?}"));
            for device in 0..2 {
                let mirror = self.bench.bytes(&keys::device_epoch(*slot, tag_of(device))).await;
                let held = self.model.borrow().held.device_epochs.get(&(user, device)).copied();
                let expected = held.map(|epoch| epoch.to_string().into_bytes());
                self.claim(mirror == expected, "I-11", || format!("device {mirror:?}, expected {expected:?}"));
            }
        }
        let shares: Vec<(usize, Option<(u32, u32)>)> = {
            let model = self.model.borrow();
            let place = |held: &Stored| held.share.as_ref().map(|share| (share.first, share.generation));
            model.held.sessions.iter().map(|(session, held)| (*session, place(held))).collect()
        };
        for (session, share) in shares {
            let id = self.ids.borrow()[session];
            let command = redis::cmd("HGET").arg(keys::families(&id)).arg(&other().tag()[..]).to_owned();
            let family = match self.bench.command(&command).await {
                Value::BulkString(bytes) => Some(Family::decode(&bytes).expect("readable")),
                _ => None,
            };
            let place = family.map(|family| (family.first_generation, family.generation));
            self.claim(place == share, "I-2", || format!("session {session}: family {place:?}, expected {share:?}"));
        }
    }
}

/// The devices of each user.
pub fn tag_of(device: usize) -> DeviceTag {
    DeviceTag::from_bytes([DEVICE, ANOTHER_DEVICE][device])
}

fn number_of(tag: DeviceTag) -> usize {
    (0..2).find(|device| tag_of(*device) == tag).expect("one of ours")
}

/// The application that shares sessions.
pub fn other() -> ApplicationId {
    ApplicationId::parse("other").expect("an application id")
}

/// One that nobody shares with.
pub fn third() -> ApplicationId {
    ApplicationId::parse("third").expect("an application id")
}
