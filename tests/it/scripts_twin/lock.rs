//! `lock.lua`, `unlock.lua` and the lock check of `update.lua` against `core::lock`. I-12, T-70 to T-73.

use rand::Rng;
use rand::rngs::StdRng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Locked, Operation, Unlocked, Updated, Writer};
use shared::core::id::SessionId;
use shared::core::lock::{self, Decision, Held, Issued, Lock, Owner, Release, Wanted, Write};
use shared::core::record::{Header, SessionRecord, State};
use shared::core::session::{Liveness, liveness};
use shared::core::time::Timestamp;

use super::SEED;
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, pick, random_header, random_session, random_slot, record_of, shifted,
    tombstone,
};

const ADA: Owner = Owner(*b"the lock of ada.");
const BOB: Owner = Owner(*b"the lock of bob.");

/// How far the store's clock may go on between two commands of a case.
const SLACK_MILLIS: u64 = 20_000;

/// A case: a session with or without a lock in a real store, and what is asked of it.
struct Case {
    name: String,
    session: SessionId,
    record: SessionRecord,
    held: Option<Held>,
    issued: Issued,
    epoch: u32,
    tag: [u8; 8],
    operation: Operation,
    now: Timestamp,
}

impl Case {
    async fn place(bench: &Bench, rng: &mut StdRng, what: &str, index: u64) -> Case {
        let now = store_now(bench).await;
        let slot = random_slot(rng);
        let mut header = random_header(rng, slot.tag, now);
        if rng.random_bool(0.7) {
            // Limits close to the caller's clock are the business of other cases.
            header = Header {
                state: State::Active,
                last_activity_at: now,
                absolute_expires_at: shifted(now, 600_000),
                ..header
            };
        }
        let epoch = pick(rng, &[0, header.epoch, header.epoch]);
        let record = record_of(rng, header);
        let session = random_session(slot);
        bench.place(&session, &record).await;
        bench.set_epoch(slot, epoch).await;
        let operation = operation(now);
        let clock = u64::try_from(now.millis()).expect("after 1970");
        let fence = pick(rng, &[1, 7, clock - 1000, clock + 3_600_000]);
        let lock = Lock {
            owner: pick(rng, &[ADA, BOB]),
            fence,
            renewals: pick(rng, &[0, 1, 9, 10, 200]),
            // Close to the longest hold on both sides, and far from it.
            granted_at: shifted(now, pick(rng, &[0, -1000, -240_000, -330_000])),
            operation: pick(rng, &[operation.mark, [3; 8], [3; 8], [3; 8]]),
        };
        let left_millis = 60_000;
        let held = rng.random_bool(0.6).then_some(Held { lock, left_millis });
        let issued = Issued {
            highest: pick(rng, &[fence, fence, fence, fence + 1, 0]),
            released_by: pick(rng, &[[0; 8], ADA.mark(), BOB.mark()]),
        };
        let issued = if rng.random_bool(0.9) { issued } else { Issued::default() };
        if let Some(held) = &held {
            let key = keys::lock(&session);
            bench.command(redis::cmd("SET").arg(key).arg(&held.lock.encode()[..]).arg("PX").arg(left_millis)).await;
        }
        if issued != Issued::default() {
            bench.set(&keys::issued_fences(&session), &issued.encode()).await;
        }
        let tag = if rng.random_bool(0.95) { OWN } else { OTHER };
        let name = format!("seed {SEED} {what} {index}: {:?} {held:?} {issued:?}", record.header);
        Case { name, session, record, held, issued, epoch, tag, operation, now }
    }

    fn refused(&self) -> bool {
        self.tag != OWN || liveness(&self.record.header, self.epoch, self.now) != Liveness::Alive
    }

    /// The record as a refusal leaves it.
    fn left_behind(&self) -> SessionRecord {
        match liveness(&self.record.header, self.epoch, self.now) {
            Liveness::Lapsed(reason) if self.tag == OWN => {
                tombstone(&self.record, reason, self.operation.mark, self.now)
            }
            _ => self.record.clone(),
        }
    }

    async fn kinds(&self, bench: &Bench) -> Vec<String> {
        let events = bench.events(self.session.bucket(), &self.operation).await;
        events.into_iter().map(|event| event.kind).collect()
    }

    async fn assert_unchanged(&self, bench: &Bench, round: &str) {
        let lock = self.held.map(|held| held.lock.encode().to_vec());
        assert_eq!(bench.bytes(&keys::lock(&self.session)).await, lock, "{} {round}", self.name);
        let issued = (self.issued != Issued::default()).then(|| self.issued.encode().to_vec());
        assert_eq!(bench.bytes(&keys::issued_fences(&self.session)).await, issued, "{} {round}", self.name);
    }

    async fn remove(&self, bench: &Bench) {
        let slot = crate::script_bench::slot_of(&self.session, self.record.header.user_tag);
        let keys = [
            keys::session(&self.session),
            keys::lock(&self.session),
            keys::issued_fences(&self.session),
            keys::index(slot),
            keys::epoch(slot),
            keys::outbox(slot.bucket),
        ];
        bench.remove(&keys).await;
    }
}

async fn store_now(bench: &Bench) -> Timestamp {
    let reply = bench.command(&redis::cmd("TIME")).await;
    let (seconds, micros): (i64, i64) = redis::from_redis_value(reply).expect("a time");
    Timestamp::from_millis(seconds * 1000 + micros / 1000)
}

async fn compare_lock(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 20, index);
    let case = Case::place(bench, &mut rng, "lock", index).await;
    let wanted = pick(&mut rng, &[Wanted::Acquire, Wanted::Renew]);
    let ttl_seconds = pick(&mut rng, &[1, 30, 60]);
    let Case { session, held, issued, operation, now, name, .. } = &case;
    let slot = crate::script_bench::slot_of(session, case.record.header.user_tag);
    let call = scripts::lock(session, slot, case.tag, wanted, ADA, ttl_seconds, operation, *now);
    let decision = lock::decide(wanted, *held, *issued, ADA, operation.mark, ttl_seconds * 1000, *now);
    for round in ["once", "twice"] {
        let reply = scripts::locked(bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}")));
        let reply = reply.expect("a known reply");
        if case.refused() {
            assert!(matches!(reply, Locked::Missing | Locked::Ended(_)), "{name} {round}: {reply:?}");
            assert_eq!(bench.bytes(&keys::session(session)).await, Some(case.left_behind().encode()), "{name}");
            if case.left_behind() == case.record {
                case.assert_unchanged(bench, round).await;
            }
            continue;
        }
        match (decision, &reply) {
            (Decision::Granted(held) | Decision::Repeated(held), Locked::Granted { fence, left_millis, renewals }) => {
                // The script asks the store for the time, a little later than the case did.
                let late = fence.abs_diff(held.lock.fence);
                assert!(late <= SLACK_MILLIS && *renewals == held.lock.renewals, "{name} {round}: {reply:?}");
                let least = held.left_millis.saturating_sub(SLACK_MILLIS);
                assert!((least..=held.left_millis).contains(left_millis), "{name} {round}: {reply:?}");
                let kept = bench.bytes(&keys::lock(session)).await.expect("the lock");
                assert_eq!((&kept[..16], &kept[29..]), (&held.lock.owner.0[..], &operation.mark[..]), "{name} {round}");
                assert_eq!(kept[16..22], fence.to_be_bytes()[2..], "{name} {round}");
                let acquired = matches!(decision, Decision::Granted(_)) && wanted == Wanted::Acquire;
                let told: &[&str] = if acquired { &["session.locked"] } else { &[] };
                assert_eq!(case.kinds(bench).await, told, "{name} {round}");
                if acquired {
                    let kept = bench.bytes(&keys::issued_fences(session)).await.expect("the number");
                    assert_eq!(kept[..6], fence.to_be_bytes()[2..], "{name} {round}");
                    assert!(bench.ttl(&keys::issued_fences(session)).await > 86_000_000, "{name} {round}");
                }
            }
            (Decision::HeldByAnother { .. }, Locked::HeldByAnother(left)) => {
                assert!((1..=60_000).contains(left), "{name} {round}: {reply:?}");
                case.assert_unchanged(bench, round).await;
            }
            (Decision::Lost, Locked::Lost) | (Decision::NotRenewable, Locked::NotRenewable) => {
                case.assert_unchanged(bench, round).await;
            }
            _ => panic!("{name} {round}: {decision:?} and {reply:?}"),
        }
        assert_eq!(bench.bytes(&keys::session(session)).await, Some(case.record.encode()), "{name} {round}: record");
    }
    case.remove(bench).await;
}

async fn compare_unlock(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 21, index);
    let case = Case::place(bench, &mut rng, "unlock", index).await;
    let Case { session, held, issued, operation, now, name, .. } = &case;
    let slot = crate::script_bench::slot_of(session, case.record.header.user_tag);
    let call = scripts::unlock(session, slot, case.tag, ADA, operation, *now);
    let decision = lock::release(*held, *issued, ADA);
    for round in ["once", "twice"] {
        let reply = scripts::unlocked(bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}")));
        let reply = reply.expect("a known reply");
        if case.refused() {
            assert!(matches!(reply, Unlocked::Missing | Unlocked::Ended(_)), "{name} {round}: {reply:?}");
            continue;
        }
        let told = match (decision, &reply) {
            (Release::Released, Unlocked::Done) => {
                assert_eq!(bench.bytes(&keys::lock(session)).await, None, "{name} {round}");
                let kept = Issued { released_by: ADA.mark(), ..*issued };
                let bytes = bench.bytes(&keys::issued_fences(session)).await;
                assert_eq!(bytes.as_deref(), Some(&kept.encode()[..]), "{name} {round}");
                vec!["session.unlocked"]
            }
            (Release::Repeated, Unlocked::Done) => {
                case.assert_unchanged(bench, round).await;
                vec![]
            }
            (Release::Refused, Unlocked::Lost) => {
                case.assert_unchanged(bench, round).await;
                // One event id, which the audit keeps once.
                vec!["lock.refused"; if round == "once" { 1 } else { 2 }]
            }
            _ => panic!("{name} {round}: {decision:?} and {reply:?}"),
        };
        assert_eq!(case.kinds(bench).await, told, "{name} {round}");
        assert_eq!(bench.bytes(&keys::session(session)).await, Some(case.record.encode()), "{name} {round}: record");
    }
    case.remove(bench).await;
}

async fn compare_write(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 22, index);
    let case = Case::place(bench, &mut rng, "write", index).await;
    let presented = pick(&mut rng, &[None, Some(ADA), Some(ADA)]);
    let Case { session, held, issued, operation, now, name, .. } = &case;
    let slot = crate::script_bench::slot_of(session, case.record.header.user_tag);
    // The lock is judged before the version: a late holder hears that its lock is lost.
    let version = case.record.header.version;
    let expected = pick(&mut rng, &[version, version, version.wrapping_add(1)]);
    let writer = Writer { lock: presented, ..Writer::default() };
    let call = scripts::update(session, slot, case.tag, expected, None, b"sealed", writer, operation, *now);
    let decision = lock::check_write(*held, *issued, presented);
    let reply = scripts::updated(bench.run(&call).await.unwrap_or_else(|error| panic!("{name}: {error}")));
    let reply = reply.expect("a known reply");
    let stored = bench.bytes(&keys::session(session)).await;
    match (decision, &reply) {
        _ if case.refused() => assert!(matches!(reply, Updated::Missing | Updated::Ended(_)), "{name}: {reply:?}"),
        (Write::Free, Updated::Done(..)) => assert_eq!(expected, version, "{name}"),
        (Write::Free, Updated::OtherVersion(current)) => assert!(*current == version && expected != version, "{name}"),
        (Write::Locked { .. }, Updated::Locked(left)) => {
            assert!((1..=60_000).contains(left), "{name}: {reply:?}");
            assert_eq!(stored, Some(case.record.encode()), "{name}");
        }
        (Write::Lost, Updated::LockLost) => assert_eq!(stored, Some(case.record.encode()), "{name}"),
        _ => panic!("{name}: {decision:?} and {reply:?}"),
    }
    if !case.refused() {
        case.assert_unchanged(bench, "after").await;
    }
    case.remove(bench).await;
}

#[tokio::test]
async fn t_72_t_73_locks_are_granted_and_renewed_as_decided() {
    let bench = Bench::private().await;
    for index in 0..1500 {
        compare_lock(&bench, index).await;
    }
}

#[tokio::test]
async fn t_70_locks_are_released_for_their_owner_alone() {
    let bench = Bench::private().await;
    for index in 0..1000 {
        compare_unlock(&bench, index).await;
    }
}

#[tokio::test]
async fn i_12_t_71_writes_meet_the_lock_as_decided() {
    let bench = Bench::private().await;
    for index in 0..1500 {
        compare_write(&bench, index).await;
    }
}
