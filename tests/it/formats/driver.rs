//! The fuzz driver: changes samples at random and feeds the readers. It needs no special compiler; what it lacks in guidance
//! it makes up by starting from good samples. `FUZZ_TARGET=…` and `FUZZ_SECONDS=…` let one target run for long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Format, Guard, all, parsers};
use crate::script_bench::case_rng;

/// Inputs for each target in every run of the suite.
const INPUTS: u64 = 3000;
const SEED: u64 = 11;
/// The longest input; what outside bytes may be longer is cut before it reaches a parser.
const BYTES_MAX: usize = 70_000;

/// Takes an input and the good one that it was made from.
type Feed = dyn Fn(&[u8], &[u8]);

/// One thing to feed: its name, good inputs, and what must hold for any input.
pub struct Target {
    pub name: String,
    pub corpus: Vec<Vec<u8>>,
    pub feed: Box<Feed>,
}

fn of_format(format: Format) -> Target {
    let sample = (format.sample)();
    let read = format.read;
    let (guard, name) = (format.guard, format.name);
    let feed = move |bytes: &[u8], original: &[u8]| {
        let Some(found) = read(bytes) else { return };
        match guard {
            Guard::Genuine => assert_eq!(bytes, original, "{name}: a changed one was accepted"),
            Guard::Open => {
                if let Some(again) = &found.again {
                    let twice = read(again).expect("what is written reads");
                    assert_eq!(twice, found, "{name}: it reads otherwise the second time");
                }
            }
        }
    };
    Target { name: name.to_owned(), corpus: vec![sample], feed: Box::new(feed) }
}

fn targets() -> Vec<Target> {
    all().into_iter().map(of_format).chain(parsers::targets()).collect()
}

/// One change: bits, bytes, a piece cut out, put in, doubled or taken from another input, an extreme length.
fn change(rng: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    const TELLING: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'.', b'#', b'=', b'%', b'\\'];
    let length = bytes.len();
    let at = if length == 0 { 0 } else { rng.random_range(0..length) };
    let end = (at + rng.random_range(0..=16)).min(length);
    match rng.random_range(0..9) {
        0 if length > 0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 if length > 0 => bytes[at] = TELLING[rng.random_range(0..TELLING.len())],
        2 if length > 0 => bytes[at] = rng.random(),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.truncate(at),
        5 => drop(bytes.splice(at..at, (0..rng.random_range(1..9)).map(|_| rng.random::<u8>()).collect::<Vec<_>>())),
        6 => {
            let piece = bytes[at..end].repeat(rng.random_range(1..40));
            drop(bytes.splice(at..at, piece));
        }
        7 if !other.is_empty() => {
            let from = rng.random_range(0..other.len());
            let piece = other[from..(from + 24).min(other.len())].to_vec();
            drop(bytes.splice(at..end, piece));
        }
        _ => bytes.insert(at, TELLING[rng.random_range(0..TELLING.len())]),
    }
    bytes.truncate(BYTES_MAX);
}

fn feed(target: &Target, case: u64, foreign: &[u8]) {
    let mut rng = case_rng(SEED, case);
    let original = target.corpus[rng.random_range(0..target.corpus.len())].clone();
    let mut bytes = original.clone();
    // Now and then something that never was one of its kind.
    if rng.random_bool(0.05) {
        bytes = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
    }
    for _ in 0..rng.random_range(1..5) {
        change(&mut rng, &mut bytes, foreign);
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.feed)(&bytes, &original)));
    if outcome.is_err() {
        panic!("FUZZ_TARGET={} case {case}: {:?}", target.name, String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn no_bytes_panic_a_parser_or_pass_for_what_they_are_not() {
    let targets = targets();
    let only = std::env::var("FUZZ_TARGET").ok().filter(|name| !name.is_empty());
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let chosen: Vec<&Target> =
        targets.iter().filter(|target| only.as_ref().is_none_or(|name| &target.name == name)).collect();
    let names: Vec<&String> = targets.iter().map(|target| &target.name).collect();
    assert!(!chosen.is_empty(), "no target {only:?} among {names:?}");
    for (number, target) in chosen.iter().enumerate() {
        let foreign = &targets[(number + 1) % targets.len()].corpus[0];
        let deadline = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let mut case = 0;
        loop {
            feed(target, case, foreign);
            case += 1;
            let over = deadline.map_or(case >= INPUTS, |deadline| Instant::now() >= deadline);
            if over {
                break;
            }
        }
        println!("{}: {case} inputs", target.name);
    }
}

/// The corpora are good: each input is taken by its target as it is.
#[test]
fn every_corpus_is_accepted_unchanged() {
    for target in targets() {
        for input in &target.corpus {
            (target.feed)(input, input);
        }
    }
}

#[test]
fn changes_are_the_same_for_a_seed() {
    let changed = || {
        let mut rng = StdRng::seed_from_u64(3);
        let mut bytes = b"some input".to_vec();
        (0..50).for_each(|_| change(&mut rng, &mut bytes, b"another"));
        bytes
    };
    assert_eq!(changed(), changed());
}
