//! The report: what was promised, and what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use integration_tests::{Value, json};

use crate::catalogue::How;
use crate::runner::Outcome;
use crate::trial::Context;

const HEAD: &str = "# Chaos\n\n\
    The faults of the table on real processes, by `make chaos`. Functions, Redis, Redis Cluster and PostgreSQL are real; KMS and\n\
    DynamoDB are moto behind a proxy that throttles, delays and refuses. Each fault meets a stack of its own while four clients\n\
    create, read, change, rotate, list and end sessions and remember what was acknowledged. Afterwards every session is asked for:\n\
    what was ended is dead to every function (I-1), the newest token works and the one before gives nothing else (I-2), no\n\
    user has more sessions than allowed (I-4), every acknowledged change stands in the audit as often as it happened and the\n\
    chains are whole (I-7, I-14), nothing ended came back (I-11), no refusal became a permission (I-15). Latencies are of\n\
    development builds on two shared processors: told, not judged.\n\n\
    What Redis loses, its outboxes lose with it: in F-01, F-02, F-09 and F-37 fewer changes may stand in the audit than were\n\
    acknowledged. The engine of the template loses no acknowledged write; these faults are tried without it. A *gap* is a promise\n\
    that is not kept yet, named in `catalogue.rs`; it fails no run, anything else does.\n";

/// Writes the report, and the same as JSON beside it. Rows that were not tried this time stay as they were.
pub fn write(path: &Path, outcomes: &[Outcome], context: Context, only: &str) {
    let file = path.with_extension("json");
    let before = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    for row in before.iter().filter(|_| !only.is_empty()).flat_map(|report| report["faults"].as_array()).flatten() {
        rows.insert(words(&row["id"]), row.clone());
    }
    let command = format!("CHAOS_SEED={} CHAOS_LOAD={} make chaos", context.seed, context.load);
    for outcome in outcomes {
        rows.insert(outcome.row.id.to_owned(), of(outcome, &command));
    }
    std::fs::write(path, text(&rows)).expect("the report can be written");
    let faults: Vec<&Value> = rows.values().collect();
    let document = serde_json::to_string_pretty(&json!({ "faults": faults })).expect("JSON");
    std::fs::write(file, document + "\n").expect("the report can be written");
}

fn of(outcome: &Outcome, command: &str) -> Value {
    let row = outcome.row;
    let mut observed = outcome.observed.facts.clone();
    if let How::Tests(names) = &row.how {
        observed.extend(names.iter().map(|name| format!("`{name}`")));
    }
    observed.extend(outcome.observed.violations.iter().map(|violation| match outcome.gap(violation) {
        Some(gap) => format!("**gap:** {violation} ({})", gap.why),
        None => format!("**broken:** {violation}"),
    }));
    json!({
        "id": row.id, "fault": row.fault, "promise": row.promise, "observed": observed, "verdict": outcome.verdict(),
        "seconds": outcome.seconds.round(), "command": command,
    })
}

fn text(rows: &BTreeMap<String, Value>) -> String {
    let mut text = HEAD.to_owned();
    let count = |verdict: &str| rows.values().filter(|row| row["verdict"] == verdict).count();
    let commands: BTreeSet<String> = rows.values().map(|row| format!("`{}`", words(&row["command"]))).collect();
    let seconds: f64 = rows.values().filter_map(|row| row["seconds"].as_f64()).sum();
    let _ = writeln!(
        text,
        "\nMade by {}: {} kept, {} with a known gap, {} broken, {} not run, {:.0} minutes.\n",
        commands.into_iter().collect::<Vec<_>>().join(" and "),
        count("kept"),
        count("gap"),
        count("BROKEN"),
        count("not run"),
        seconds / 60.0
    );
    text.push_str("| id | fault | promise | observed | verdict |\n|---|---|---|---|---|\n");
    for (id, row) in rows {
        let observed: Vec<String> = row["observed"].as_array().into_iter().flatten().map(words).collect();
        let observed = observed.join("<br>").replace('|', "\\|").replace('\n', " ");
        let (fault, promise, verdict) = (words(&row["fault"]), words(&row["promise"]), words(&row["verdict"]));
        let _ = writeln!(text, "| {id} | {fault} | {promise} | {observed} | {verdict} |");
    }
    text
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
