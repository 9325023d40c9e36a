//! `revoke_user.lua` against a small model. I-1, I-14.

use std::collections::BTreeMap;

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts;
use shared::core::end_reason::EndReason;
use shared::core::ledger::Spared;
use shared::core::record::{Header, SessionRecord, State};
use shared::core::session::{Liveness, liveness};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, pick, random_header, random_session, random_slot, record_of, tombstone,
};

async fn compare(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 7, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let before = pick(&mut rng, &[0, 3, 3]);
    let epoch = before + pick(&mut rng, &[0, 1, 1, 1, 2]);
    bench.set_epoch(slot, before).await;
    let mut held = Vec::new();
    for _ in 0..rng.random_range(0..8) {
        let mut header = random_header(&mut rng, slot.tag, now);
        header.epoch = pick(&mut rng, &[before, before, before.saturating_sub(1), epoch]);
        header.application_tag = if rng.random_bool(0.7) { OWN } else { OTHER };
        let record = record_of(&mut rng, header);
        let session = random_session(slot);
        let indexed = rng.random_bool(0.9);
        if indexed {
            bench.place(&session, &record).await;
        } else {
            bench.set(&keys::session(&session), &record.encode()).await;
        }
        held.push((session, record, indexed));
    }
    let spared = held.first().map(|(session, ..)| *session).filter(|_| rng.random_bool(0.5));
    let spared = spared.map(|session| Spared { session, floor: pick(&mut rng, &[0, before, before + 1]) });
    let name = format!("seed {SEED} revoke {index}: {before} to {epoch}, spared {spared:?}, {held:#?}");

    let operation = operation(now);
    let call = scripts::revoke_user(slot, epoch, spared.as_ref(), "demo", &operation, now);
    let mut stored = Vec::new();
    let mut ended = BTreeMap::new();
    for (session, record, indexed) in &held {
        let header = &record.header;
        let kept = spared.is_some_and(|spared| spared.session == *session && header.epoch >= spared.floor)
            && liveness(header, before, now) == Liveness::Alive;
        let after = if kept && header.epoch < epoch {
            let revision = header.revision.wrapping_add(1);
            SessionRecord { header: Header { epoch, revision, ..header.clone() }, ..record.clone() }
        } else if header.state == State::Active && header.epoch < epoch && *indexed {
            ended.insert(session.key_text(), "revoke_all".to_owned());
            tombstone(record, EndReason::RevokeAll, operation.mark, now)
        } else {
            record.clone()
        };
        stored.push((*session, after));
    }
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        let count = if round == "once" { ended.len() as u64 } else { 0 };
        assert_eq!(scripts::revoked(reply), Ok(count), "{name} {round}");
        for (session, record) in &stored {
            let bytes = bench.bytes(&keys::session(session)).await;
            assert_eq!(bytes.as_deref(), Some(&*record.encode()), "{name} {round}: {session}");
            // Complete even where the index drifted: nobody of an earlier epoch but the spared one lives.
            let alive = liveness(&record.header, epoch, now) == Liveness::Alive;
            let exception = spared.is_some_and(|spared| spared.session == *session);
            assert!(!alive || exception || record.header.epoch >= epoch, "{name} {round}: {session}");
        }
        let events = bench.events(slot.bucket, &operation).await;
        let told: BTreeMap<_, _> = events
            .iter()
            .filter(|event| event.kind == "session.ended")
            .map(|event| (event.session.clone(), event.reason.clone()))
            .collect();
        assert_eq!(told, ended, "{name} {round}");
        let raised = events.iter().filter(|event| event.kind == "user.revoked").count();
        assert_eq!(raised, usize::from(epoch > before), "{name} {round}");
        assert_eq!(events.len(), told.len() + raised, "{name} {round}");
        let ids: std::collections::BTreeSet<_> = events.iter().map(|event| &event.id).collect();
        assert_eq!(ids.len(), events.len(), "{name} {round}: ids of events repeat");
    }
    let mirror = bench.bytes(&keys::epoch(slot)).await.unwrap_or_else(|| b"0".to_vec());
    assert_eq!(mirror, before.max(epoch).to_string().into_bytes(), "{name}");
    bench.command(&redis::cmd("FLUSHALL")).await;
}

#[tokio::test]
async fn i_1_i_14_a_revoked_epoch_is_complete_whatever_the_index_says() {
    let bench = Bench::private().await;
    for index in 0..1000 {
        compare(&bench, index).await;
    }
}

/// More sessions than one script ends: what a second run ends has events of its own.
#[tokio::test]
async fn i_7_every_end_of_a_large_revocation_has_its_own_event() {
    let bench = Bench::private().await;
    let mut rng = case_rng(SEED, 1);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let count = shared::limits::REVOKE_BATCH + 30;
    for _ in 0..count {
        let header = Header {
            state: State::Active,
            epoch: 0,
            idle_timeout_seconds: 3600,
            last_activity_at: now,
            absolute_expires_at: now.plus_seconds(3600),
            ..random_header(&mut rng, slot.tag, now)
        };
        let record = record_of(&mut rng, header);
        bench.place(&random_session(slot), &record).await;
    }
    let operation = operation(now);
    let call = scripts::revoke_user(slot, 1, None, "demo", &operation, now);
    for _ in 0..2 {
        bench.run(&call).await.expect("runs");
    }
    let events = bench.events(slot.bucket, &operation).await;
    assert_eq!(events.len(), count + 1);
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len(), "the audit takes an event with a known id for a repetition");
}
