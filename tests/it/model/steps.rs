//! What can happen to the sessions of two users, as random steps, and the runs over them.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shared::core::policy::{OnLimit, SessionLimit};

use super::world::{Met, World};
use crate::script_bench::Bench;

/// Which refresh token of a family is presented.
#[derive(Debug, Clone, Copy)]
pub enum Token {
    /// The newest that was ever handed out; ahead of the record once the store was set back.
    Newest,
    /// That many before the newest.
    Back(u32),
}

/// One step. Numbers pick among what there is, most of them among what lives.
#[derive(Debug, Clone)]
pub enum Step {
    Create {
        user: usize,
        idle: usize,
        absolute: usize,
        grace: usize,
        device: u8,
        twice: bool,
    },
    /// Reads as `GET` does, and records activity when it is due.
    Read {
        session: usize,
    },
    /// A touch that was held up on its way.
    LateTouch {
        session: usize,
        seconds: u64,
    },
    /// Replaces the data at the current version, or at an older one.
    Write {
        session: usize,
        stale: u32,
        twice: bool,
    },
    Refresh {
        session: usize,
        token: Token,
        device: u8,
        address: u8,
        twice: bool,
    },
    /// Commits a judgement of a record that has changed since.
    StaleJudgement {
        session: usize,
    },
    End {
        session: usize,
        by_another: bool,
        twice: bool,
    },
    /// Ends all sessions of a user, or all but one.
    EndUser {
        user: usize,
        spared: Option<usize>,
        twice: bool,
    },
    /// Two such ends whose scripts run in the other order than their epochs.
    EndUserCrossed {
        user: usize,
        first: Option<usize>,
        second: Option<usize>,
    },
    Sweep {
        user: usize,
    },
    Advance {
        millis: i64,
    },
    /// Keeps what Redis holds.
    Keep,
    /// Sets Redis back to what was kept, and applies the ledger before anything else is served.
    SetBack,
}

fn token() -> impl Strategy<Value = Token> {
    prop_oneof![
        12 => Just(Token::Newest),
        4 => Just(Token::Back(1)),
        1 => (2_u32..4).prop_map(Token::Back),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let session = 0_usize..64;
    let user = 0_usize..2;
    let advance =
        prop_oneof![Just(0_i64), Just(1), Just(999), Just(9_999), Just(10_001), Just(61_000), Just(1_790_000)];
    let spared = || proptest::option::of(0_usize..64);
    prop_oneof![
        8 => (user.clone(), 0_usize..2, 0_usize..3, 0_usize..3, 0_u8..3, any::<bool>()).prop_map(
            |(user, idle, absolute, grace, device, twice)| Step::Create { user, idle, absolute, grace, device, twice }
        ),
        4 => session.clone().prop_map(|session| Step::Read { session }),
        1 => (session.clone(), 0_u64..100).prop_map(|(session, seconds)| Step::LateTouch { session, seconds }),
        4 => (session.clone(), 0_u32..2, any::<bool>())
            .prop_map(|(session, stale, twice)| Step::Write { session, stale, twice }),
        16 => (session.clone(), token(), 0_u8..3, 0_u8..3, any::<bool>()).prop_map(
            |(session, token, device, address, twice)| Step::Refresh { session, token, device, address, twice }
        ),
        1 => session.clone().prop_map(|session| Step::StaleJudgement { session }),
        2 => (session, any::<bool>(), any::<bool>())
            .prop_map(|(session, by_another, twice)| Step::End { session, by_another, twice }),
        1 => (user.clone(), spared(), any::<bool>())
            .prop_map(|(user, spared, twice)| Step::EndUser { user, spared, twice }),
        1 => (user.clone(), spared(), spared())
            .prop_map(|(user, first, second)| Step::EndUserCrossed { user, first, second }),
        1 => user.prop_map(|user| Step::Sweep { user }),
        4 => advance.prop_map(|millis| Step::Advance { millis }),
        2 => Just(Step::Keep),
        2 => Just(Step::SetBack),
    ]
}

fn limit() -> impl Strategy<Value = SessionLimit> {
    let on_limit = prop_oneof![Just(OnLimit::Reject), Just(OnLimit::EvictOldest), Just(OnLimit::EvictLeastRecent)];
    (1_u32..5, on_limit).prop_map(|(max, on_limit)| SessionLimit { max, on_limit })
}

/// What a run must have met often enough to mean anything.
const WANTED: [&str; 13] = [
    "created",
    "evicted",
    "limit",
    "read",
    "write",
    "stale write",
    "rotated",
    "healed",
    "successor",
    "replay",
    "refused",
    "spared",
    "set back",
];

/// Runs random machines from a fixed seed; a failure shows the shortest list of steps that still fails.
fn run(seed: u8, cases: u32, steps: usize, wanted: &[&str]) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bench = runtime.block_on(Bench::private());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let machines = (limit(), proptest::collection::vec(step(), steps..=steps));
    let met = Met::default();
    let outcome = runner.run(&machines, |(limit, steps)| {
        runtime.block_on(async {
            let mut world = World::new(&bench, limit, &met).await;
            for step in &steps {
                world.step(step).await;
            }
            world.finish().await;
        });
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let met = met.into_inner();
    println!("met: {met:?}");
    for what in wanted {
        assert!(met.get(*what).is_some_and(|count| *count >= 20), "{what} too seldom: {met:?}");
    }
}

#[test]
fn i_1_i_2_i_3_i_4_i_5_i_11_i_14_random_machines_keep_the_promises() {
    run(1, 300, 50, &WANTED);
}

#[test]
fn i_1_i_4_short_machines_keep_the_promises() {
    run(2, 300, 12, &[]);
}
