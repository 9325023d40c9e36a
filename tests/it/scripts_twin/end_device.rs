//! `end_device.lua` against a small model. I-1, I-11, I-14.

use std::collections::BTreeMap;

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts;
use shared::core::device_tag::DeviceTag;
use shared::core::end_reason::EndReason;
use shared::core::record::{SessionRecord, State};
use shared::core::session::{Liveness, liveness};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, DEVICE, OTHER, OWN, case_rng, operation, pick, random_header, random_session, random_slot, record_of,
    tombstone,
};

/// Reason that the script must end a record with; `None` for one that it must leave.
fn expected(
    record: &SessionRecord,
    device: DeviceTag,
    device_epoch: u32,
    epoch: u32,
    now: Timestamp,
) -> Option<EndReason> {
    let concerned = record.header.state == State::Active
        && record.header.device_epoch < device_epoch
        && record.attributes.device_tag == Some(device);
    match liveness(&record.header, epoch, now) {
        _ if !concerned => None,
        Liveness::Lapsed(reason) => Some(reason),
        Liveness::Alive | Liveness::Ended(_) => Some(EndReason::DeviceRemoved),
    }
}

async fn compare(bench: &Bench, index: u64) -> usize {
    let mut rng = case_rng(SEED + 9, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let device = DeviceTag::from_bytes(DEVICE);
    let before = pick(&mut rng, &[0, 5, 5]);
    let device_epoch = before + pick(&mut rng, &[0, 1, 1, 2]);
    let epoch = pick(&mut rng, &[0, 3]);
    bench.set_epoch(slot, epoch).await;
    bench.set(&keys::device_epoch(slot, device), before.to_string().as_bytes()).await;
    let mut held = Vec::new();
    for _ in 0..rng.random_range(0..8) {
        let mut header = random_header(&mut rng, slot.tag, now);
        header.epoch = pick(&mut rng, &[3, 3, 3, 2]);
        header.device_epoch = pick(&mut rng, &[before, before, before.saturating_sub(1), device_epoch]);
        header.application_tag = if rng.random_bool(0.7) { OWN } else { OTHER };
        let record = record_of(&mut rng, header);
        let session = random_session(slot);
        bench.place(&session, &record).await;
        held.push((session, record));
    }
    let name = format!("seed {SEED} device {index}: {before} to {device_epoch}, epoch {epoch}, {held:#?}");
    let operation = operation(now);
    let call = scripts::end_device(slot, device, device_epoch, EndReason::DeviceRemoved, "demo", &operation, now);
    let mut ended = BTreeMap::new();
    let mut stored = Vec::new();
    for (session, record) in &held {
        let reason = expected(record, device, device_epoch, epoch, now);
        if let Some(reason) = reason {
            ended.insert(session.key_text(), reason.as_str().to_owned());
        }
        let after = reason.map_or_else(|| record.clone(), |reason| tombstone(record, reason, operation.mark, now));
        stored.push((*session, after));
    }
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        let count = if round == "once" { ended.len() as u64 } else { 0 };
        assert_eq!(scripts::device_ended(&reply), Ok(count), "{name} {round}");
        for (session, record) in &stored {
            let bytes = bench.bytes(&keys::session(session)).await;
            assert_eq!(bytes.as_deref(), Some(&*record.encode()), "{name} {round}: {session}");
        }
        let events = bench.events(slot.bucket, &operation).await;
        let told: BTreeMap<_, _> = events
            .iter()
            .filter(|event| event.kind == "session.ended")
            .map(|event| (event.session.clone(), event.reason.clone()))
            .collect();
        assert_eq!(told, ended, "{name} {round}");
        let raised = events.iter().filter(|event| event.kind == "device.revoked").count();
        assert_eq!(raised, usize::from(device_epoch > before), "{name} {round}");
        assert_eq!(events.len(), told.len() + raised, "{name} {round}");
    }
    let mirror = bench.bytes(&keys::device_epoch(slot, device)).await;
    assert_eq!(mirror, Some(before.max(device_epoch).to_string().into_bytes()), "{name}");
    bench.command(&redis::cmd("FLUSHALL")).await;
    ended.len()
}

#[tokio::test]
async fn i_11_i_14_the_sessions_of_a_device_end_once_and_no_others() {
    let bench = Bench::private().await;
    let mut ended = 0;
    for index in 0..1000 {
        ended += compare(&bench, index).await;
    }
    assert!(ended > 300, "only {ended} sessions ended");
}
