//! `sweep.lua` against liveness by the earlier of two clocks. T-75, F-29, I-16.

use std::collections::BTreeMap;

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Swept};
use shared::clock;
use shared::core::id::UserSlot;
use shared::core::record::{SHARED, SessionRecord, State};
use shared::core::session::{Liveness, idle_expires_at, liveness};
use shared::core::time::Timestamp;

use super::SEED;
use super::end::countable;
use crate::script_bench::{
    Bench, case_rng, operation, pick, random_header, random_session, random_slot, record_of, shifted, tombstone,
    unreadable,
};

/// Far more than a test takes: limits closer to the store's clock than this would depend on its speed.
const MARGIN: i64 = 60_000;
const DAY: i64 = 86_400_000;

async fn compare(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 8, index);
    let store = clock::now();
    let caller = shifted(store, pick(&mut rng, &[0, 0, -3_600_000, 3_600_000]));
    let judged = caller.min(store);
    let ada = random_slot(&mut rng);
    let ben = UserSlot { bucket: ada.bucket, ..random_slot(&mut rng) };
    let mut users = Vec::new();
    for slot in [ada, ben] {
        let epoch = pick(&mut rng, &[0, 3, 3]);
        bench.set_epoch(slot, epoch).await;
        users.push((slot, epoch));
    }
    let mut held = Vec::new();
    for _ in 0..rng.random_range(1..10) {
        let (slot, epoch) = pick(&mut rng, &users);
        let mut header = random_header(&mut rng, slot.tag, judged);
        header.epoch = pick(&mut rng, &[3, 3, 2]);
        header.idle_timeout_seconds = 3600;
        header.last_activity_at = shifted(judged, -3_600_000 + pick(&mut rng, &[-MARGIN, MARGIN, 3_000_000]));
        header.absolute_expires_at = shifted(judged, pick(&mut rng, &[-MARGIN, MARGIN, 7_200_000, 3 * DAY, 30 * DAY]));
        header.flags |= pick(&mut rng, &[0, 0, SHARED]);
        let mut record = record_of(&mut rng, header);
        if record.header.state == State::Active && rng.random_bool(0.2) {
            // Attributes that end after what the sweep reads at first.
            record.attributes.user_agent = Some("agent".repeat(rng.random_range(20..60)));
        }
        let session = random_session(slot);
        let due = shifted(judged, pick(&mut rng, &[-MARGIN, -MARGIN, MARGIN]));
        let bytes = match rng.random_range(0..20) {
            0 => None,
            1 => Some(unreadable(&mut rng, &record)),
            _ => Some(record.encode()),
        };
        bench.place_bytes(&session, slot, bytes.as_deref().unwrap_or(b"x"), record.header.created_at, due).await;
        if bytes.is_none() {
            bench.remove(&[keys::session(&session)]).await;
        }
        let family = redis::cmd("HSET").arg(keys::families(&session)).arg("related").arg("family").to_owned();
        bench.command(&family).await;
        held.push((session, record, bytes, due, slot, epoch));
    }
    let name = format!("seed {SEED} sweep {index}: caller {caller:?} store {store:?} {held:#?}");

    let operation = operation(caller);
    let reply = bench.run(&scripts::sweep(ada.bucket, &operation, caller)).await;
    let swept = scripts::swept(reply.unwrap_or_else(|error| panic!("{name}: {error}"))).expect("a known reply");
    let queue = bench.members(&keys::expiry_queue(ada.bucket)).await;
    let events: BTreeMap<_, _> =
        bench.events(ada.bucket, &operation).await.into_iter().map(|event| (event.session.clone(), event)).collect();
    let mut expected = Swept::default();
    for (session, record, bytes, due, slot, epoch) in &held {
        let listed = bench.members(&keys::index(*slot)).await.contains_key(&session.key_text());
        let families = bench.fields(&keys::families(session)).await;
        let place = queue.get(&session.key_text()).copied();
        let now_bytes = bench.bytes(&keys::session(session)).await;
        let event = events.get(&session.key_text());
        let ended = event.is_some();
        let shared = record.header.flags & SHARED != 0;
        assert_eq!((listed, families), (!ended, u64::from(!ended || !shared)), "{name}: {session}");
        if *due > judged {
            assert_eq!((place, &now_bytes), (Some(due.millis()), bytes), "{name}: {session} was not due");
            continue;
        }
        expected.looked_at += 1;
        let readable = bytes.as_ref().map(|bytes| SessionRecord::decode(bytes));
        match readable {
            Some(Err(_)) => {
                expected.unreadable += 1;
                assert_eq!(&now_bytes, bytes, "{name}: {session} is left as it is");
                assert!(place.is_some_and(|place| place > judged.millis()), "{name}: {session}");
            }
            None => assert_eq!((place, now_bytes), (None, None), "{name}: {session}"),
            Some(Ok(_)) => match liveness(&record.header, *epoch, judged) {
                Liveness::Ended(_) => assert_eq!((place, &now_bytes), (None, bytes), "{name}: {session}"),
                Liveness::Alive => {
                    let deadline = idle_expires_at(&record.header).min(record.header.absolute_expires_at);
                    assert_eq!((place, &now_bytes), (Some(deadline.millis()), bytes), "{name}: {session}");
                }
                Liveness::Lapsed(reason) => {
                    expected.ended += 1;
                    let after = SessionRecord::decode(&now_bytes.expect("a tombstone")).expect("readable");
                    let at = after.header.ended_at;
                    assert_eq!(after, tombstone(record, reason, operation.mark, at), "{name}: {session}");
                    assert!(at >= judged && at < shifted(judged, MARGIN), "{name}: {session} ended at {at}");
                    assert_eq!(place, None, "{name}: {session}");
                    let life = record.header.absolute_expires_at.millis() - judged.millis();
                    let life = life.min(shared::limits::TOMBSTONE_SECONDS as i64 * 1000).max(DAY);
                    let ttl = bench.ttl(&keys::session(session)).await;
                    assert!(ttl <= life && ttl > life - MARGIN, "{name}: {session} stays for {ttl}");
                    let event = event.expect("an event");
                    assert_eq!(event.id, format!("{}.{}", operation.event_id, session.key_text()), "{name}");
                    assert_eq!((&*event.kind, &*event.reason), ("session.ended", reason.as_str()), "{name}: {session}");
                    assert_eq!((event.user.clone(), &*event.detail), (slot.tag.text(), ""), "{name}: {session}");
                    assert_eq!(event.application, record.attributes.application_id, "{name}: {session}");
                    assert_eq!(event.attributes, countable(&record.attributes), "{name}: {session}");
                    assert_eq!(event.began_at, Some(record.header.created_at.millis()), "{name}: {session}");
                }
            },
        }
        let fresh_end = record.header.state == State::Active && now_bytes_differ(bench, session, bytes).await;
        assert_eq!(event.is_some(), fresh_end, "{name}: {session}");
    }
    assert_eq!(swept, expected, "{name}");
    bench.command(&redis::cmd("FLUSHALL")).await;
}

async fn now_bytes_differ(bench: &Bench, session: &shared::core::id::SessionId, before: &Option<Vec<u8>>) -> bool {
    bench.bytes(&keys::session(session)).await != *before
}

#[tokio::test]
async fn t_75_i_16_the_sweep_ends_what_has_lapsed_by_the_earlier_clock_only() {
    let bench = Bench::private().await;
    for index in 0..600 {
        compare(&bench, index).await;
    }
}

/// A queue longer than one batch is worked off batch by batch, each session once.
#[tokio::test]
async fn i_7_every_batch_of_a_sweep_has_events_of_its_own() {
    let bench = Bench::private().await;
    let mut rng = case_rng(SEED, 2);
    let now = clock::now();
    let slot = random_slot(&mut rng);
    let count = shared::limits::SWEEP_BATCH + 50;
    for _ in 0..count {
        let mut header = random_header(&mut rng, slot.tag, now);
        header.state = State::Active;
        header.absolute_expires_at = Timestamp::from_millis(now.millis() - MARGIN);
        let record = record_of(&mut rng, header);
        bench.place(&random_session(slot), &record).await;
    }
    let operation = operation(now);
    let mut ended = 0;
    for _ in 0..3 {
        let reply = bench.run(&scripts::sweep(slot.bucket, &operation, now)).await.expect("runs");
        ended += scripts::swept(reply).expect("a known reply").ended;
    }
    assert_eq!(ended, count as u64);
    let events = bench.events(slot.bucket, &operation).await;
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!((events.len(), ids.len()), (count, count));
}
