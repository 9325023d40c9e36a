//! `rate.lua` and `miss.lua` against `core::rate`. T-58.

use rand::Rng;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts;
use shared::core::crypto::SecretKey;
use shared::core::rate::{self, Counted, Party};
use shared::core::time::Timestamp;

use super::{BASE, SEED};
use crate::script_bench::{Bench, case_rng, operation, pick, random_session, random_slot};

const WINDOW: u64 = 60_000;

#[tokio::test]
async fn leases_are_granted_as_decided_and_never_more_than_the_quota() {
    let bench = Bench::private().await;
    let routing = SecretKey::new([4; 32]);
    for index in 0..300 {
        let mut rng = case_rng(SEED + 30, index);
        let place = Party::Application(rng.random()).place(Counted::Requests, &routing);
        let quota = pick(&mut rng, &[1, 2, 7, 60, 600, 10_000_000]);
        let mut leased = 0;
        for turn in 0..rng.random_range(1..30) {
            let wanted = pick(&mut rng, &[1, 2, 30, 50]);
            let name = format!("seed {SEED} rate {index}.{turn}: {leased} of {quota}, {wanted} wanted");
            let expected = rate::grant(leased, quota, wanted);
            let reply = bench.run(&scripts::lease(&place, quota, wanted)).await.expect("runs");
            let reply = scripts::leased(reply).expect("a known reply");
            leased += u64::from(expected);
            assert_eq!(reply.granted, expected, "{name}");
            assert_eq!(u64::from(reply.unleased), u64::from(quota) - leased, "{name}");
            assert!((1..=WINDOW).contains(&reply.left_millis), "{name}: {reply:?}");
        }
        assert!(leased <= u64::from(quota));
        // A policy that allows less from one request to the next.
        let reply = bench.run(&scripts::lease(&place, 1, 1)).await.expect("runs");
        let reply = scripts::leased(reply).expect("a known reply");
        assert_eq!((reply.granted, reply.unleased), (0, 0), "seed {SEED} rate {index}");
        let left = bench.ttl(&keys::rate(&place)).await;
        assert!(left > 0 && left <= 60_000, "a later lease does not move the window: {left}");
    }
}

#[tokio::test]
async fn t_58_misses_are_judged_as_decided_and_told_once() {
    let bench = Bench::private().await;
    let routing = SecretKey::new([4; 32]);
    for index in 0..300 {
        let mut rng = case_rng(SEED + 31, index);
        let session = random_session(random_slot(&mut rng));
        let application = Party::Application(rng.random());
        let party = pick(&mut rng, &[application, Party::Holder(session)]);
        let place = party.place(Counted::Misses, &routing);
        let quota = pick(&mut rng, &[1, 9, 10, 60]);
        let (mut before, mut told) = (0, 0);
        for turn in 0..rng.random_range(1..80) {
            let misses = pick(&mut rng, &[1, 1, 10]);
            let name = format!("seed {SEED} miss {index}.{turn}: {misses} after {before} of {quota}");
            let verdict = rate::judge(before, quota, misses);
            let operation = operation(Timestamp::from_millis(BASE));
            let holder = matches!(party, Party::Holder(_)).then_some(&session);
            let call = scripts::miss(&place, quota, misses, holder, "demo", &operation);
            let reply = scripts::missed(bench.run(&call).await.expect("runs")).expect("a known reply");
            before += u64::from(misses);
            assert_eq!(reply.over, verdict.over, "{name}");
            assert!((1..=WINDOW).contains(&reply.left_millis), "{name}: {reply:?}");
            let events = bench.events(place.bucket, &operation).await;
            assert_eq!(events.len(), usize::from(verdict.crossed), "{name}");
            told += events.len();
            if let Some(event) = events.first() {
                let session = holder.map(|session| session.key_text()).unwrap_or_default();
                assert_eq!((event.kind.as_str(), &event.session), ("security.probing", &session), "{name}");
                assert_eq!((event.user.as_str(), event.application.as_str()), (place.tag.text().as_str(), "demo"));
            }
        }
        assert!(told <= 1, "seed {SEED} miss {index}");
        bench.remove(&[keys::rate(&place), keys::outbox(place.bucket)]).await;
    }
}
