//! Verifies the audit offline: from the database or a dump of it, against a copy of its anchors and the public key that
//! signed them. It needs neither Redis nor AWS, and nothing of the service that wrote what it judges.

mod anchors;
mod arguments;
mod dump;
mod live;

use anchors::Anchored;
use arguments::{Arguments, Source};
use shared::clock;
use shared::core::audit_verify::Bad;
use std::process::ExitCode;

/// What the chains gave.
pub struct Outcome {
    /// Rows that were checked.
    pub events: u64,
    /// The first bad place.
    pub bad: Option<Bad>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => return undecided(&problem),
    };
    match verify(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(problem) => undecided(&problem),
    }
}

fn undecided(problem: &str) -> ExitCode {
    eprintln!("undecided: {problem}");
    ExitCode::from(2)
}

/// Whether everything is as it was written.
async fn verify(arguments: &Arguments) -> Result<bool, String> {
    let keys = anchors::read_keys(&arguments.key)?;
    // The anchors first: what they vouch for is in a database that is read later.
    let stack = arguments.stack.as_deref();
    let anchored = anchors::load(&arguments.anchors, &keys, stack, arguments.floor_months, clock::now()).await?;
    let outcome = match &arguments.source {
        Source::Dump(file) => dump::walk(file, &anchored)?,
        Source::Database => live::walk(&anchored).await?,
    };
    report(&anchored, &outcome)
}

fn report(anchored: &Anchored, outcome: &Outcome) -> Result<bool, String> {
    if let Some(bad) = &outcome.bad {
        let event = bad.row.as_ref().map(|row| format!(" (event {})", row.event.event_id)).unwrap_or_default();
        println!("not intact: chain {}, place {}: {}{event}", bad.chain, bad.sequence, bad.kind.as_str());
    }
    if let Some((number, problem)) = &anchored.bad {
        println!("not intact: anchor {number}: {problem}");
    }
    if outcome.bad.is_some() || anchored.bad.is_some() {
        return Ok(false);
    }
    let Some(last) = &anchored.last else {
        return Err(format!("{} events are linked, but no anchor says that they are what was written", outcome.events));
    };
    println!(
        "intact: {} events, {} anchors, the last is number {} of {} over {} events",
        outcome.events, anchored.count, last.statement.number, last.statement.signed_at, last.statement.events
    );
    Ok(true)
}
