//! Runs the rows of the table, each apart from the others.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::catalogue::{GAPS, Gap, How, Row};
use crate::tally::Observed;
use crate::trial::{Context, said};

/// A fault that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(400);

/// A row with what came of it.
pub struct Outcome {
    pub row: &'static Row,
    pub observed: Observed,
    pub seconds: f64,
}

impl Outcome {
    /// The verdict in a word.
    pub fn verdict(&self) -> &'static str {
        let unknown = self.observed.violations.iter().any(|violation| self.gap(violation).is_none());
        match (&self.row.how, self.observed.violations.is_empty()) {
            (How::NotHere(_), _) => "not run",
            (_, true) => "kept",
            (_, false) if !unknown => "gap",
            (_, false) => "BROKEN",
        }
    }

    /// The known gap that a violation shows.
    pub fn gap(&self, violation: &str) -> Option<&'static Gap> {
        GAPS.iter().find(|gap| gap.id == self.row.id && violation.contains(gap.violation))
    }

    /// Whether a promise was not kept.
    pub fn is_broken(&self) -> bool {
        self.verdict() == "BROKEN"
    }
}

/// Every row in turn: two processors do not do two at once.
pub async fn run(rows: &[&'static Row], context: Context) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for row in rows {
        println!("{} {}", row.id, row.fault);
        let start = Instant::now();
        let observed = try_out(row, context).await;
        let outcome = Outcome { row, observed, seconds: start.elapsed().as_secs_f64() };
        for fact in &outcome.observed.facts {
            println!("    {fact}");
        }
        for violation in &outcome.observed.violations {
            println!("    {}: {violation}", outcome.gap(violation).map_or("BROKEN", |_| "known gap"));
        }
        println!("  {} in {:.0} s", outcome.verdict(), outcome.seconds);
        outcomes.push(outcome);
    }
    outcomes
}

async fn try_out(row: &'static Row, context: Context) -> Observed {
    let broken = |text: String| Observed { facts: Vec::new(), violations: vec![text] };
    match &row.how {
        How::NotHere(reason) => Observed { facts: vec![(*reason).to_owned()], violations: Vec::new() },
        How::Tests(names) => tests(names).await,
        How::Trial(fault) => {
            // A runtime of its own: whatever a fault leaves running ends with it.
            let fault = *fault;
            let apart = tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async { tokio::time::timeout(PATIENCE, fault(context)).await.ok() })
            });
            match apart.await {
                Ok(Some(observed)) => observed,
                Ok(None) => broken(format!("not done within {PATIENCE:?}")),
                Err(error) => broken(said(error)),
            }
        }
    }
}

/// Tests of the suite that try the fault out in the same way.
async fn tests(names: &[&str]) -> Observed {
    let filter: Vec<String> = names.iter().map(|name| format!("test(={name})")).collect();
    let output = tokio::process::Command::new("cargo")
        .args(["nextest", "run", "--package", "integration-tests", "--locked", "--no-fail-fast", "-E"])
        .arg(filter.join(" | "))
        .stdin(Stdio::null())
        .output()
        .await;
    let output = match output {
        Ok(output) => output,
        Err(error) => return Observed { facts: Vec::new(), violations: vec![format!("cargo nextest: {error}")] },
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let passed = text.lines().filter(|line| line.trim_start().starts_with("PASS [")).count();
    let mut observed =
        Observed { facts: vec![format!("{passed} of {} tests of the suite pass", names.len())], ..Observed::default() };
    if passed != names.len() || !output.status.success() {
        let failed = text.lines().filter(|line| line.trim_start().starts_with("FAIL [") || line.contains("error"));
        observed.violations = failed.take(10).map(str::to_owned).collect();
        observed.violations.push(format!("{passed} of {} tests passed", names.len()));
    }
    observed
}
