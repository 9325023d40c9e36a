//! What happens in one simulation, drawn from a seed. Every part of a schedule is a schedule, so a failing one shrinks by
//! leaving steps out.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::core::policy::{OnLimit, SessionLimit};
use shared::core::privacy::Privacy;
use shared::core::risk::Verdict;

use crate::script_bench::pick;

/// Environments of a simulation.
pub const ENVIRONMENTS: usize = 3;
const HOUR: i64 = 3_600_000;

/// An operation of the service. Numbers choose among what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Create {
        user: usize,
        idle: u32,
        absolute: u64,
        grace: u16,
        key: Option<u8>,
        device: Option<usize>,
    },
    Get {
        session: usize,
    },
    Update {
        session: usize,
        stale: u32,
        lock: Option<usize>,
        sharer: bool,
    },
    /// Presents a refresh token so many generations before the newest.
    Refresh {
        session: usize,
        back: u32,
        sharer: bool,
    },
    Lock {
        session: usize,
    },
    Unlock {
        session: usize,
        lock: usize,
    },
    Share {
        session: usize,
    },
    /// Takes a code, `leaked` as an application that it is not for.
    Redeem {
        session: usize,
        leaked: bool,
    },
    End {
        session: usize,
        sharer: bool,
    },
    EndUser {
        user: usize,
        spared: Option<usize>,
    },
    Sweep {
        user: usize,
    },
    /// The user has authenticated again, so many milliseconds ago.
    StepUp {
        session: usize,
        ago: i64,
        idle: Option<u32>,
        absolute: Option<u64>,
    },
    /// The holder asks from a network, and a change of it is judged like this.
    Visit {
        session: usize,
        network: u8,
        verdict: Verdict,
    },
    EndDevice {
        user: usize,
        device: usize,
        blocked: bool,
    },
    SetPrivacy {
        user: usize,
        privacy: Privacy,
    },
}

/// Which operations a schedule draws from. A seed means the same schedule for ever, so kinds are never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// What happens to sessions.
    Sessions,
    /// Authentications, contexts, devices and settings besides.
    All,
}

impl Kinds {
    /// What a run draws for a seed: the more kinds there are, the seldomer each of them meets another.
    pub fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Kinds::Sessions } else { Kinds::All }
    }

    fn count(self) -> u32 {
        match self {
            Kinds::Sessions => 40,
            Kinds::All => 54,
        }
    }
}

/// What becomes of a store call of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The environment dies before its store call of this number; the client hears nothing.
    Crash(u32),
    /// The reply is lost and the call repeated at once.
    LostReply(u32),
    /// The call is repeated after others had their turn.
    LateRepeat(u32),
}

/// Whose clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Environment(usize),
    Store,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An environment takes a request, which the client or the network sends so many times.
    Begin { environment: usize, op: Op, fault: Fault, times: u8 },
    /// One store call of one of the operations that are under way.
    Go(u8),
    /// Time goes on.
    Pass(i64),
    /// Sets a clock apart; every other one is right again, give or take what is tolerated.
    Skew(Clock, i64),
    /// The store lets a lock go, as at its end.
    LockEnds { session: usize },
    /// Keeps what Redis holds.
    Keep,
    /// Sets Redis back to what was kept; the ledger is applied before it serves.
    SetBack,
}

#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    pub limit: SessionLimit,
    pub steps: Vec<Step>,
}

impl Schedule {
    pub fn of(seed: u64, kinds: Kinds) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let on_limit = pick(&mut rng, &[OnLimit::Reject, OnLimit::EvictOldest, OnLimit::EvictLeastRecent]);
        let limit = SessionLimit { max: rng.random_range(1..4), on_limit };
        let length = rng.random_range(8..36);
        let first = Op::Create { user: 0, idle: 1800, absolute: 7200, grace: 10, key: None, device: None };
        let mut steps = vec![begin(&mut rng, first)];
        steps.extend((0..length).map(|_| step(&mut rng, kinds)));
        Schedule { seed, limit, steps }
    }

    /// The same without some steps.
    pub fn without(&self, from: usize, count: usize) -> Self {
        let mut shorter = self.clone();
        shorter.steps.drain(from..(from + count).min(self.steps.len()));
        shorter
    }
}

fn begin(rng: &mut StdRng, op: Op) -> Step {
    let fault = match rng.random_range(0..12) {
        0 => Fault::Crash(rng.random_range(0..3)),
        1 | 2 => Fault::LostReply(rng.random_range(0..2)),
        3 => Fault::LateRepeat(rng.random_range(0..2)),
        _ => Fault::None,
    };
    Step::Begin { environment: rng.random_range(0..ENVIRONMENTS), op, fault, times: pick(rng, &[1, 1, 1, 1, 2, 3]) }
}

fn op(rng: &mut StdRng, kinds: Kinds) -> Op {
    let (session, user) = (rng.random_range(0..64), rng.random_range(0..2));
    match rng.random_range(0..kinds.count()) {
        0..8 => Op::Create {
            user,
            idle: pick(rng, &[600, 1800, 7200]),
            absolute: pick(rng, &[3600, 7200, 43_200]),
            grace: pick(rng, &[0, 10, 30]),
            key: rng.random_bool(0.3).then(|| rng.random_range(0..3)),
            device: match kinds {
                Kinds::Sessions => None,
                Kinds::All => rng.random_bool(0.6).then(|| rng.random_range(0..2)),
            },
        },
        8..13 => Op::Get { session },
        13..17 => Op::Update {
            session,
            stale: pick(rng, &[0, 0, 0, 1]),
            lock: rng.random_bool(0.4).then(|| rng.random_range(0..4)),
            sharer: rng.random_bool(0.2),
        },
        17..26 => Op::Refresh { session, back: pick(rng, &[0, 0, 0, 0, 1, 1, 2]), sharer: rng.random_bool(0.3) },
        26 | 27 => Op::Lock { session },
        28 => Op::Unlock { session, lock: rng.random_range(0..4) },
        29 | 30 => Op::Share { session },
        31..34 => Op::Redeem { session, leaked: rng.random_bool(0.1) },
        34 | 35 => Op::End { session, sharer: rng.random_bool(0.3) },
        36 | 37 => Op::EndUser { user, spared: rng.random_bool(0.5).then(|| rng.random_range(0..64)) },
        38 | 39 => Op::Sweep { user },
        40..44 => Op::StepUp {
            session,
            ago: pick(rng, &[0, 0, 1_000, 5_000, 299_000, 301_000]),
            idle: rng.random_bool(0.3).then_some(900),
            absolute: rng.random_bool(0.3).then_some(10_800),
        },
        44..49 => Op::Visit {
            session,
            network: rng.random_range(0..3),
            verdict: pick(
                rng,
                &[
                    Verdict::Allow,
                    Verdict::Allow,
                    Verdict::StepUp,
                    Verdict::Quarantine,
                    Verdict::Quarantine,
                    Verdict::End,
                ],
            ),
        },
        49..51 => Op::EndDevice { user, device: rng.random_range(0..2), blocked: rng.random_bool(0.3) },
        _ => Op::SetPrivacy { user, privacy: Privacy::from_bits(pick(rng, &[0, 0, 2, 4, 8, 8, 14])) },
    }
}

fn step(rng: &mut StdRng, kinds: Kinds) -> Step {
    match rng.random_range(0..32) {
        0..14 => {
            let op = op(rng, kinds);
            begin(rng, op)
        }
        14..24 => Step::Go(rng.random()),
        24..27 => Step::Pass(pick(rng, &[1, 999, 9_999, 10_001, 61_000, 590_000, 1_790_000])),
        27 => {
            let clock = match rng.random_range(0..=ENVIRONMENTS) {
                ENVIRONMENTS => Clock::Store,
                environment => Clock::Environment(environment),
            };
            Step::Skew(clock, pick(rng, &[HOUR, -HOUR, 1_900, -1_900, 2_900, 0]))
        }
        28 => Step::LockEnds { session: rng.random_range(0..64) },
        29 => Step::Keep,
        30 => Step::SetBack,
        _ => Step::Go(rng.random()),
    }
}
