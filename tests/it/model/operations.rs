//! The operations of a machine, each with what the model says of its outcome.

use rand::Rng;
use shared::adapters::redis::scripts::{self, Created, Ended, Limits, Operation, Refreshed, Updated, Writer};
use shared::core::attributes::Attributes;
use shared::core::device::TrustLevel;
use shared::core::end_reason::EndReason;
use shared::core::id::{SessionId, UserSlot};
use shared::core::ledger::{LedgerEntry, Spared};
use shared::core::policy::OnLimit;
use shared::core::privacy::Privacy;
use shared::core::record::{Header, SessionRecord, State};
use shared::core::refresh_decision::{Judged, Presented};
use shared::core::session::{Liveness, liveness, touch_due};
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

use super::steps::Token;
use super::store;
use super::world::{Facts, Session, World, digest};
use crate::script_bench::{OTHER, OWN, operation, random_session, shifted};

impl World<'_> {
    pub(super) async fn create(&mut self, user: usize, idle: u32, absolute: u64, grace: u16, device: u8, twice: bool) {
        let slot = self.users[user].slot;
        let id = random_session(slot);
        let operation = operation(self.now);
        let facts = Facts {
            generation: 1,
            rotated: self.now,
            active: self.now,
            version: 1,
            sealed: sealed(),
            device: digest(device),
            address: [0; 8],
        };
        let session = Session {
            id,
            user,
            created: self.now,
            absolute: self.now.plus_seconds(absolute),
            idle,
            grace,
            facts: Some(facts.clone()),
            ended: false,
            newest: 1,
            replays: 0,
        };
        let record = new_record(&session, &facts, slot, &operation);
        let limits = Limits { of_user: self.limit, of_type: None };
        let call =
            scripts::create(&id, slot, (&record, Privacy::default()), limits, None, &operation, None, None, self.now);
        let (reply, again) = self.operate(&call, twice).await;
        let answer = scripts::created(slot.bucket, reply).expect("a known reply");
        if let Some(again) = again {
            assert_eq!(scripts::created(slot.bucket, again).as_ref(), Ok(&answer), "I-14");
        }
        let mut live: Vec<usize> =
            (0..self.sessions.len()).filter(|index| self.sessions[*index].user == user && self.alive(*index)).collect();
        let surplus = (live.len() + 1).saturating_sub(self.limit.max as usize);
        if surplus > 0 && self.limit.on_limit == OnLimit::Reject {
            assert_eq!(answer, Created::LimitReached, "I-4");
            return self.meet("limit");
        }
        live.sort_by_key(|index| {
            let session = &self.sessions[*index];
            let active = session.facts.as_ref().expect("alive").active;
            let at = if self.limit.on_limit == OnLimit::EvictOldest { session.created } else { active };
            (at, session.id.key_text())
        });
        let victims: Vec<SessionId> = live[..surplus].iter().map(|index| self.sessions[*index].id).collect();
        let Created::Admitted { evicted, .. } = answer else { panic!("not admitted: {answer:?}") };
        assert_eq!(evicted, victims, "I-4");
        for index in live.into_iter().take(surplus) {
            self.meet("evicted");
            self.ended(index, EndReason::Evicted);
        }
        self.meet("created");
        self.sessions.push(session);
    }

    /// Somebody was told: the ledger keeps it.
    fn ended(&mut self, index: usize, reason: EndReason) {
        let session = &mut self.sessions[index];
        session.ended = true;
        let entry = LedgerEntry::Session { session: session.id, reason, application_tag: OWN };
        self.ledger.insert(entry.sort_key(), entry);
    }

    async fn load(&self, index: usize) -> (Option<SessionRecord>, u32) {
        let session = &self.sessions[index];
        let slot = self.users[session.user].slot;
        let reply = self.bench.command(&scripts::read(&[session.id], slot)).await;
        let (records, epoch) = scripts::read_reply(reply).expect("readable");
        (records.into_iter().next().flatten(), epoch)
    }

    pub(super) async fn read(&mut self, index: usize) {
        let (record, epoch) = self.load(index).await;
        let alive = record.as_ref().is_some_and(|record| liveness(&record.header, epoch, self.now) == Liveness::Alive);
        assert_eq!(alive, self.alive(index), "I-1: {:?}", self.sessions[index]);
        self.meet(if alive { "read" } else { "read over" });
        if alive && touch_due(&record.expect("alive").header, self.now) {
            self.touch(index, self.now).await;
        }
    }

    pub(super) async fn late_touch(&mut self, index: usize, seconds: u64) {
        self.touch(index, shifted(self.now, -(seconds as i64) * 1000)).await;
    }

    async fn touch(&mut self, index: usize, at: Timestamp) {
        let session = &self.sessions[index];
        let slot = self.users[session.user].slot;
        let reply = self.run(&scripts::touch(&session.id, slot, at)).await;
        if scripts::touched(&reply).expect("a known reply") {
            let facts = self.sessions[index].facts.as_mut().expect("I-11: touched what is not there");
            facts.active = facts.active.max(at);
        } else if at == self.now {
            assert!(!self.alive(index));
        }
    }

    pub(super) async fn write(&mut self, index: usize, stale: u32, twice: bool) {
        let alive = self.alive(index);
        let session = &self.sessions[index];
        let slot = self.users[session.user].slot;
        let version = session.facts.as_ref().map_or(1, |facts| facts.version);
        let (expected, bytes) = (version.saturating_sub(stale), sealed());
        let call = scripts::update(
            &session.id,
            slot,
            OWN,
            expected,
            None,
            &bytes,
            Writer::default(),
            &operation(self.now),
            self.now,
        );
        let (reply, again) = self.operate(&call, twice).await;
        let answer = scripts::updated(reply).expect("a known reply");
        if let Some(again) = again {
            assert_eq!(scripts::updated(again).as_ref(), Ok(&answer), "I-14");
        }
        match (answer, alive) {
            (Updated::Done(..), true) => {
                assert_eq!(stale, 0, "T-69: a stale write was accepted");
                self.meet("write");
                let now = self.now;
                let facts = self.sessions[index].facts.as_mut().expect("alive");
                (facts.version, facts.sealed, facts.active) = (version + 1, bytes, facts.active.max(now));
            }
            (Updated::OtherVersion(current), true) => {
                assert_eq!((current, stale), (version, 1));
                self.meet("stale write");
            }
            (Updated::Missing | Updated::Ended(_), false) => {}
            (answer, alive) => panic!("{answer:?} for a session that is alive: {alive}"),
        }
    }

    /// As the service presents a token: a changed context is judged (allowed) and presented again.
    async fn present(&self, presented: &Presented, index: usize, operation: &Operation) -> Refreshed {
        let session = &self.sessions[index];
        let slot = self.users[session.user].slot;
        let mut presented = presented.clone();
        loop {
            let call = scripts::refresh(&session.id, slot, &presented, operation, self.now);
            match scripts::refreshed(self.run(&call).await).expect("a known reply") {
                Refreshed::ContextChanged { record, .. } => {
                    let revision = record.header.revision;
                    presented.judged = Some(Judged::allowed(revision));
                }
                answer => return answer,
            }
        }
    }

    pub(super) async fn refresh(&mut self, index: usize, token: Token, device: [u8; 8], address: [u8; 8], twice: bool) {
        let alive = self.alive(index);
        let session = &self.sessions[index];
        let newest = session.newest;
        let generation = match token {
            Token::Newest => newest,
            Token::Back(count) => newest.saturating_sub(count).max(1),
        };
        let operation = operation(self.now);
        let presented = Presented {
            application_tag: OWN,
            generation,
            operation: operation.mark,
            address,
            device,
            jkt: None,
            judged: None,
        };
        let answer = self.present(&presented, index, &operation).await;
        if twice {
            let before = store::digest(self.bench).await;
            let again = self.present(&presented, index, &operation).await;
            assert_eq!(store::digest(self.bench).await, before, "I-14: a second run changed the store");
            let told = |answer: &Refreshed| match answer {
                Refreshed::Rotated(record) | Refreshed::Healed(record) | Refreshed::Successor(record) => {
                    format!("{record:?}")
                }
                Refreshed::Lapsed(reason) => format!("{:?}", Refreshed::Ended(*reason)),
                other => format!("{other:?}"),
            };
            assert_eq!(told(&again), told(&answer), "I-14");
        }
        self.judge(index, generation, device, address, alive, answer);
    }

    fn judge(
        &mut self,
        index: usize,
        generation: u32,
        device: [u8; 8],
        address: [u8; 8],
        alive: bool,
        answer: Refreshed,
    ) {
        self.meet(match &answer {
            Refreshed::Rotated(_) => "rotated",
            Refreshed::Healed(_) => "healed",
            Refreshed::Successor(_) => "successor",
            Refreshed::Replay { .. } => "replay",
            _ => "refused",
        });
        let now = self.now;
        let session = &mut self.sessions[index];
        if !alive {
            let refused = matches!(answer, Refreshed::Missing | Refreshed::Ended(_) | Refreshed::Lapsed(_));
            assert!(refused, "I-1: {answer:?} for {session:?}");
            return;
        }
        let facts = session.facts.as_mut().expect("alive");
        let window = now.millis_since(facts.rotated) <= i64::from(session.grace) * 1000;
        let same_device = facts.device == [0; 8] || device == [0; 8] || facts.device == device;
        let handed_out = match &answer {
            Refreshed::Rotated(record) | Refreshed::Healed(record) | Refreshed::Successor(record) => {
                Some(record.header.generation)
            }
            _ => None,
        };
        if generation >= facts.generation {
            assert_eq!(handed_out, Some(generation + 1), "I-2: {answer:?} for {generation} of {facts:?}");
            let healed = generation > facts.generation;
            assert_eq!(matches!(answer, Refreshed::Healed(_)), healed, "{answer:?}");
            (facts.generation, facts.rotated, facts.active) = (generation + 1, now, facts.active.max(now));
            if device != [0; 8] {
                facts.device = device;
            }
            if address != [0; 8] {
                facts.address = address;
            }
            session.newest = session.newest.max(generation + 1);
        } else if generation + 1 == facts.generation && window && same_device {
            assert_eq!(handed_out, Some(generation + 1), "I-2: {answer:?} for {generation} of {facts:?}");
            assert!(matches!(answer, Refreshed::Successor(_)), "{answer:?}");
        } else {
            assert_eq!(answer, Refreshed::Replay { owner_tag: OWN }, "I-3: {generation} of {facts:?}");
            session.replays += 1;
            self.ended(index, EndReason::Reuse);
        }
    }

    pub(super) async fn stale_judgement(&mut self, index: usize) {
        let (record, _) = self.load(index).await;
        let Some(record) = record.filter(|_| self.alive(index)) else { return };
        let operation = operation(self.now);
        let presented = Presented {
            application_tag: OWN,
            generation: record.header.generation,
            operation: operation.mark,
            address: *b"elsewher",
            device: [0; 8],
            jkt: None,
            judged: Some(Judged::allowed(record.header.revision.wrapping_sub(1))),
        };
        let slot = self.users[self.sessions[index].user].slot;
        let id = self.sessions[index].id;
        let reply = self.run(&scripts::refresh(&id, slot, &presented, &operation, self.now)).await;
        assert_eq!(scripts::refreshed(reply), Ok(Refreshed::Moved));
    }

    pub(super) async fn end(&mut self, index: usize, by_another: bool, twice: bool) {
        let session = &self.sessions[index];
        let slot = self.users[session.user].slot;
        let (reason, tag) = (EndReason::Admin, if by_another { OTHER } else { OWN });
        let entry = LedgerEntry::Session { session: session.id, reason, application_tag: tag };
        self.ledger.insert(entry.sort_key(), entry);
        let call = scripts::end(&session.id, slot, None, tag, reason, &operation(self.now), self.now);
        let (reply, again) = self.operate(&call, twice).await;
        let answer = scripts::ended(reply).expect("a known reply");
        if let Some(again) = again {
            assert_eq!(scripts::ended(again).as_ref(), Ok(&answer), "I-14");
        }
        match answer {
            Ended::Done(_) => {
                assert!(!by_another, "I-9: another application ended a session");
                self.sessions[index].ended = true;
            }
            Ended::Missing => assert!(by_another || !self.alive(index)),
            Ended::CallerOver(reason) => panic!("nobody called: {reason:?}"),
        }
    }

    /// As `dynamodb::users::raise_epoch` does it.
    pub(super) fn raise(&mut self, user: usize, spared: Option<usize>) -> (u32, Option<Spared>) {
        let session = spared.map(|index| &self.sessions[index]).filter(|session| session.user == user);
        let item = &mut self.users[user];
        item.spared = session.map(|session| match item.spared {
            Some(before) if before.session == session.id => before,
            _ => Spared { session: session.id, floor: item.epoch },
        });
        item.epoch += 1;
        (item.epoch, item.spared)
    }

    pub(super) async fn revoke(&mut self, user: usize, (epoch, spared): (u32, Option<Spared>), twice: bool) {
        let slot = self.users[user].slot;
        let entry = LedgerEntry::User { slot, epoch, spared };
        let held = self.ledger.entry(entry.sort_key()).or_insert_with(|| entry.clone());
        if matches!(held, LedgerEntry::User { epoch: held, .. } if *held <= epoch) {
            *held = entry;
        }
        let call = scripts::revoke_user(slot, epoch, spared.as_ref(), "demo", &operation(self.now), self.now);
        let (reply, _) = self.operate(&call, twice).await;
        scripts::revoked(reply).expect("a known reply");
        if spared.is_some_and(|spared| {
            (0..self.sessions.len()).any(|i| self.sessions[i].id == spared.session && self.alive(i))
        }) {
            self.meet("spared");
        }
        for session in self.sessions.iter_mut().filter(|session| session.user == user) {
            session.ended |= spared.is_none_or(|spared| spared.session != session.id);
        }
    }
}

fn sealed() -> Vec<u8> {
    let mut rng = rand::rng();
    (0..rng.random_range(0..60)).map(|_| rng.random()).collect()
}

fn new_record(session: &Session, facts: &Facts, slot: UserSlot, operation: &Operation) -> SessionRecord {
    let header = Header {
        state: State::Active,
        mac_key_id: 1,
        version: 1,
        revision: 1,
        epoch: 0,
        generation: 1,
        idle_timeout_seconds: session.idle,
        grace_seconds: session.grace,
        created_at: session.created,
        last_activity_at: session.created,
        absolute_expires_at: session.absolute,
        rotated_at: session.created,
        ended_at: Timestamp::from_millis(0),
        last_operation: operation.mark,
        user_tag: slot.tag,
        application_tag: OWN,
        address: facts.address,
        device: facts.device,
        standing: Standing::Good,
        trust: TrustLevel::New,
        risk_score: 0,
        flags: 0,
        superseded_generation: 0,
        device_epoch: 0,
    };
    let attributes = Attributes { user_id: "ada".into(), application_id: "demo".into(), ..Attributes::default() };
    SessionRecord { header, attributes, sealed: facts.sealed.clone() }
}
