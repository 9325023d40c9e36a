//! `list.lua` against a sorted list of the living.

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Listed, Own, PageCursor};
use shared::core::context::ContextDigests;
use shared::core::risk::unjudged;
use shared::core::session::{Liveness, liveness};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, authenticated, case_rng, pick, random_digest, random_header, random_session, random_slot,
    record_of, shifted, unreadable, without_data,
};

async fn compare(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 5, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let epoch = pick(&mut rng, &[0, 3, 3]);
    bench.set_epoch(slot, epoch).await;
    let mut living = Vec::new();
    let mut names = vec![keys::index(slot), keys::epoch(slot), keys::expiry_queue(slot.bucket)];
    for _ in 0..rng.random_range(0..12) {
        let mut header = random_header(&mut rng, slot.tag, now);
        header.epoch = pick(&mut rng, &[3, 3, 2]);
        header.created_at = shifted(now, -rng.random_range(1..4));
        header.application_tag = if rng.random_bool(0.9) { OWN } else { OTHER };
        let record = record_of(&mut rng, header);
        let session = random_session(slot);
        let readable = rng.random_bool(0.95);
        let bytes = if readable { record.encode() } else { unreadable(&mut rng, &record) };
        bench.place_bytes(&session, slot, &bytes, record.header.created_at, record.header.created_at).await;
        names.push(keys::session(&session));
        let header = &record.header;
        if readable && header.application_tag == OWN && liveness(header, epoch, now) == Liveness::Alive {
            living.push((session, without_data(&record), Vec::new()));
        }
    }
    living.sort_by_key(|(session, record, _)| (record.header.created_at, session.key_text()));
    living.reverse();

    // Walk all pages: nobody is missing, nobody comes twice, and each page says whether another one follows.
    let page_size = rng.random_range(1..5);
    let mut seen = Vec::new();
    let mut after: Option<PageCursor> = None;
    loop {
        let call = scripts::list(slot, None, OWN, after.as_ref(), page_size, now);
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("seed {SEED} list {index}: {error}"));
        let Ok(Listed::Page(mut page)) = scripts::listed(slot.bucket, reply) else { panic!("list {index}: a page") };
        let more = page.len() > page_size;
        page.truncate(page_size);
        after = page.last().map(|(session, record, _)| PageCursor {
            created_at: record.header.created_at,
            key_text: session.key_text(),
        });
        seen.extend(page);
        assert_eq!(more, seen.len() < living.len(), "seed {SEED} list {index}: {seen:?} of {living:?}");
        if !more {
            break;
        }
    }
    assert_eq!(seen, living, "seed {SEED} list {index}");
    bench.remove(&names).await;
}

async fn compare_caller(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 6, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let header = random_header(&mut rng, slot.tag, now);
    let record = record_of(&mut rng, header);
    let session = random_session(slot);
    let epoch = pick(&mut rng, &[0, record.header.epoch, record.header.epoch.saturating_add(1)]);
    bench.set_epoch(slot, epoch).await;
    let context = ContextDigests { address: random_digest(&mut rng), device: random_digest(&mut rng) };
    let absent = rng.random_bool(0.1);
    if !absent {
        bench.place(&session, &record).await;
    }
    let outdated = rng.random_bool(0.2);
    let auth_time = authenticated(&record);
    let auth_time = if outdated { Some(auth_time.unwrap_or(0) + 1) } else { auth_time };
    let own = Own { session, auth_time };
    let expected = match liveness(&record.header, epoch, now) {
        _ if absent => Listed::CallerOver(None),
        Liveness::Ended(reason) | Liveness::Lapsed(reason) => Listed::CallerOver(Some(reason)),
        Liveness::Alive if outdated => Listed::CallerOver(None),
        Liveness::Alive if unjudged(&record.header, context) => Listed::Unjudged,
        Liveness::Alive => Listed::Page(vec![(session, without_data(&record), Vec::new())]),
    };
    let reply = bench.run(&scripts::list(slot, Some((&own, context)), OWN, None, 10, now)).await.expect("runs");
    assert_eq!(scripts::listed(slot.bucket, reply), Ok(expected), "seed {SEED} list for a holder {index}");
    let bytes = bench.bytes(&keys::session(&session)).await;
    assert_eq!(bytes, (!absent).then(|| record.encode()), "seed {SEED} list for a holder {index}: a list reads only");
}

#[tokio::test]
async fn pages_hold_every_living_session_once_newest_first() {
    let bench = Bench::private().await;
    for index in 0..500 {
        compare(&bench, index).await;
    }
}

#[tokio::test]
async fn i_1_a_holder_whose_session_is_over_sees_no_list() {
    let bench = Bench::private().await;
    for index in 0..600 {
        compare_caller(&bench, index).await;
    }
}
