//! `touch.lua` and `update.lua` against liveness and the version rule. I-11, T-68, T-69.

use rand::Rng;
use rand::rngs::StdRng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Updated, Writer};
use shared::core::attributes::Attributes;
use shared::core::context::ContextDigests;
use shared::core::record::{Header, SessionRecord};
use shared::core::risk::{Commitment, Event, unjudged};
use shared::core::session::{Liveness, liveness};
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, own_token, pick, random_attributes, random_digest, random_header,
    random_session, random_slot, record_of, shifted, tombstone, without_data,
};

async fn compare_touch(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 1, index);
    let base = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let header = random_header(&mut rng, slot.tag, base);
    let now = shifted(base, pick(&mut rng, &[0, 0, 0, -1, 1, -3_600_000]));
    let epoch = pick(&mut rng, &[0, header.epoch, header.epoch.saturating_add(1)]);
    let record = record_of(&mut rng, header);
    let session = random_session(slot);
    let name = format!("seed {SEED} touch {index}: {:?} epoch {epoch} now {now:?}", record.header);
    let absent = rng.random_bool(0.05);
    if !absent {
        bench.set(&keys::session(&session), &record.encode()).await;
    }
    bench.set_epoch(slot, epoch).await;

    let alive = !absent && liveness(&record.header, epoch, now) == Liveness::Alive;
    let reply = bench.run(&scripts::touch(&session, slot, now)).await.expect("runs");
    assert_eq!(scripts::touched(&reply), Ok(alive), "{name}");
    let touched = SessionRecord {
        header: Header { last_activity_at: record.header.last_activity_at.max(now), ..record.header.clone() },
        ..record.clone()
    };
    let stored = if alive { touched } else { record };
    assert_eq!(bench.bytes(&keys::session(&session)).await, (!absent).then(|| stored.encode()), "{name}");
    assert_eq!(bench.outbox(slot.bucket).await.len(), 0, "{name}: a touch is no event");
    bench.remove(&[keys::session(&session), keys::epoch(slot)]).await;
}

/// What a service found of a context: mostly of this revision of the record.
pub fn judgement(rng: &mut StdRng, record: &SessionRecord) -> Commitment {
    let header = Header {
        revision: record.header.revision.wrapping_sub(pick(rng, &[0, 0, 0, 1])),
        standing: pick(rng, &[Standing::Good, Standing::StepUp]),
        risk_score: rng.random_range(0..=100),
        address: random_digest(rng),
        device: random_digest(rng),
        ..record.header.clone()
    };
    // A judgement is no authentication.
    let attributes = Attributes { auth_time: record.attributes.auth_time, ..random_attributes(rng) };
    Commitment {
        record: SessionRecord { header, attributes, sealed: Vec::new() },
        history: rng.random_bool(0.5).then(|| b"judged history".to_vec()),
        event: pick(rng, &[Event::None, Event::ContextChanged, Event::Raised, Event::Shadowed]),
        detail: "step_up,score=60".to_owned(),
    }
}

async fn compare_update(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 2, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let header = random_header(&mut rng, slot.tag, now);
    let epoch = pick(&mut rng, &[0, header.epoch, header.epoch, header.epoch.saturating_add(1)]);
    let version = header.version;
    let expected = pick(&mut rng, &[version, version, version, version.wrapping_sub(1), version.wrapping_add(1), 0]);
    let tag = if rng.random_bool(0.95) { OWN } else { OTHER };
    let record = record_of(&mut rng, header);
    let session = random_session(slot);
    let sealed: Vec<u8> = (0..rng.random_range(0..300)).map(|_| rng.random()).collect();
    // The mark of the data that a patch was made from: none stated, that of the record, or of other data.
    let own_seal = record.sealed.get(..18).or(Some(&record.sealed));
    let seal = pick(&mut rng, &[None, None, own_seal, Some(&[9; 18])]);
    let name =
        format!("seed {SEED} update {index}: {:?} epoch {epoch} expected {expected} seal {seal:?}", record.header);
    // An application is not judged; a holder first.
    let digests = ContextDigests { address: random_digest(&mut rng), device: random_digest(&mut rng) };
    let context = rng.random_bool(0.5).then_some(digests);
    let revision = record.header.revision;
    let judgement = rng.random_bool(0.3).then(|| judgement(&mut rng, &record));
    bench.set(&keys::history(slot), b"history").await;
    let absent = rng.random_bool(0.05);
    if !absent {
        bench.place(&session, &record).await;
        bench.command(redis::cmd("PEXPIRE").arg(keys::session(&session)).arg(86_400_000)).await;
    }
    bench.set_epoch(slot, epoch).await;

    let operation = operation(now);
    let ended = |reason| (Updated::Ended(reason), tombstone(&record, reason, operation.mark, now));
    let done = SessionRecord {
        header: Header {
            version: version.wrapping_add(1),
            revision: record.header.revision.wrapping_add(1),
            last_activity_at: record.header.last_activity_at.max(now),
            last_operation: operation.mark,
            ..record.header.clone()
        },
        attributes: record.attributes.clone(),
        sealed: sealed.clone(),
    };
    let done = match &judgement {
        None => done,
        Some(judged) => SessionRecord {
            header: Header {
                standing: judged.record.header.standing,
                risk_score: judged.record.header.risk_score,
                address: judged.record.header.address,
                device: judged.record.header.device,
                ..done.header
            },
            attributes: judged.record.attributes.clone(),
            ..done
        },
    };
    // A holder's token, of this authentication or of one before a step-up (T-34).
    let (own, outdated) = own_token(&mut rng, session, &record);
    let (answer, stored) = match liveness(&record.header, epoch, now) {
        _ if absent || tag != OWN => (Updated::Missing, record.clone()),
        Liveness::Ended(reason) => (Updated::Ended(reason), record.clone()),
        _ if outdated => (Updated::Missing, record.clone()),
        Liveness::Lapsed(reason) => ended(reason),
        Liveness::Alive if judgement.as_ref().is_some_and(|judged| judged.record.header.revision != revision) => {
            (Updated::Moved, record.clone())
        }
        Liveness::Alive if judgement.is_none() && context.is_some_and(|context| unjudged(&record.header, context)) => (
            Updated::Unjudged { record: Box::new(without_data(&record)), history: b"history".to_vec() },
            record.clone(),
        ),
        Liveness::Alive if expected != version || (seal.is_some() && seal != own_seal) => {
            (Updated::OtherVersion(version), record.clone())
        }
        Liveness::Alive => (Updated::Done(Box::new(without_data(&done)), None), done),
    };
    let writer = Writer { own: own.as_ref(), lock: None, context, judgement: judgement.as_ref() };
    let call = scripts::update(&session, slot, tag, expected, seal, &sealed, writer, &operation, now);
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        assert_eq!(scripts::updated(reply).as_ref(), Ok(&answer), "{name} {round}");
        let bytes = bench.bytes(&keys::session(&session)).await;
        assert_eq!(bytes, (!absent).then(|| stored.encode()), "{name} {round}: record");
        let events = bench.events(slot.bucket, &operation).await;
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        let told = match answer {
            Updated::Done(..) => {
                let judged = judgement.as_ref().map(|judged| judged.event.as_str()).filter(|kind| !kind.is_empty());
                judged.into_iter().chain(["session.updated"]).collect()
            }
            _ if stored != record => vec!["session.ended"],
            _ => vec![],
        };
        assert_eq!(kinds, told, "{name} {round}: events");
    }
    let learned = judgement.as_ref().and_then(|judged| judged.history.clone());
    let learned = learned.filter(|_| matches!(answer, Updated::Done(..))).unwrap_or_else(|| b"history".to_vec());
    assert_eq!(bench.bytes(&keys::history(slot)).await, Some(learned), "{name}: history");
    if !absent {
        assert!(bench.ttl(&keys::session(&session)).await > 30_000, "{name}: the record lost its end");
    }
    bench
        .remove(&[
            keys::session(&session),
            keys::index(slot),
            keys::epoch(slot),
            keys::outbox(slot.bucket),
            keys::history(slot),
        ])
        .await;
}

#[tokio::test]
async fn t_68_i_11_a_touch_changes_the_living_only() {
    let bench = Bench::private().await;
    for index in 0..2000 {
        compare_touch(&bench, index).await;
    }
}

#[tokio::test]
async fn t_69_i_11_an_update_needs_the_version_and_a_living_session() {
    let bench = Bench::private().await;
    for index in 0..2000 {
        compare_update(&bench, index).await;
    }
}
