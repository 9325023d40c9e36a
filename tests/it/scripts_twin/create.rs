//! `create.lua` against `core::admission::admit`, liveness and the rules of idempotency keys. I-4, I-14, T-67.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Claim, ClaimOn, Created, Limits, Operation};
use shared::core::admission::{Admission, LiveSession, admit};
use shared::core::analytics::sample::SAMPLE;
use shared::core::context::Sighting;
use shared::core::end_reason::EndReason;
use shared::core::id::{SessionId, UserSlot};
use shared::core::legacy_session;
use shared::core::policy::{OnLimit, SessionLimit};
use shared::core::privacy::Privacy;
use shared::core::record::{Header, SessionRecord, State};
use shared::core::risk::History;
use shared::core::risk::history::Entry;
use shared::core::session::{Liveness, idle_expires_at, liveness};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, pick, random_header, random_session, random_slot, record_of, shifted,
    tombstone, unreadable,
};

/// What the user has before.
struct Held {
    session: SessionId,
    record: SessionRecord,
    /// The bytes in place of the record; nothing for an index entry without one.
    bytes: Option<Vec<u8>>,
    readable: bool,
}

fn held(rng: &mut StdRng, slot: UserSlot, now: Timestamp) -> Held {
    let mut header = random_header(rng, slot.tag, now);
    header.epoch = pick(rng, &[3, 3, 3, 3, 2, 4]);
    header.application_tag = if rng.random_bool(0.8) { OWN } else { OTHER };
    // Ties are common, so that the order of names decides.
    header.created_at = shifted(now, -1000 * rng.random_range(1..4));
    if rng.random_bool(0.6) {
        header.last_activity_at = shifted(now, -rng.random_range(0..3));
        header.idle_timeout_seconds = 60;
    }
    let record = record_of(rng, header);
    let readable = rng.random_bool(0.95);
    let bytes = match (readable, rng.random_bool(0.95)) {
        (false, _) => Some(unreadable(rng, &record)),
        (true, true) => Some(record.encode()),
        (true, false) => None,
    };
    Held { session: random_session(slot), record, bytes, readable }
}

fn newcomer(rng: &mut StdRng, slot: UserSlot, now: Timestamp, operation: &Operation) -> SessionRecord {
    let header = Header {
        state: State::Active,
        version: 1,
        revision: 1,
        epoch: 0,
        generation: 1,
        created_at: now,
        last_activity_at: now,
        absolute_expires_at: now.plus_seconds(pick(rng, &[60, 86_400, 2_592_000])),
        rotated_at: now,
        last_operation: operation.mark,
        ..random_header(rng, slot.tag, now)
    };
    record_of(rng, header)
}

/// The user's history before, well-formed most of the time, and what it is to learn: T-77.
fn history(rng: &mut StdRng, now: Timestamp) -> (Option<Vec<u8>>, Option<Entry>) {
    let sighting =
        |rng: &mut StdRng| Sighting { network: [rng.random_range(1..4); 6], device: [rng.random_range(1..6); 6] };
    let at = |rng: &mut StdRng| pick(rng, &[0, 1, 599, 600, 601, 3599, 3600, 3601, 90_000, -5]);
    let entries = (0..rng.random_range(0..=16)).map(|_| {
        let seconds = |rng: &mut StdRng| (now.seconds() - at(rng)) as u32;
        Entry {
            first: seconds(rng),
            last: seconds(rng),
            run: seconds(rng),
            created: pick(rng, &[0, 1, 10, 254, 255]),
            sighting: sighting(rng),
            place: pick(rng, &[[0; 6], *b"AT\0\x60\0\x20"]),
        }
    });
    let entries = entries.collect();
    let known = History { replayed: pick(rng, &[0, 1_700_000_000]), entries };
    let bytes = match rng.random_range(0..10) {
        0 | 1 => None,
        2 => Some(b"\x02of a later release".to_vec()),
        3 => Some(b"\x01".to_vec()),
        4 => Some([known.encode(), b"torn".to_vec()].concat()),
        _ => Some(known.encode()),
    };
    let seen = rng.random_bool(0.8).then(|| Entry::of(sighting(rng), None, true, now));
    (bytes, seen)
}

/// The one of the policy's victims and the dead that must end, with the reason of each.
fn ends(
    held: &[Held],
    fresh: &SessionRecord,
    epoch: u32,
    now: Timestamp,
    limits: Limits,
) -> Option<(Vec<String>, BTreeMap<String, EndReason>)> {
    let present = || held.iter().filter(|held| held.readable && held.bytes.is_some());
    let mut live = Vec::new();
    let mut ends = BTreeMap::new();
    for held in present() {
        let header = &held.record.header;
        let key_text = held.session.key_text();
        match liveness(header, epoch, now) {
            Liveness::Lapsed(reason) => drop(ends.insert(key_text, reason)),
            Liveness::Alive if header.application_tag == OWN => live.push(LiveSession {
                key_text,
                created_at: header.created_at,
                last_activity_at: header.last_activity_at,
                trust: header.trust,
                same_type: held.record.attributes.device_type == fresh.attributes.device_type,
            }),
            Liveness::Alive | Liveness::Ended(_) => {}
        }
    }
    // A session without a type counts under no limit of a type.
    let of_type = limits.of_type.filter(|_| fresh.attributes.device_type.is_some());
    match admit(live, limits.of_user, of_type) {
        Admission::Reject => None,
        Admission::Admit { evict } => {
            ends.extend(evict.iter().map(|key_text| (key_text.clone(), EndReason::Evicted)));
            Some((evict, ends))
        }
    }
}

async fn compare(bench: &Bench, index: u64) -> &'static str {
    let mut rng = case_rng(SEED + 4, index);
    let now = Timestamp::from_millis(BASE);
    // Real time decides the end of keys, so the case lies in the future: nothing it writes is gone at once.
    let slot = random_slot(&mut rng);
    let all: Vec<Held> = (0..rng.random_range(0..9)).map(|_| held(&mut rng, slot, now)).collect();
    let words = [OnLimit::Reject, OnLimit::EvictOldest, OnLimit::EvictLeastRecent, OnLimit::EvictLeastTrusted];
    let of_user = SessionLimit { max: rng.random_range(1..7), on_limit: pick(&mut rng, &words) };
    let of_type = SessionLimit { max: rng.random_range(1..3), on_limit: pick(&mut rng, &words) };
    let limits = Limits { of_user, of_type: rng.random_bool(0.5).then_some(of_type) };
    let epoch = pick(&mut rng, &[0, 3, 3, 3, 4]);
    let operation = operation(now);
    let mut fresh = newcomer(&mut rng, slot, now, &operation);
    // What the record was built for, what the application's defaults are, and what the user has chosen, if anything.
    let built_for = Privacy::from_bits(pick(&mut rng, &[0, 0, 2, 14]));
    fresh.header.flags |= built_for.record_flags();
    let same = |rng: &mut StdRng| Privacy::from_bits(pick(rng, &[built_for.bits(), built_for.bits() | 1, 2, 4]));
    let (defaults, chosen) = if rng.random_bool(0.8) {
        (built_for, rng.random_bool(0.3).then_some(built_for))
    } else {
        (same(&mut rng), rng.random_bool(0.5).then(|| same(&mut rng)))
    };
    if let Some(chosen) = chosen {
        bench.set(&keys::privacy(slot), &[chosen.bits(), 0, 0, 0, 1]).await;
    }
    let holds = chosen.unwrap_or(defaults);
    let unwanted = holds.record_flags() != built_for.record_flags();
    let session = random_session(slot);
    let claim = rng.random_bool(0.5).then(|| {
        let on = if rng.random_bool(0.5) { ClaimOn::LegacySession } else { ClaimOn::Payload(rng.random()) };
        Claim { name: session.key_text(), on }
    });
    let described: Vec<_> = all.iter().map(|held| (&held.record.header, held.readable, held.bytes.is_some())).collect();
    let name = format!("seed {SEED} create {index}: {limits:?} epoch {epoch} {described:#?}");
    let registration = rng.random_bool(0.3).then(|| session.key_text());
    // The mirror of the device's epoch: absent, behind, even, or ahead of what the newcomer read.
    let read = fresh.header.device_epoch;
    let mirror = pick(&mut rng, &[None, None, Some(read.saturating_sub(1)), Some(read), Some(read.saturating_add(1))]);
    if let (Some(device), Some(mirror)) = (fresh.attributes.device_tag, mirror) {
        bench.set(&keys::device_epoch(slot, device), mirror.to_string().as_bytes()).await;
    }
    let overtaken = fresh.attributes.device_tag.is_some() && mirror.is_some_and(|mirror| read < mirror);

    for held in &all {
        let due = held.record.header.absolute_expires_at;
        bench
            .place_bytes(&held.session, slot, held.bytes.as_deref().unwrap_or(b"x"), held.record.header.created_at, due)
            .await;
        if held.bytes.is_none() {
            bench.remove(&[keys::session(&held.session)]).await;
        }
    }
    bench.set_epoch(slot, epoch).await;

    let (history, seen) = history(&mut rng, now);
    if let Some(history) = &history {
        bench.set(&keys::history(slot), history).await;
    }
    let before = history.clone().filter(|_| seen.is_some()).unwrap_or_default();

    let expected = ends(&all, &fresh, epoch, now, limits).filter(|_| !overtaken && !unwanted);
    let call = scripts::create(
        &session,
        slot,
        (&fresh, defaults),
        limits,
        registration.as_deref(),
        &operation,
        claim.as_ref(),
        seen.as_ref(),
        now,
    );
    let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let answer = scripts::created(slot.bucket, reply).expect("a known reply");
    let evicted: Vec<String> = expected.iter().flat_map(|(evicted, _)| evicted.clone()).collect();
    let ids = |names: &[String]| -> Vec<SessionId> {
        names.iter().filter_map(|name| SessionId::from_key_text(slot.bucket, name)).collect()
    };
    let (ended, admitted) = match &expected {
        None => {
            let refusal = match (unwanted, overtaken) {
                (true, _) => Created::PrivacyDiffers(holds),
                (false, true) => Created::DeviceChanged,
                (false, false) => Created::LimitReached,
            };
            assert_eq!(answer, refusal, "{name}");
            (BTreeMap::new(), false)
        }
        Some((_, ended)) => {
            assert_eq!(answer, Created::Admitted { epoch, history: before, evicted: ids(&evicted) }, "{name}");
            (ended.clone(), true)
        }
    };
    let stored = SessionRecord { header: Header { epoch, ..fresh.header.clone() }, ..fresh.clone() };
    let bytes = bench.bytes(&keys::session(&session)).await;
    assert_eq!(bytes, admitted.then(|| stored.encode()), "{name}: the new record");
    check_held(bench, &all, &ended, &operation, now, slot, admitted, &name).await;
    check_events(bench, slot, &operation, &ended, admitted, registration.as_deref(), &session, &fresh, &name).await;
    if let Some(claim) = &claim {
        check_claim(bench, slot, claim, &fresh, admitted, now, &name).await;
    }
    let learned = seen
        .as_ref()
        .filter(|_| admitted)
        .map(|seen| History::decode(history.as_deref().unwrap_or_default()).learn(*seen).encode());
    let kept = learned.or(history);
    assert_eq!(bench.bytes(&keys::history(slot)).await, kept, "{name}: history");
    if admitted {
        let due = idle_expires_at(&fresh.header).min(fresh.header.absolute_expires_at);
        let queue = bench.members(&keys::expiry_queue(slot.bucket)).await;
        assert_eq!(queue.get(&session.key_text()), Some(&due.millis()), "{name}: deadline");
        let index = bench.members(&keys::index(slot)).await;
        assert_eq!(index.get(&session.key_text()), Some(&now.millis()), "{name}: index");
        repeat(bench, &session, slot, &stored, limits, &operation, claim.as_ref(), seen.as_ref(), &evicted, now, &name)
            .await;
    }
    bench.command(&redis::cmd("FLUSHALL")).await;
    match answer {
        Created::LimitReached => "rejected",
        Created::DeviceChanged => "overtaken",
        Created::PrivacyDiffers(_) => "unwanted",
        Created::Admitted { evicted, .. } if evicted.is_empty() => "admitted",
        _ => "evicted",
    }
}

async fn check_held(
    bench: &Bench,
    all: &[Held],
    ended: &BTreeMap<String, EndReason>,
    operation: &Operation,
    now: Timestamp,
    slot: UserSlot,
    admitted: bool,
    name: &str,
) {
    let index = bench.members(&keys::index(slot)).await;
    for held in all {
        let key_text = held.session.key_text();
        let reason = ended.get(&key_text);
        let after = match reason {
            Some(reason) => Some(tombstone(&held.record, *reason, operation.mark, now).encode()),
            None => held.bytes.clone(),
        };
        assert_eq!(bench.bytes(&keys::session(&held.session)).await, after, "{name}: {key_text}");
        let over = held.readable && (held.bytes.is_none() || held.record.header.state != State::Active);
        let listed = !admitted || !(over || reason.is_some());
        assert_eq!(index.contains_key(&key_text), listed, "{name}: index entry {key_text}");
    }
}

async fn check_events(
    bench: &Bench,
    slot: UserSlot,
    operation: &Operation,
    ended: &BTreeMap<String, EndReason>,
    admitted: bool,
    registration: Option<&str>,
    session: &SessionId,
    fresh: &SessionRecord,
    name: &str,
) {
    let events = bench.events(slot.bucket, operation).await;
    let outbox = bench.outbox(slot.bucket).await;
    let registered: Vec<_> = outbox.iter().filter(|event| event.kind == "device.registered").collect();
    assert_eq!(registered.len(), usize::from(admitted && registration.is_some()), "{name}: the device");
    assert!(registered.iter().all(|event| Some(event.id.as_str()) == registration), "{name}: the device");
    let mut told = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind == "session.ended") {
        told.insert(event.session.clone(), EndReason::parse(&event.reason).expect("a reason"));
    }
    assert_eq!(&told, ended, "{name}: events");
    let created: Vec<_> = events.iter().filter(|event| event.kind == "session.created").collect();
    assert_eq!(created.len(), usize::from(admitted), "{name}");
    for event in created {
        assert_eq!(event.session, session.key_text(), "{name}");
        assert_eq!(event.application, fresh.attributes.application_id, "{name}");
    }
    assert_eq!(events.len(), told.len() + usize::from(admitted), "{name}");
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len(), "{name}: ids of events repeat");
}

/// A claim is kept with what was created and not without: a refusal uses up neither key nor legacy session.
async fn check_claim(
    bench: &Bench,
    slot: UserSlot,
    claim: &Claim,
    fresh: &SessionRecord,
    admitted: bool,
    now: Timestamp,
    name: &str,
) {
    let key = keys::claim(slot.bucket, &claim.name);
    assert_eq!(bench.bytes(&key).await.is_some(), admitted, "{name}: claim");
    let kept = match claim.on {
        ClaimOn::Payload(_) => 24 * 3600 * 1000,
        ClaimOn::LegacySession => legacy_session::remembered_millis(fresh.header.absolute_expires_at, now),
    };
    // What is left by the store's own clock, which went on meanwhile.
    let left: i64 = redis::from_redis_value(bench.command(redis::cmd("PTTL").arg(&key)).await).expect("a number");
    assert!(!admitted || (kept - 60_000..=kept).contains(&left), "{name}: the claim is kept for {left} ms");
    let outbox = bench.outbox(slot.bucket).await;
    let details: Vec<_> =
        outbox.iter().filter(|event| event.kind == "session.created").map(|event| &event.detail).collect();
    let detail = if claim.on == ClaimOn::LegacySession { "legacy" } else { "" };
    assert_eq!(details, vec![detail; usize::from(admitted)], "{name}: detail");
}

/// I-14: the same operation again, the idempotency key with the same and with another payload, and the legacy session
/// within its minute and after it.
#[expect(clippy::too_many_arguments, reason = "the parts of one case")]
async fn repeat(
    bench: &Bench,
    session: &SessionId,
    slot: UserSlot,
    stored: &SessionRecord,
    limits: Limits,
    first: &Operation,
    claim: Option<&Claim>,
    seen: Option<&Entry>,
    evicted: &[String],
    now: Timestamp,
    name: &str,
) {
    let events = bench.outbox(slot.bucket).await;
    let history = bench.bytes(&keys::history(slot)).await.unwrap_or_default();
    let index = bench.members(&keys::index(slot)).await;
    let evicted: Vec<_> = evicted.iter().filter_map(|name| SessionId::from_key_text(slot.bucket, name)).collect();
    let run_at = async |session: &SessionId, operation: &Operation, claim: Option<&Claim>, now: Timestamp| {
        // As the record is, so were the defaults, or the user's choice that it was built for.
        let defaults = Privacy::of_record(stored.header.flags);
        let call = scripts::create(session, slot, (stored, defaults), limits, None, operation, claim, seen, now);
        scripts::created(slot.bucket, bench.run(&call).await.expect("runs again")).expect("a known reply")
    };
    let run = async |session: &SessionId, operation: &Operation, claim: Option<&Claim>| {
        run_at(session, operation, claim, now).await
    };
    let told = if seen.is_some() { history.clone() } else { Vec::new() };
    // Measurements of the service lie among the events, and are of no session.
    let mut sample = redis::cmd("XADD");
    sample
        .arg(keys::outbox(slot.bucket))
        .arg("*")
        .arg("i")
        .arg("of no operation")
        .arg("t")
        .arg(SAMPLE)
        .arg("y")
        .arg("");
    let place: String = redis::from_redis_value(bench.command(&sample).await).expect("a place");
    let again = run(session, first, claim).await;
    bench.command(redis::cmd("XDEL").arg(keys::outbox(slot.bucket)).arg(&place)).await;
    match claim {
        None => assert_eq!(
            again,
            Created::Admitted { epoch: stored.header.epoch, history: told, evicted },
            "{name}: repeated"
        ),
        Some(claim) => {
            let replayed = Created::Replayed { session: *session, evicted };
            assert_eq!(again, replayed, "{name}: repeated");
            let later = operation(now);
            let other = random_session(slot);
            assert_eq!(run(&other, &later, Some(claim)).await, replayed, "{name}: replayed");
            match claim.on {
                ClaimOn::Payload(_) => {
                    let changed = Claim { on: ClaimOn::Payload([7; 16]), ..claim.clone() };
                    assert_eq!(
                        run(&other, &later, Some(&changed)).await,
                        Created::KeyReused,
                        "{name}: another payload"
                    );
                }
                ClaimOn::LegacySession => {
                    for ago in [-1000, 59_999, 60_000, 60_001, 86_400_000] {
                        let at = shifted(now, ago);
                        let repeated = legacy_session::is_repeated(now, at);
                        let expected = if repeated { replayed.clone() } else { Created::Exchanged };
                        let answer = run_at(&other, &later, Some(claim), at).await;
                        assert_eq!(answer, expected, "{name}: exchanged {ago} ms ago");
                    }
                }
            }
            assert_eq!(bench.bytes(&keys::session(&other)).await, None, "{name}");
        }
    }
    assert_eq!(bench.outbox(slot.bucket).await, events, "{name}: repeated");
    assert_eq!(bench.bytes(&keys::history(slot)).await.unwrap_or_default(), history, "{name}: learned once");
    assert_eq!(bench.members(&keys::index(slot)).await, index, "{name}: repeated");
    assert_eq!(bench.bytes(&keys::session(session)).await, Some(stored.encode()), "{name}: repeated");
}

#[tokio::test]
async fn i_4_t_67_the_script_admits_like_its_twin() {
    let bench = Bench::private().await;
    let mut met = BTreeMap::<_, u32>::new();
    for index in 0..2000 {
        *met.entry(compare(&bench, index).await).or_default() += 1;
    }
    println!("admissions met: {met:?}");
    assert!(
        ["admitted", "evicted", "rejected", "overtaken"].iter().all(|kind| met.get(kind).is_some_and(|n| *n > 100)),
        "{met:?}"
    );
}
