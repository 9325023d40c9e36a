//! `activity.lua` against liveness, judgement and the user's wish. T-103.

use std::collections::BTreeMap;

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Recorded, Writer};
use shared::core::activity::Activity;
use shared::core::context::ContextDigests;
use shared::core::id::Bucket;
use shared::core::privacy::{ACTIVITY_TRACKING_OFF, Privacy};
use shared::core::record::{Header, SessionRecord};
use shared::core::risk::unjudged;
use shared::core::session::{Liveness, liveness};
use shared::core::time::Timestamp;
use shared::limits::CLOCK_LEEWAY_SECONDS;

use super::write::judgement;
use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, own_token, pick, random_digest, random_header, random_session, random_slot,
    record_of, tombstone, without_data,
};

/// The entries of an outbox as fields by name: a batch of activities is no event of the audit.
async fn entries(bench: &Bench, bucket: Bucket) -> Vec<BTreeMap<String, String>> {
    let value = bench.command(redis::cmd("XRANGE").arg(keys::outbox(bucket)).arg("-").arg("+")).await;
    let entries: Vec<(String, Vec<Vec<u8>>)> = redis::from_redis_value(value).expect("stream entries");
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let fields = |fields: &Vec<Vec<u8>>| fields.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    entries.iter().map(|(_, entry)| fields(entry)).collect()
}

async fn compare(bench: &Bench, index: u64) -> &'static str {
    let mut rng = case_rng(SEED + 31, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let header = random_header(&mut rng, slot.tag, now);
    let epoch = pick(&mut rng, &[0, header.epoch, header.epoch, header.epoch.saturating_add(1)]);
    let tag = if rng.random_bool(0.95) { OWN } else { OTHER };
    let record = record_of(&mut rng, header);
    let session = random_session(slot);
    let digests = ContextDigests { address: random_digest(&mut rng), device: random_digest(&mut rng) };
    let context = rng.random_bool(0.5).then_some(digests);
    let judgement = rng.random_bool(0.3).then(|| judgement(&mut rng, &record));
    let leeway = (CLOCK_LEEWAY_SECONDS * 1000) as i64;
    let earliest = record.header.created_at.millis() - leeway + pick(&mut rng, &[-1, 0, 1, 50_000, 50_000, 50_000]);
    let activity = |name: &str, at_millis| Activity { name: name.into(), at_millis, properties: None };
    let activities = [activity("page.left", BASE.max(earliest)), activity("page.viewed", earliest)];
    let mirror = pick(&mut rng, &[None, None, Some(0), Some(ACTIVITY_TRACKING_OFF), Some(14), Some(15)]);
    let defaults = Privacy::from_bits(pick(&mut rng, &[0, 0, ACTIVITY_TRACKING_OFF, 14]));
    if let Some(bits) = mirror {
        bench.set(&keys::privacy(slot), &[bits, 0, 0, 0, 1]).await;
    }
    bench.set(&keys::history(slot), b"history").await;
    let absent = rng.random_bool(0.05);
    if !absent {
        bench.place(&session, &record).await;
        bench.command(redis::cmd("PEXPIRE").arg(keys::session(&session)).arg(86_400_000)).await;
    }
    bench.set_epoch(slot, epoch).await;
    let (own, outdated) = own_token(&mut rng, session, &record);
    let name = format!(
        "seed {SEED} activity {index}: {record:?} epoch {epoch} {context:?} {judgement:?} {mirror:?} {defaults:?}"
    );

    let operation = operation(now);
    let used = match &judgement {
        None => SessionRecord {
            header: Header { last_activity_at: record.header.last_activity_at.max(now), ..record.header.clone() },
            ..record.clone()
        },
        Some(judged) => SessionRecord {
            header: Header {
                standing: judged.record.header.standing,
                risk_score: judged.record.header.risk_score,
                address: judged.record.header.address,
                device: judged.record.header.device,
                last_activity_at: record.header.last_activity_at.max(now),
                revision: record.header.revision.wrapping_add(1),
                ..record.header.clone()
            },
            attributes: judged.record.attributes.clone(),
            sealed: record.sealed.clone(),
        },
    };
    let moved = judgement.as_ref().is_some_and(|judged| judged.record.header.revision != record.header.revision);
    let unknown = judgement.is_none() && context.is_some_and(|context| unjudged(&record.header, context));
    let off = !mirror.map_or(defaults, Privacy::from_bits).activity_tracking();
    let (answer, stored) = match liveness(&record.header, epoch, now) {
        _ if absent || tag != OWN => (Recorded::Missing, record.clone()),
        Liveness::Ended(reason) => (Recorded::Ended(reason), record.clone()),
        _ if outdated => (Recorded::Missing, record.clone()),
        Liveness::Lapsed(reason) => (Recorded::Ended(reason), tombstone(&record, reason, operation.mark, now)),
        Liveness::Alive if moved => (Recorded::Moved, record.clone()),
        Liveness::Alive if unknown => (
            Recorded::Unjudged { record: Box::new(without_data(&record)), history: b"history".to_vec() },
            record.clone(),
        ),
        Liveness::Alive if earliest + leeway < record.header.created_at.millis() => {
            (Recorded::TooEarly, record.clone())
        }
        Liveness::Alive if off => (Recorded::OptedOut, used),
        Liveness::Alive => (Recorded::Done, used),
    };
    let writer = Writer { own: own.as_ref(), lock: None, context, judgement: judgement.as_ref() };
    let call =
        scripts::record_activity(&session, slot, (tag, "caller"), &activities, defaults, writer, &operation, now);
    let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(scripts::recorded(reply).as_ref(), Ok(&answer), "{name}");
    let bytes = bench.bytes(&keys::session(&session)).await;
    assert_eq!(bytes, (!absent).then(|| stored.encode()), "{name}: record");

    let used = matches!(answer, Recorded::Done | Recorded::OptedOut);
    let found = entries(bench, slot.bucket).await;
    let kinds: Vec<&str> = found.iter().map(|entry| entry["t"].as_str()).collect();
    let mut told: Vec<&str> = Vec::new();
    if used {
        told.extend(judgement.as_ref().map(|judged| judged.event.as_str()).filter(|kind| !kind.is_empty()));
    } else if stored != record {
        told.push("session.ended");
    }
    told.extend((answer == Recorded::Done).then_some("session.activity"));
    assert_eq!(kinds, told, "{name}: entries");
    if answer == Recorded::Done {
        let entry = found.last().expect("an entry");
        let queued: Vec<Activity> = serde_json::from_str(&entry["y"]).expect("activities");
        assert_eq!(queued, activities, "{name}");
        let key_text = session.key_text();
        assert_eq!((entry["i"].as_str(), &entry["s"]), (operation.event_id.as_str(), &key_text), "{name}");
        let user = slot.tag.text();
        assert_eq!((entry["a"].as_str(), entry["u"].as_str()), ("caller", user.as_ref()), "{name}");
        assert!(!entry.contains_key("c") && !entry.contains_key("p"), "{name}: it is no event and tells nothing else");
    }
    let learned = judgement.as_ref().filter(|_| used).and_then(|judged| judged.history.clone());
    let history = bench.bytes(&keys::history(slot)).await;
    assert_eq!(history, Some(learned.unwrap_or_else(|| b"history".to_vec())), "{name}: history");
    bench.command(&redis::cmd("FLUSHALL")).await;
    match answer {
        Recorded::Done => "recorded",
        Recorded::OptedOut => "opted out",
        Recorded::TooEarly => "too early",
        Recorded::Missing => "missing",
        Recorded::NotShared => "not shared",
        Recorded::Ended(_) => "ended",
        Recorded::Unjudged { .. } => "unjudged",
        Recorded::Moved => "moved",
    }
}

#[tokio::test]
async fn t_103_activities_are_queued_for_the_living_who_want_it() {
    let bench = Bench::private().await;
    let mut seen = BTreeMap::new();
    for index in 0..1500 {
        *seen.entry(compare(&bench, index).await).or_insert(0) += 1;
    }
    let kinds: Vec<&str> = seen.keys().copied().collect();
    assert_eq!(kinds, ["ended", "missing", "moved", "opted out", "recorded", "too early", "unjudged"], "{seen:?}");
}
