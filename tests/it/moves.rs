//! All sessions go from one Redis to another while real function processes serve, and jobs die on the way. I-1, I-4, I-11.

#[path = "moves/fence.rs"]
mod fence;
#[path = "moves/jobs.rs"]
mod jobs;
#[path = "moves/live.rs"]
mod live;
#[path = "moves/traffic.rs"]
mod traffic;
#[path = "moves/turns.rs"]
mod turns;

use std::time::Duration;

use integration_tests::stores::RedisServer;
use integration_tests::{Environment, Stack, Value, eventually_within, json};

const BUCKETS: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(120);

/// The event of an operator.
fn run_of(detail: Value) -> Value {
    json!({ "detail": detail })
}

/// Runs the job until nothing is left, and adds up what the runs did.
async fn move_until_nothing_is_left(job: &Environment) -> Vec<Value> {
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(job.invoke(&run_of(json!({}))).await.unwrap_or_else(|error| panic!("{error}")));
        if runs.last().is_some_and(|run| run["bucketsLeft"] == 0) {
            return runs;
        }
    }
    panic!("something is left: {runs:?}");
}

/// A number of some runs, added up.
fn sum(runs: &[Value], name: &str) -> u64 {
    runs.iter().map(|run| run[name].as_u64().unwrap_or_else(|| panic!("{name} in {run}"))).sum()
}

/// A job's process with somewhere to move to; the rest of the stack need not know.
async fn job(stack: &Stack, target: &str) -> Environment {
    let mut spec = stack.fleet.specification("move-sessions", 0);
    spec.variables.retain(|(name, _)| name != "REDIS_MOVE_TO_URL");
    spec.variables.push(("REDIS_MOVE_TO_URL".to_owned(), target.to_owned()));
    Environment::spawn(spec).await
}

/// How many buckets have left a store.
async fn buckets_moved(from: &RedisServer) -> usize {
    let mut connection = from.connection().await;
    let mut pipeline = redis::pipe();
    for bucket in 0..BUCKETS {
        pipeline.get(format!("m:{{b{bucket:03x}}}"));
    }
    let markers: Vec<Option<String>> = pipeline.query_async(&mut connection).await.expect("the markers");
    markers.iter().filter(|marker| marker.as_deref() == Some("moved")).count()
}

async fn eventually_moved(from: &RedisServer, wanted: usize) {
    eventually_within("buckets have left", PATIENCE, async || (buckets_moved(from).await >= wanted).then_some(())).await
}

/// Names of a store's keys that are not of the move itself.
async fn names(store: &RedisServer) -> Vec<String> {
    let names = store.dump_keys().await.into_iter().map(|key| key.name());
    names.filter(|name| !name.starts_with("m:") && !name.starts_with("t:")).collect()
}
