//! The report: what was promised, and what was seen.

use std::fmt::Write;
use std::path::Path;

use integration_tests::{Value, json};

use crate::catalogue::How;
use crate::runner::Outcome;

const HEAD: &str = "# Chaos\n\n\
    The faults of the table on real processes, by `make chaos`. Functions, Redis, Redis Cluster and PostgreSQL are real; KMS and\n\
    DynamoDB are moto behind a proxy that throttles, delays and refuses. Each fault meets a stack of its own while four clients\n\
    create, read, change, rotate, list and end sessions and remember what was acknowledged. Afterwards every session is asked for:\n\
    what was ended is dead to every function (I-1), the newest token works and the one before gives nothing else (I-2), no\n\
    user has more sessions than allowed (I-4), every acknowledged change stands in the audit as often as it happened and the\n\
    chains are whole (I-7, I-14), nothing ended came back (I-11), no refusal became a permission (I-15). Latencies are of\n\
    development builds on two shared processors: told, not judged.\n";

/// Writes the report, and the same as JSON beside it.
pub fn write(path: &Path, outcomes: &[Outcome], seed: u64, only: &str) {
    let mut text = HEAD.to_owned();
    let mut command = format!("CHAOS_SEED={seed} make chaos");
    if !only.is_empty() {
        command = format!("ONLY={only} {command}");
    }
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let count = |verdict: &str| outcomes.iter().filter(|outcome| outcome.verdict() == verdict).count();
    let _ = writeln!(
        text,
        "\nMade by `{command}`: {} kept, {} with a known gap, {} broken, {} not run, {:.0} minutes.\n",
        count("kept"),
        count("gap"),
        count("BROKEN"),
        count("not run"),
        seconds / 60.0
    );
    text.push_str("| id | fault | promise | observed | verdict |\n|---|---|---|---|---|\n");
    for outcome in outcomes {
        let row = outcome.row;
        let mut observed = outcome.observed.facts.clone();
        observed.extend(outcome.observed.violations.iter().map(|violation| match outcome.gap(violation) {
            Some(gap) => format!("**gap:** {violation} ({})", gap.why),
            None => format!("**broken:** {violation}"),
        }));
        if let How::Tests(names) = &row.how {
            observed.extend(names.iter().map(|name| format!("`{name}`")));
        }
        let observed = observed.join("<br>").replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(text, "| {} | {} | {} | {observed} | {} |", row.id, row.fault, row.promise, outcome.verdict());
    }
    std::fs::write(path, text).expect("the report can be written");
    let rows: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "id": outcome.row.id, "fault": outcome.row.fault, "promise": outcome.row.promise,
                "observed": outcome.observed.facts, "violations": outcome.observed.violations,
                "verdict": outcome.verdict(), "seconds": (outcome.seconds * 10.0).round() / 10.0,
            })
        })
        .collect();
    let document = json!({ "seed": seed, "command": command, "faults": rows });
    let document = serde_json::to_string_pretty(&document).expect("JSON");
    std::fs::write(path.with_extension("json"), document + "\n").expect("the report can be written");
}
