//! `refresh.lua` and `core::refresh_decision::decide`: all fifteen cases.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Operation, Refreshed};
use shared::core::attributes::Attributes;
use shared::core::end_reason::EndReason;
use shared::core::record::{Header, SessionRecord, State};
use shared::core::refresh_decision::{Decision, Judged, Presented, decide};
use shared::core::risk::Event;
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, pick, random_attributes, random_digest, random_header, random_session,
    random_slot, record_of, tombstone, without_data,
};

/// The user's history before a case.
const HISTORY: &[u8] = b"\x01\0\0\0\0history";

/// What a replay leaves of it: the time of the replay behind the version.
fn after_replay(now: Timestamp) -> Vec<u8> {
    let seconds = u32::try_from(now.seconds()).expect("before 2106");
    [&b"\x01"[..], &seconds.to_be_bytes(), &HISTORY[5..]].concat()
}

/// One input of both twins.
struct Case {
    record: SessionRecord,
    epoch: u32,
    presented: Presented,
    operation: Operation,
    now: Timestamp,
}

fn presented(rng: &mut StdRng, header: &Header, mark: [u8; 8]) -> Presented {
    let step = pick(rng, &[-1000, -3, -2, -2, -1, -1, -1, -1, 0, 0, 0, 1, 1, 2, 1000]);
    let generation = (i64::from(header.generation) + step).clamp(0, i64::from(u32::MAX));
    let revision = header.revision;
    let judged = [None, None, Some(revision), Some(revision.wrapping_sub(1)), Some(revision.wrapping_add(1))];
    let judged = pick(rng, &judged).map(|revision| Judged {
        revision,
        standing: pick(rng, &[Standing::Good, Standing::StepUp]),
        score: rng.random_range(0..=100),
        history: rng.random_bool(0.5).then(|| b"judged history".to_vec()),
        attributes: rng.random_bool(0.5).then(|| random_attributes(rng).encode()),
        event: pick(rng, &[Event::None, Event::ContextChanged, Event::Raised, Event::Shadowed]),
        detail: pick(rng, &["", "allow,score=10,network_change"]).to_owned(),
    });
    Presented {
        application_tag: if rng.random_bool(0.95) { OWN } else { OTHER },
        generation: generation as u32,
        operation: mark,
        address: random_digest(rng),
        device: random_digest(rng),
        jkt: pick(rng, &[None, Some("key-A"), Some("key-A"), Some("key-B")]).map(str::to_owned),
        judged,
    }
}

fn case(rng: &mut StdRng) -> Case {
    let now = Timestamp::from_millis(BASE);
    let operation = operation(now);
    let tag = random_slot(rng).tag;
    let mut header = random_header(rng, tag, now);
    if rng.random_bool(0.2) {
        header.last_operation = operation.mark;
    }
    header.superseded_generation = match pick(rng, &[0, 0, 0, 1, 2]) {
        0 => 0,
        back => header.generation.saturating_sub(back),
    };
    let near =
        [header.epoch, header.epoch, header.epoch, header.epoch.saturating_sub(1), header.epoch.saturating_add(1)];
    let epoch = pick(rng, &near);
    let mut presented = presented(rng, &header, operation.mark);
    let record = record_of(rng, header);
    if let Some(attributes) = presented.judged.as_mut().and_then(|judged| judged.attributes.as_mut()) {
        // A judgement moves no session to another key or owner.
        let judged = Attributes::decode(attributes).expect("attributes");
        let Attributes { jkt, application_id, .. } = record.attributes.clone();
        *attributes = Attributes { jkt, application_id, ..judged }.encode();
    }
    Case { record, epoch, presented, operation, now }
}

/// The case number of the documentation, so that a test can tell that all were met.
fn number(case: &Case, decision: Decision) -> u8 {
    let behind = case.record.header.generation.saturating_sub(case.presented.generation);
    let inside =
        case.now.millis_since(case.record.header.rotated_at) <= i64::from(case.record.header.grace_seconds) * 1000;
    match decision {
        Decision::Missing => 1,
        Decision::Ended(_) => 2,
        Decision::Lapsed(_) => 3,
        Decision::Successor { .. } if case.presented.operation == case.record.header.last_operation => 4,
        Decision::Replay if matches!(case.record.header.state, State::Ended(_)) => 4,
        Decision::Replay if behind >= 2 => 5,
        Decision::Replay if !inside => 6,
        Decision::Replay => 7,
        Decision::Successor { .. } => 8,
        Decision::ContextChanged => 9,
        Decision::Moved => 10,
        Decision::Rotate { .. } => 11,
        Decision::Heal { .. } => 12,
        Decision::WrongKey => 13,
        Decision::Superseded => 14,
        Decision::Quarantined => 15,
    }
}

fn rotated(case: &Case, generation: u32) -> SessionRecord {
    let (header, presented) = (&case.record.header, &case.presented);
    let known = |presented: [u8; 8], recorded| if presented == [0; 8] { recorded } else { presented };
    SessionRecord {
        header: Header {
            generation,
            rotated_at: case.now,
            last_activity_at: header.last_activity_at.max(case.now),
            last_operation: presented.operation,
            address: known(presented.address, header.address),
            device: known(presented.device, header.device),
            standing: presented.judged.as_ref().map_or(header.standing, |judged| judged.standing),
            risk_score: presented.judged.as_ref().map_or(header.risk_score, |judged| judged.score),
            revision: header.revision.wrapping_add(1),
            ..header.clone()
        },
        attributes: match presented.judged.as_ref().and_then(|judged| judged.attributes.as_ref()) {
            Some(attributes) => Attributes::decode(attributes).expect("attributes"),
            None => case.record.attributes.clone(),
        },
        sealed: case.record.sealed.clone(),
    }
}

/// What the twin says must be answered, stored, and told to the audit (kind, reason).
fn expected(case: &Case, decision: Decision) -> (Refreshed, SessionRecord, Vec<(&'static str, &'static str)>) {
    let before = &case.record;
    let ended = |reason| tombstone(before, reason, case.operation.mark, case.now);
    let unchanged = before.clone();
    let replay = Refreshed::Replay { owner_tag: OWN };
    let advanced = |generation, kind| {
        let record = rotated(case, generation);
        let judged = case.presented.judged.as_ref().map(|judged| judged.event.as_str()).filter(|kind| !kind.is_empty());
        let events = judged.into_iter().chain([kind]).map(|kind| (kind, "")).collect();
        (without_data(&record), record, events)
    };
    match decision {
        Decision::Missing => (Refreshed::Missing, unchanged, vec![]),
        Decision::Ended(reason) => (Refreshed::Ended(reason), unchanged, vec![]),
        Decision::Lapsed(reason) => {
            (Refreshed::Lapsed(reason), ended(reason), vec![("session.ended", reason.as_str())])
        }
        Decision::Successor { .. } => (Refreshed::Successor(without_data(before)), unchanged, vec![]),
        Decision::Replay if matches!(before.header.state, State::Ended(_)) => (replay, unchanged, vec![]),
        Decision::Replay => {
            (replay, ended(EndReason::Reuse), vec![("refresh.replayed", "reuse"), ("session.ended", "reuse")])
        }
        Decision::ContextChanged => {
            let (record, history) = (without_data(before), HISTORY.to_vec());
            let changed = Refreshed::ContextChanged { record, history, shared: false };
            (changed, unchanged, vec![])
        }
        Decision::Moved => (Refreshed::Moved, unchanged, vec![]),
        Decision::WrongKey => (Refreshed::WrongKey, unchanged, vec![]),
        Decision::Superseded => (Refreshed::Superseded, unchanged, vec![]),
        Decision::Quarantined => (Refreshed::Quarantined(without_data(before)), unchanged, vec![]),
        Decision::Rotate { generation } => {
            let (answer, record, events) = advanced(generation, "session.refreshed");
            (Refreshed::Rotated(answer), record, events)
        }
        Decision::Heal { generation } => {
            let (answer, record, events) = advanced(generation, "session.healed");
            (Refreshed::Healed(answer), record, events)
        }
    }
}

async fn compare(bench: &Bench, index: u64) -> u8 {
    let mut rng = case_rng(SEED, index);
    let case = case(&mut rng);
    let slot = shared::core::id::UserSlot { tag: case.record.header.user_tag, ..random_slot(&mut rng) };
    let session = random_session(slot);
    let name = format!("seed {SEED} case {index}: {:?} epoch {} {:?}", case.record.header, case.epoch, case.presented);
    bench.place(&session, &case.record).await;
    bench.set_epoch(slot, case.epoch).await;
    bench.command(redis::cmd("SET").arg(keys::history(slot)).arg(HISTORY)).await;
    let lasting = 86_400_000;
    bench.command(redis::cmd("PEXPIRE").arg(keys::session(&session)).arg(lasting)).await;

    let decision =
        decide(&case.record.header, case.record.attributes.jkt.as_deref(), case.epoch, case.now, &case.presented);
    let (answer, record, events) = expected(&case, decision);
    let call = scripts::refresh(&session, slot, &case.presented, &case.operation, case.now);
    let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(scripts::refreshed(reply), Ok(answer), "{name}: answer");
    assert_eq!(bench.bytes(&keys::session(&session)).await, Some(record.encode()), "{name}: record");

    let kept = case.presented.judged.as_ref().and_then(|judged| judged.history.clone());
    let kept = kept.filter(|_| matches!(decision, Decision::Rotate { .. } | Decision::Heal { .. }));
    let history = bench.bytes(&keys::history(slot)).await;
    let proved = decision == Decision::Replay && case.record.header.state == State::Active;
    let left = if proved { after_replay(case.now) } else { HISTORY.to_vec() };
    assert_eq!(history, Some(kept.unwrap_or(left)), "{name}: history");

    let told = bench.events(slot.bucket, &case.operation).await;
    let kinds: Vec<_> = told.iter().map(|event| (event.kind.as_str(), event.reason.as_str())).collect();
    assert_eq!(kinds, events, "{name}: events");
    for event in &told {
        assert_eq!(event.session, session.key_text(), "{name}");
        assert_eq!(event.user, slot.tag.text(), "{name}");
        assert_eq!(event.application, record_owner(&case, &record), "{name}");
        let judgement = ["session.context_changed", "session.risk_raised", "session.risk_shadowed"];
        let detail = case.presented.judged.as_ref().map_or("", |judged| &judged.detail);
        let expected = if judgement.contains(&event.kind.as_str()) { detail } else { "" };
        assert_eq!(event.detail, expected, "{name}");
    }
    let ids: std::collections::BTreeSet<_> = told.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), told.len(), "{name}: ids of events repeat");

    let fresh_end = case.record.header.state == State::Active && record.header.state != State::Active;
    let listed = [keys::index(slot), keys::expiry_queue(slot.bucket)];
    for key in &listed {
        let member = bench.members(key).await.contains_key(&session.key_text());
        assert_eq!(member, !fresh_end, "{name}: {key}");
    }
    let ttl = bench.ttl(&keys::session(&session)).await;
    let longest = if fresh_end { 7 * 86_400_000 } else { lasting };
    assert!((30_000..=longest).contains(&ttl), "{name}: {ttl} ms left");

    again(bench, &case, &record, slot, session, &name).await;
    bench.discard_events(slot.bucket, &case.operation).await;
    bench.command(redis::cmd("ZREM").arg(&listed[1]).arg(session.key_text())).await;
    bench.remove(&[keys::session(&session), keys::index(slot), keys::epoch(slot), keys::history(slot)]).await;
    number(&case, decision)
}

/// A tombstone names no application any more.
fn record_owner(case: &Case, record: &SessionRecord) -> String {
    let attributes = match record.header.state {
        State::Active => &record.attributes,
        State::Ended(_) => &case.record.attributes,
    };
    attributes.application_id.clone()
}

/// I-14: the same operation again gives the same answer and changes nothing.
async fn again(
    bench: &Bench,
    case: &Case,
    record: &SessionRecord,
    slot: shared::core::id::UserSlot,
    session: shared::core::id::SessionId,
    name: &str,
) {
    let first =
        decide(&case.record.header, case.record.attributes.jkt.as_deref(), case.epoch, case.now, &case.presented);
    let events = bench.events(slot.bucket, &case.operation).await;
    let call = scripts::refresh(&session, slot, &case.presented, &case.operation, case.now);
    let answer = scripts::refreshed(bench.run(&call).await.expect("runs again")).expect("a known reply");
    match (first, answer) {
        (Decision::Rotate { .. } | Decision::Heal { .. }, Refreshed::Successor(again)) => {
            assert_eq!(again, without_data(record), "{name}: repeated");
        }
        (Decision::Lapsed(reason), Refreshed::Ended(again)) => assert_eq!(reason, again, "{name}: repeated"),
        (_, answer) => assert_eq!(answer, expected(case, first).0, "{name}: repeated"),
    }
    assert_eq!(bench.bytes(&keys::session(&session)).await, Some(record.encode()), "{name}: repeated");
    assert_eq!(bench.events(slot.bucket, &case.operation).await, events, "{name}: repeated");
}

async fn compare_all(bench: &Bench, cases: u64) {
    let mut met = BTreeMap::<u8, u64>::new();
    for index in 0..cases {
        *met.entry(compare(bench, index).await).or_default() += 1;
    }
    println!("cases of the decision met: {met:?}");
    assert_eq!(met.keys().copied().collect::<Vec<_>>(), (1..=15).collect::<Vec<_>>(), "{met:?}");
}

#[tokio::test]
async fn i_2_i_3_t_09_the_script_decides_like_its_twin() {
    compare_all(&Bench::private().await, 6000).await;
}

#[tokio::test]
async fn i_2_i_3_the_script_decides_like_its_twin_on_a_cluster() {
    compare_all(&Bench::cluster().await, 400).await;
}

/// A family that has used every number hands out its last token for ever instead of starting again at zero.
#[tokio::test]
async fn the_last_generation_does_not_wrap() {
    let bench = Bench::private().await;
    let mut rng = case_rng(SEED, u64::MAX);
    let slot = random_slot(&mut rng);
    let now = Timestamp::from_millis(BASE);
    let header = Header {
        state: State::Active,
        generation: u32::MAX,
        epoch: 0,
        last_activity_at: now,
        absolute_expires_at: now.plus_seconds(1000),
        standing: Standing::Good,
        flags: 0,
        ..random_header(&mut rng, slot.tag, now)
    };
    let session = random_session(slot);
    bench.place(&session, &record_of(&mut rng, header)).await;
    let operation = operation(now);
    let presented = Presented {
        application_tag: OWN,
        generation: u32::MAX,
        operation: operation.mark,
        address: [0; 8],
        device: [0; 8],
        jkt: None,
        judged: None,
    };
    let reply = bench.run(&scripts::refresh(&session, slot, &presented, &operation, now)).await.expect("runs");
    let Ok(Refreshed::Rotated(record)) = scripts::refreshed(reply) else { panic!("rotates") };
    assert_eq!(record.header.generation, u32::MAX);
}
