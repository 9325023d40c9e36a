//! `judge.lua` and `note.lua` against what `core::risk` says is to be written. T-01, T-74.

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Judged};
use shared::core::record::{Header, SessionRecord};
use shared::core::risk::{Commitment, Event};
use shared::core::session::{Liveness, liveness};
use shared::core::standing;
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, pick, random_attributes, random_digest, random_header, random_session,
    random_slot, record_of, without_data,
};

async fn compare(bench: &Bench, index: u64) -> &'static str {
    let mut rng = case_rng(SEED + 20, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let operation = operation(now);
    let mut header = random_header(&mut rng, slot.tag, now);
    if rng.random_bool(0.1) {
        header.last_operation = operation.mark;
    }
    let epoch = pick(&mut rng, &[0, header.epoch, header.epoch, header.epoch.saturating_add(1)]);
    let record = record_of(&mut rng, header);
    let session = random_session(slot);
    let judged = SessionRecord {
        header: Header {
            revision: record.header.revision.wrapping_sub(pick(&mut rng, &[0, 0, 0, 1, u32::MAX])),
            application_tag: if rng.random_bool(0.95) { OWN } else { OTHER },
            standing: pick(&mut rng, &standing::ALL),
            risk_score: rng.random_range(0..=100),
            address: random_digest(&mut rng),
            device: random_digest(&mut rng),
            ..record.header.clone()
        },
        attributes: random_attributes(&mut rng),
        sealed: Vec::new(),
    };
    let commitment = Commitment {
        history: rng.random_bool(0.5).then(|| b"judged history".to_vec()),
        event: pick(&mut rng, &[Event::None, Event::ContextChanged, Event::Raised, Event::Shadowed]),
        detail: pick(&mut rng, &["", "quarantine,score=70,network_change"]).to_owned(),
        record: judged.clone(),
    };
    let active = rng.random_bool(0.5);
    let name = format!("seed {SEED} judge {index}: {:?} epoch {epoch} {commitment:?}", record.header);
    let absent = rng.random_bool(0.05);
    if !absent {
        bench.place(&session, &record).await;
        bench.command(redis::cmd("PEXPIRE").arg(keys::session(&session)).arg(86_400_000)).await;
    }
    bench.set_epoch(slot, epoch).await;
    bench.set(&keys::history(slot), b"history").await;

    let done = SessionRecord {
        header: Header {
            standing: judged.header.standing,
            risk_score: judged.header.risk_score,
            address: judged.header.address,
            device: judged.header.device,
            revision: record.header.revision.wrapping_add(1),
            last_activity_at: match active {
                true => record.header.last_activity_at.max(now),
                false => record.header.last_activity_at,
            },
            last_operation: operation.mark,
            ..record.header.clone()
        },
        attributes: judged.attributes.clone(),
        sealed: record.sealed.clone(),
    };
    let (answer, stored, kind) = match liveness(&record.header, epoch, now) {
        _ if absent || judged.header.application_tag != OWN => (Judged::Missing, record.clone(), "missing"),
        Liveness::Ended(reason) | Liveness::Lapsed(reason) => (Judged::Ended(reason), record.clone(), "ended"),
        Liveness::Alive if record.header.last_operation == operation.mark => {
            (Judged::Done(Box::new(without_data(&record))), record.clone(), "repeated")
        }
        Liveness::Alive if judged.header.revision != record.header.revision => (Judged::Moved, record.clone(), "moved"),
        Liveness::Alive => (Judged::Done(Box::new(without_data(&done))), done, "judged"),
    };
    let call = scripts::judge(&session, slot, &commitment, active, &operation, now);
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        assert_eq!(scripts::judged(reply).as_ref(), Ok(&answer), "{name} {round}");
        let bytes = bench.bytes(&keys::session(&session)).await;
        assert_eq!(bytes, (!absent).then(|| stored.encode()), "{name} {round}: record");
        let kept = commitment.history.clone().filter(|_| kind == "judged");
        let history = bench.bytes(&keys::history(slot)).await;
        assert_eq!(history, Some(kept.unwrap_or_else(|| b"history".to_vec())), "{name} {round}: history");
        let events = bench.events(slot.bucket, &operation).await;
        let told: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.detail.as_str())).collect();
        let due = kind == "judged" && commitment.event != Event::None;
        let expected = due.then_some((commitment.event.as_str(), commitment.detail.as_str()));
        assert_eq!(told, Vec::from_iter(expected), "{name} {round}: events");
        for event in events {
            assert_eq!(event.application, judged.attributes.application_id, "{name} {round}");
        }
    }
    if !absent {
        assert!(bench.ttl(&keys::session(&session)).await > 30_000, "{name}: the record lost its end");
    }
    bench.command(&redis::cmd("FLUSHALL")).await;
    kind
}

#[tokio::test]
async fn t_01_a_judgement_commits_like_its_twin_once_and_on_its_revision_only() {
    let bench = Bench::private().await;
    let mut met = std::collections::BTreeMap::<_, u32>::new();
    for index in 0..2000 {
        *met.entry(compare(&bench, index).await).or_default() += 1;
    }
    println!("judgements met: {met:?}");
    let kinds = ["ended", "judged", "missing", "moved", "repeated"];
    assert!(kinds.iter().all(|kind| met.get(kind).is_some_and(|n| *n > 20)), "{met:?}");
}

#[tokio::test]
async fn a_note_tells_of_the_living_and_changes_nothing() {
    let bench = Bench::private().await;
    for index in 0..200 {
        let mut rng = case_rng(SEED + 21, index);
        let now = Timestamp::from_millis(BASE);
        let slot = random_slot(&mut rng);
        let header = random_header(&mut rng, slot.tag, now);
        let record = record_of(&mut rng, header);
        let session = random_session(slot);
        bench.place(&session, &record).await;
        let operation = operation(now);
        let tag = pick(&mut rng, &[OWN, OTHER]);
        bench
            .run(&scripts::note_session(&session, tag, "session.binding_refused", "network", &operation))
            .await
            .expect("runs");
        let events = bench.events(slot.bucket, &operation).await;
        let active = matches!(record.header.state, shared::core::record::State::Active) && tag == OWN;
        assert_eq!(events.len(), usize::from(active), "seed {SEED} note {index}");
        assert!(events.iter().all(|event| event.detail == "network" && event.kind == "session.binding_refused"));
        assert_eq!(bench.bytes(&keys::session(&session)).await, Some(record.encode()), "seed {SEED} note {index}");
        bench.command(&redis::cmd("FLUSHALL")).await;
    }
}
