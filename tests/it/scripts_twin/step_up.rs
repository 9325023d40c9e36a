//! `step_up.lua`: what was decided of a revision, or nothing. I-5, I-11, T-63.

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, SteppedUp};
use shared::core::device::TrustLevel;
use shared::core::policy::Policy;
use shared::core::session::{Liveness, liveness};
use shared::core::step_up::{Assertion, decide};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{
    Bench, OTHER, OWN, case_rng, operation, pick, random_header, random_session, random_slot, record_of, shifted,
    tombstone, without_data,
};

async fn compare(bench: &Bench, index: u64) -> &'static str {
    let mut rng = case_rng(SEED + 22, index);
    let now = Timestamp::from_millis(BASE);
    let slot = random_slot(&mut rng);
    let mut header = random_header(&mut rng, slot.tag, now);
    header.application_tag = if rng.random_bool(0.95) { OWN } else { OTHER };
    header.created_at = shifted(now, -rng.random_range(10_000..1_000_000_000));
    let epoch = pick(&mut rng, &[0, header.epoch, header.epoch.saturating_add(1)]);
    let record = record_of(&mut rng, header);
    let session = random_session(slot);
    let operation = operation(now);
    let rules = Policy::default().effective(None, TrustLevel::New);
    let assertion = Assertion {
        acr: rng.random_bool(0.5).then(|| "aal2".to_owned()),
        amr: rng.random_bool(0.5).then(|| vec!["otp".to_owned(), "pwd".to_owned()]),
        auth_time: shifted(now, -rng.random_range(0..5000)),
        idle_timeout_seconds: rng.random_bool(0.3).then_some(900),
        absolute_timeout_seconds: rng.random_bool(0.3).then_some(7200),
    };
    let name = format!("seed {SEED} step-up {index}: {:?} epoch {epoch} {assertion:?}", record.header);
    bench.place(&session, &record).await;
    bench.command(redis::cmd("PEXPIRE").arg(keys::session(&session)).arg(86_400_000)).await;
    bench.set_epoch(slot, epoch).await;

    let mut stepped = decide(&record, &rules, &assertion, operation.mark, now).expect("later and recent");
    stepped.header.application_tag = OWN;
    let revision = record.header.revision;
    let judged = pick(&mut rng, &[revision, revision, revision, revision.wrapping_sub(1)]);
    let unchanged = record.clone();
    let (answer, stored) = match liveness(&record.header, epoch, now) {
        _ if record.header.application_tag != OWN => (SteppedUp::Missing, unchanged),
        Liveness::Ended(reason) => (SteppedUp::Ended(reason), unchanged),
        Liveness::Lapsed(reason) => (SteppedUp::Ended(reason), tombstone(&record, reason, operation.mark, now)),
        Liveness::Alive if judged != revision => (SteppedUp::Moved, unchanged),
        Liveness::Alive => (SteppedUp::Done(Box::new(without_data(&stepped))), stepped.clone()),
    };
    let call = scripts::step_up(&session, slot, judged, &stepped, None, &operation, now);
    for round in ["once", "twice"] {
        let reply = bench.run(&call).await.unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        assert_eq!(scripts::stepped_up(reply), Ok(answer.clone()), "{name} {round}");
        assert_eq!(bench.bytes(&keys::session(&session)).await, Some(stored.encode()), "{name} {round}: record");
        let told = bench.events(slot.bucket, &operation).await.len();
        assert_eq!(told, usize::from(stored != record), "{name} {round}: events");
    }
    if matches!(answer, SteppedUp::Done(_)) {
        // The record outlives the moved end, and the queue knows the new deadline.
        let deadline = stored.header.last_activity_at.plus_seconds(u64::from(stored.header.idle_timeout_seconds));
        let deadline = deadline.min(stored.header.absolute_expires_at).millis();
        let queued = bench.members(&keys::expiry_queue(slot.bucket)).await;
        assert_eq!(queued.get(&session.key_text()), Some(&deadline), "{name}: queue");
        let gone = redis::from_redis_value(bench.command(redis::cmd("PEXPIRETIME").arg(keys::session(&session))).await);
        assert_eq!(gone, Ok(stored.header.absolute_expires_at.millis() + 86_400_000), "{name}: TTL");
    }
    bench.remove(&[keys::session(&session), keys::index(slot), keys::epoch(slot), keys::outbox(slot.bucket)]).await;
    bench.remove(&[keys::expiry_queue(slot.bucket)]).await;
    match answer {
        SteppedUp::Done(_) => "done",
        SteppedUp::Moved => "moved",
        SteppedUp::Missing => "missing",
        SteppedUp::Ended(_) => "ended",
    }
}

#[tokio::test]
async fn i_5_t_63_a_step_up_commits_what_was_judged_or_nothing() {
    let bench = Bench::private().await;
    let mut met = std::collections::BTreeMap::<&str, u64>::new();
    for index in 0..1500 {
        *met.entry(compare(&bench, index).await).or_default() += 1;
    }
    assert_eq!(met.len(), 4, "{met:?}");
}
