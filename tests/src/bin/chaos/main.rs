//! The fault table on real processes: `make chaos`.
//!
//! Each fault is tried on a stack of its own under load, and judged by the invariants. One that fails, or hangs, is
//! reported and the others go on. Environment: `ONLY` (ids of faults, by commas), `CHAOS_SEED`, `CHAOS_LOAD` (answers to
//! wait for per phase), `CHAOS_REPORT` (the report; its JSON lies beside it), and the `TEST_…` variables of the harness.

mod catalogue;
mod faults;
mod report;
mod runner;
mod tally;
mod trial;
mod worker;

use trial::Context;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        _ => default,
    }
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let context = Context { seed: number("CHAOS_SEED", 20_261_128), load: number("CHAOS_LOAD", 250) };
    let only = std::env::var("ONLY").unwrap_or_default();
    let wanted: Vec<&str> = only.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    for id in &wanted {
        assert!(catalogue::ROWS.iter().any(|row| row.id == *id), "ONLY names {id}, which is no fault of the table");
    }
    println!("seed {}", context.seed);
    let rows: Vec<_> = catalogue::ROWS.iter().filter(|row| wanted.is_empty() || wanted.contains(&row.id)).collect();
    let results = runner::run(&rows, context).await;
    if let Some(path) = std::env::var_os("CHAOS_REPORT") {
        report::write(std::path::Path::new(&path), &results, context, &only);
    }
    let broken: Vec<&str> = results.iter().filter(|result| result.is_broken()).map(|result| result.row.id).collect();
    if broken.is_empty() {
        println!("{} tried out, nothing broken", results.len());
        return std::process::ExitCode::SUCCESS;
    }
    println!("broken: {}", broken.join(", "));
    std::process::ExitCode::FAILURE
}
