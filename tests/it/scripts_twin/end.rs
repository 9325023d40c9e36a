//! `end.lua` against liveness. I-1, I-11, I-14.

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Ended};
use shared::core::attributes::Attributes;
use shared::core::end_reason::EndReason;
use shared::core::place::Place;
use shared::core::session::{Liveness, liveness};
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, own_token, pick, random_header, random_session, random_slot, record_of,
    tombstone,
};

async fn compare(bench: &Bench, index: u64) {
    let mut rng = case_rng(SEED + 3, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let record = {
        let header = random_header(&mut rng, slot.tag, now);
        record_of(&mut rng, header)
    };
    let caller_record = {
        let header = random_header(&mut rng, slot.tag, now);
        record_of(&mut rng, header)
    };
    let epoch = pick(&mut rng, &[0, record.header.epoch, record.header.epoch.saturating_add(1)]);
    let (session, other) = (random_session(slot), random_session(slot));
    let tag = if rng.random_bool(0.9) { OWN } else { OTHER };
    let reason =
        pick(&mut rng, &[EndReason::User, EndReason::Admin, EndReason::TokenRevoked, EndReason::DeviceRemoved]);
    let (absent, caller_absent) = (rng.random_bool(0.05), rng.random_bool(0.05));
    let caller = pick(&mut rng, &[None, Some(session), Some(other)]);
    let name = format!(
        "seed {SEED} end {index}: {:?} epoch {epoch} caller {caller:?} {:?}",
        record.header, caller_record.header
    );
    if !absent {
        bench.place(&session, &record).await;
    }
    if !caller_absent {
        bench.place(&other, &caller_record).await;
    }
    bench.set_epoch(slot, epoch).await;

    let operation = operation(now);
    let of = if caller == Some(session) { &record } else { &caller_record };
    let token = caller.map(|caller| own_token(&mut rng, caller, of));
    let (own, outdated) = token.map_or((None, false), |(own, outdated)| (own, outdated && own.is_some()));
    let caller = caller.filter(|_| own.is_some());
    let caller_over = match liveness(&caller_record.header, epoch, now) {
        _ if caller != Some(other) => None,
        _ if caller_absent => Some(None),
        Liveness::Alive if outdated || tag != OWN => Some(None),
        // T-74: a quarantined holder ends no other session.
        Liveness::Alive => (caller_record.header.standing == Standing::Quarantined).then_some(None),
        Liveness::Ended(reason) | Liveness::Lapsed(reason) => Some(Some(reason)),
    };
    let (answer, stored) = match liveness(&record.header, epoch, now) {
        _ if caller_over.is_some() => (Ended::CallerOver(caller_over.flatten()), record.clone()),
        _ if absent || tag != OWN => (Ended::Missing, record.clone()),
        Liveness::Ended(reason) => (Ended::Done(reason), record.clone()),
        _ if outdated && caller == Some(session) => (Ended::CallerOver(None), record.clone()),
        Liveness::Lapsed(reason) => (Ended::Done(reason), tombstone(&record, reason, operation.mark, now)),
        Liveness::Alive => (Ended::Done(reason), tombstone(&record, reason, operation.mark, now)),
    };
    let call = scripts::end(&session, slot, own.as_ref(), tag, reason, &operation, now);
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        assert_eq!(scripts::ended(reply), Ok(answer.clone()), "{name} {round}");
        let bytes = bench.bytes(&keys::session(&session)).await;
        assert_eq!(bytes, (!absent).then(|| stored.encode()), "{name} {round}: record");
        let kept = (!caller_absent).then(|| caller_record.encode());
        assert_eq!(bench.bytes(&keys::session(&other)).await, kept, "{name} {round}: the caller's record");
        let events = bench.events(slot.bucket, &operation).await;
        assert_eq!(events.len(), usize::from(stored != record), "{name} {round}: {events:?}");
        if let (Some(event), Ended::Done(reason)) = (events.first(), &answer) {
            assert_eq!((event.kind.as_str(), event.reason.as_str()), ("session.ended", reason.as_str()), "{name}");
            assert_eq!(event.application, record.attributes.application_id, "{name}");
            assert_eq!(event.began_at, Some(record.header.created_at.millis()), "{name}");
            assert_eq!(event.attributes, countable(&record.attributes), "{name}");
        }
    }
    let listed = bench.members(&keys::index(slot)).await.contains_key(&session.key_text());
    assert_eq!(listed, !absent && stored == record, "{name}: index");
    let queued = bench.members(&keys::expiry_queue(slot.bucket)).await.contains_key(&session.key_text());
    assert_eq!(queued, listed, "{name}: queue");
    bench
        .remove(&[
            keys::session(&session),
            keys::session(&other),
            keys::index(slot),
            keys::epoch(slot),
            keys::outbox(slot.bucket),
        ])
        .await;
}

/// What an end tells of its session: the kind of device and the country, and nothing that names a person.
pub(super) fn countable(attributes: &Attributes) -> Option<Attributes> {
    let place = attributes.place.as_ref();
    let place = place.map(|place| Place { point: None, name: String::new(), ..place.clone() });
    let device_type = attributes.device_type.clone().filter(|kind| !kind.is_empty());
    let told = Attributes { place, device_type, ..Attributes::default() };
    Some(told).filter(|told| *told != Attributes::default())
}

#[tokio::test]
async fn i_1_i_11_i_14_an_end_is_final_and_its_first_reason_stays() {
    let bench = Bench::private().await;
    for index in 0..2000 {
        compare(&bench, index).await;
    }
}
