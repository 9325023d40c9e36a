//! `bind_key.lua` against `core::dbsc::decide`. T-17, I-11, I-14.

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, KeyBound};
use shared::core::dbsc::{Verdict, decide};
use shared::core::public_key::PublicKey;
use shared::core::record::{Header, KEY_BOUND, SessionRecord};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, pick, random_header, random_session, random_slot, record_of, tombstone,
    without_data,
};

async fn compare(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 20, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let header = random_header(&mut rng, slot.tag, now);
    let epoch = pick(&mut rng, &[0, header.epoch, header.epoch, header.epoch.saturating_add(1)]);
    let mut record = record_of(&mut rng, header);
    if record.header.flags & KEY_BOUND == 0 {
        (record.attributes.jkt, record.attributes.device_key) = (None, None);
    }
    let tag = if rng.random_bool(0.9) { OWN } else { OTHER };
    let session = random_session(slot);
    let key = PublicKey::from_bytes([rng.random(); 64]);
    let mut operation = operation(now);
    if rng.random_bool(0.1) {
        operation.mark = record.header.last_operation;
    }
    let absent = rng.random_bool(0.05);
    let name = format!("seed {SEED} bind {index}: {:?} epoch {epoch} absent {absent}", record.header);
    if !absent {
        bench.place(&session, &record).await;
        bench.command(redis::cmd("PEXPIRE").arg(keys::session(&session)).arg(86_400_000)).await;
    }
    bench.set_epoch(slot, epoch).await;

    let bound = SessionRecord {
        header: Header {
            flags: record.header.flags | KEY_BOUND,
            revision: record.header.revision.wrapping_add(1),
            last_activity_at: record.header.last_activity_at.max(now),
            last_operation: operation.mark,
            ..record.header.clone()
        },
        attributes: shared::core::attributes::Attributes {
            jkt: Some(key.thumbprint()),
            device_key: Some(*key.bytes()),
            ..record.attributes.clone()
        },
        sealed: record.sealed.clone(),
    };
    let repeated = record.header.flags & KEY_BOUND != 0;
    let (answer, stored, event) = match decide(&record.header, tag, operation.mark, epoch, now) {
        _ if absent => (KeyBound::Missing, record.clone(), None),
        Verdict::Missing => (KeyBound::Missing, record.clone(), None),
        Verdict::Ended(reason) => (KeyBound::Ended(reason), record.clone(), None),
        Verdict::Lapsed(reason) => {
            (KeyBound::Ended(reason), tombstone(&record, reason, operation.mark, now), Some("session.ended"))
        }
        Verdict::Bound if repeated => (KeyBound::Done(Box::new(without_data(&record))), record.clone(), None),
        Verdict::Bound => (KeyBound::Done(Box::new(without_data(&bound))), bound.clone(), Some("session.key_bound")),
        Verdict::Taken => (KeyBound::Taken, record.clone(), Some("session.key_refused")),
    };
    let call = scripts::bind_key(&session, slot, tag, &key, &operation, now);
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        assert_eq!(scripts::key_bound(reply).as_ref(), Ok(&answer), "{name} {round}");
        let bytes = bench.bytes(&keys::session(&session)).await;
        let found = bytes.map(|bytes| SessionRecord::decode(&bytes).expect("readable"));
        assert_eq!(found, (!absent).then(|| stored.clone()), "{name} {round}: record");
        let mut events = bench.events(slot.bucket, &operation).await;
        // A refusal may be told twice, under one id: the audit takes it once.
        events.dedup();
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, event.into_iter().collect::<Vec<_>>(), "{name} {round}: events");
    }
    if !absent {
        assert!(bench.ttl(&keys::session(&session)).await > 30_000, "{name}: the record lost its end");
    }
    bench.remove(&[keys::session(&session), keys::index(slot), keys::epoch(slot), keys::outbox(slot.bucket)]).await;
}

#[tokio::test]
async fn t_17_a_key_is_bound_once_in_the_life_of_a_session() {
    let bench = Bench::private().await;
    for index in 0..2000 {
        compare(&bench, index).await;
    }
}
