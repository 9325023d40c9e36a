//! Running schedules, and shrinking one that fails.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::operations::perform;
use super::schedule::{Fault, Kinds, Schedule, Step};
use super::world::{REQUEST_MILLIS, Stopped, World};
use crate::script_bench::{Bench, shifted};

/// What every run of the suite looks at; more with `make simulate SCHEDULES=…`.
const SCHEDULES: u64 = 2000;
const FIRST_SEED: u64 = 1;

/// Seeds of schedules that failed once.
const REGRESSIONS: &str = include_str!("../fixtures/simulation_seeds.txt");

/// What is broken on purpose, to see that the simulation finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    None,
    /// Environments go by their own clocks.
    ClockUnchecked,
    /// A store that was set back serves before the ledger is applied.
    NoCatchUp,
    /// Ends are not written to the ledger.
    LedgerForgotten,
    /// One session more than the limit is admitted.
    LimitRaised,
    /// A step-up is written over whatever is there.
    StepUpUnjudged,
    /// A quarantine is found and not written.
    StandingDropped,
    /// A session begins on a device that was not read.
    DeviceUnread,
    /// Settings are not written to the ledger.
    PrivacyForgotten,
}

/// Which releases the environments are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fleet {
    Uniform,
    /// The last environment is of the release before.
    Mixed,
}

type Task<'t> = Pin<Box<dyn Future<Output = Result<(), Stopped>> + 't>>;

/// One turn of an operation: up to its next store call. Whether it has ended.
async fn turn(world: &World<'_>, task: &mut Task<'_>) -> bool {
    let ended = poll_fn(|cx| match task.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if world.take_turn_end() => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    })
    .await;
    world.check().await;
    ended
}

async fn settle(world: &World<'_>, tasks: &mut Vec<Task<'_>>) {
    while let Some(mut task) = tasks.pop() {
        while !turn(world, &mut task).await {}
    }
}

/// The first violation of a schedule, and what it met.
async fn run(bench: &Bench, schedule: &Schedule, defect: Defect, fleet: Fleet) -> (Option<String>, Vec<&'static str>) {
    let world = World::new(bench, schedule, defect, fleet).await;
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for step in &schedule.steps {
        match step {
            Step::Begin { environment, op, fault, times } => {
                for copy in 0..*times {
                    // Of a repeated request only the first meets the fault.
                    let fault = if copy == 0 { *fault } else { Fault::None };
                    let world = &world;
                    let environment = (environment + usize::from(copy)) % super::schedule::ENVIRONMENTS;
                    let context = world.context(environment, fault);
                    let op = op.clone();
                    let mut task: Task<'_> = Box::pin(async move { perform(world, &context, &op).await });
                    if !turn(world, &mut task).await {
                        tasks.push(task);
                    }
                }
            }
            Step::Go(number) if !tasks.is_empty() => {
                let index = usize::from(*number) % tasks.len();
                if turn(&world, &mut tasks[index]).await {
                    drop(tasks.swap_remove(index));
                }
            }
            Step::Go(_) => {}
            Step::Pass(millis) => {
                if *millis > REQUEST_MILLIS {
                    settle(&world, &mut tasks).await;
                }
                world.truth.set(shifted(world.truth.get(), *millis));
            }
            Step::Skew(clock, millis) => {
                // A request that is under way has read its clock already.
                settle(&world, &mut tasks).await;
                world.skew(*clock, *millis);
            }
            Step::LockEnds { session } => {
                let count = world.ids.borrow().len();
                if count > 0 {
                    world.lock_ends(session % count).await;
                }
            }
            Step::Keep => world.keep().await,
            Step::SetBack => world.set_back().await,
        }
        world.check().await;
        if world.violation.borrow().is_some() {
            break;
        }
    }
    settle(&world, &mut tasks).await;
    world.finish().await;
    drop(tasks);
    let met = world.met.borrow().iter().copied().collect();
    (world.violation.take(), met)
}

/// The shortest schedule found that still fails.
async fn shrink(bench: &Bench, schedule: Schedule, defect: Defect, fleet: Fleet) -> (Schedule, String) {
    let mut shortest = schedule;
    let mut violation = run(bench, &shortest, defect, fleet).await.0.expect("it fails");
    let mut size = shortest.steps.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < shortest.steps.len() {
            let candidate = shortest.without(from, size);
            match run(bench, &candidate, defect, fleet).await.0 {
                Some(found) => (shortest, violation) = (candidate, found),
                None => from += size,
            }
        }
        size /= 2;
    }
    (shortest, violation)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().filter(|text| !text.is_empty()).map(|text| text.parse().expect("a whole number"))
}

/// Runs schedules one after another; panics over the first that fails.
async fn search(bench: &Bench, fleet: Fleet, seeds: impl Iterator<Item = (Kinds, u64)>) -> BTreeMap<&'static str, u64> {
    let mut met = BTreeMap::new();
    for (kinds, seed) in seeds {
        let (violation, found) = run(bench, &Schedule::of(seed, kinds), Defect::None, fleet).await;
        for what in found {
            *met.entry(what).or_default() += 1;
        }
        if violation.is_some() {
            let (schedule, violation) = shrink(bench, Schedule::of(seed, kinds), Defect::None, fleet).await;
            panic!(
                "SIMULATION_SEED={seed} ({kinds:?}) fails: {violation}\nlimit {:?}\n{:#?}",
                schedule.limit, schedule.steps
            );
        }
    }
    met
}

/// So many seeds, each with its kinds.
fn drawn(first: u64, count: u64) -> impl Iterator<Item = (Kinds, u64)> {
    (first..first + count).map(|seed| (Kinds::of(seed), seed))
}

/// What the schedules must have met to mean anything.
const WANTED: [&str; 46] = [
    "clock refused",
    "context judged",
    "crash",
    "created",
    "created before",
    "created for other settings",
    "device ended",
    "device ended meanwhile",
    "ended",
    "ended for its risk",
    "evicted",
    "late repeat",
    "limit",
    "lock refused a write",
    "locked",
    "lost reply",
    "moved before a judgement",
    "moved before a step-up",
    "quarantined",
    "quarantined holder",
    "quarantined token",
    "read",
    "read over",
    "redeemed",
    "refused",
    "replay",
    "rotated",
    "set back",
    "settings changed",
    "settings overtaken",
    "share ended",
    "share rotated",
    "shared",
    "stale authentication",
    "stale write",
    "step-up demanded",
    "stepped up",
    "successor",
    "time is over",
    "token from before a step-up",
    "touched",
    "unlocked",
    "user ended",
    "user ended but one",
    "written",
    "written under a lock",
];

#[tokio::test]
async fn i_1_to_i_16_random_schedules_keep_the_promises() {
    let bench = Bench::private().await;
    if let Some(seed) = number("SIMULATION_SEED") {
        let met = search(&bench, Fleet::Uniform, drawn(seed, 1)).await;
        println!("seed {seed} holds: {met:?}");
        return;
    }
    let count = number("SIMULATION_SCHEDULES").unwrap_or(SCHEDULES);
    let met = search(&bench, Fleet::Uniform, drawn(FIRST_SEED, count)).await;
    println!("{count} schedules: {met:?}");
    for what in WANTED {
        assert!(met.contains_key(what), "{what} never happened: {met:?}");
    }
}

/// F-32: environments of two releases share a Redis, in every order.
#[tokio::test]
async fn f_32_a_fleet_of_two_releases_keeps_the_promises() {
    let bench = Bench::private().await;
    let count = number("SIMULATION_SCHEDULES").unwrap_or(SCHEDULES) / 4;
    search(&bench, Fleet::Mixed, drawn(FIRST_SEED, count)).await;
}

#[tokio::test]
async fn schedules_that_failed_once_hold() {
    let bench = Bench::private().await;
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut count = 0;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [kinds, seed] = words[..] else { panic!("not a seed with its kinds: {line}") };
        let kinds = match kinds {
            "sessions" => Kinds::Sessions,
            "all" => Kinds::All,
            other => panic!("no kinds: {other}"),
        };
        search(&bench, Fleet::Uniform, std::iter::once((kinds, seed.parse().expect("a seed")))).await;
        count += 1;
    }
    assert!(count > 0);
}

/// A simulation that finds nothing proves nothing.
#[tokio::test]
async fn defects_that_are_planted_are_found() {
    let bench = Bench::private().await;
    let planted = [
        (Defect::ClockUnchecked, "I-16"),
        (Defect::NoCatchUp, "I-1"),
        (Defect::LedgerForgotten, "I-1"),
        (Defect::LimitRaised, "I-4"),
        (Defect::StepUpUnjudged, "I-6"),
        (Defect::StandingDropped, "I-6"),
        (Defect::DeviceUnread, "I-1"),
        (Defect::PrivacyForgotten, "T-103"),
    ];
    for (defect, promise) in planted {
        let mut found = None;
        for seed in FIRST_SEED..FIRST_SEED + 2000 {
            if let (Some(violation), _) = run(&bench, &Schedule::of(seed, Kinds::All), defect, Fleet::Uniform).await
                && (violation.starts_with(promise) || violation.starts_with("model"))
            {
                found = Some(seed);
                break;
            }
        }
        let seed = found.unwrap_or_else(|| panic!("{defect:?} was not found"));
        let (schedule, violation) = shrink(&bench, Schedule::of(seed, Kinds::All), defect, Fleet::Uniform).await;
        println!("{defect:?}: seed {seed}, {} steps: {violation}", schedule.steps.len());
        assert!(schedule.steps.len() <= 12, "{defect:?} shrank to {:#?}", schedule.steps);
    }
}
