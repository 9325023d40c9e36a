//! A seeded, realistic day of traffic for a running `make dev`: `make demo`.
//!
//! The real functions serve it, against the stores of `make dev`, under a clock that begins a day ago and ends now. So
//! what the console shows afterwards has been decided, counted and chained by the service and by nothing else. It is
//! bounded: it stops when the day is over.
//!
//! Environment: what `make dev` writes to `.dev/local/env` and `.dev/env`, `DEMO_SEED`, `DEMO_SESSIONS`, and the `TEST_…`
//! variables of the harness.

mod day;
mod people;
mod world;

use day::Day;
use world::World;

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let seed = setting("DEMO_SEED", 20_261_125);
    let sessions = setting("DEMO_SESSIONS", 600);
    println!("a day of traffic: seed {seed}, about {sessions} sessions");
    let mut day = Day::new(World::connect().await, seed, sessions);
    day.run().await;
    println!("{}", day.summary());
}
