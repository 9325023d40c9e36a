//! The job itself.

use std::collections::BTreeSet;

use futures::future::join_all;
use integration_tests::stores::{RedisCluster, RedisOptions, RedisServer};
use integration_tests::{Environment, InvokeError, Stack, eventually_within, json};

use super::{BUCKETS, job, move_until_nothing_is_left, names, run_of, sum};

async fn seed(stack: &Stack, sessions: usize) -> Vec<integration_tests::application::SessionTokens> {
    let mut seeded = Vec::new();
    for number in 0..sessions {
        seeded.push(stack.app.start_session(&format!("user-{number}")).await);
    }
    seeded
}

/// Five jobs at once move each bucket once.
#[tokio::test]
async fn five_movers_at_once_move_each_bucket_once() {
    let target = RedisServer::start(RedisOptions::default()).await;
    let stack = Stack::builder().with_variable("REDIS_MOVE_TO_URL", &target.url()).start().await;
    let seeded = seed(&stack, 40).await;
    let before = names(stack.redis()).await;
    let mut movers = Vec::new();
    for _ in 0..5 {
        movers.push(job(&stack, &target.url()).await);
    }
    let runs = join_all(movers.iter().map(move_until_nothing_is_left)).await.concat();
    assert_eq!(sum(&runs, "buckets"), BUCKETS, "{runs:?}");
    assert_eq!(sum(&runs, "sessions"), seeded.len() as u64, "{runs:?}");
    assert_eq!((names(stack.redis()).await, names(&target).await), (Vec::new(), before));
    for session in &seeded {
        stack.app.get(&session.session_id).await.expect(200);
    }
}

/// A mover that froze while its turn ended, and wakes up when others are long done, changes nothing.
#[tokio::test]
async fn a_mover_that_wakes_up_too_late_writes_nothing() {
    let target = RedisServer::start(RedisOptions::default()).await;
    let stack = Stack::builder().with_variable("REDIS_MOVE_TO_URL", &target.url()).start().await;
    let seeded = seed(&stack, 40).await;
    let frozen = std::sync::Arc::new(job(&stack, &target.url()).await);
    let run = {
        let frozen = frozen.clone();
        tokio::spawn(async move { frozen.invoke(&run_of(json!({}))).await })
    };
    super::eventually_moved(stack.redis(), 200).await;
    frozen.freeze().await;
    let other = job(&stack, &target.url()).await;
    move_until_nothing_is_left(&other).await;
    // What the frozen one had copied is not what they are any more.
    let mut tokens = Vec::new();
    for session in &seeded {
        let refreshed = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
        tokens.push(refreshed.json()["refreshToken"].as_str().expect("a token").to_owned());
    }
    frozen.thaw();
    // It may find its connections dead; what matters is what it did not do.
    let _ = run.await.expect("the run");
    for (session, token) in seeded.iter().zip(tokens) {
        stack.app.refresh(&session.session_id, &token).await.expect(200);
    }
    assert_eq!(names(stack.redis()).await, [""; 0]);
}

/// A store of one node goes to a cluster: what is counted first is what arrives.
#[tokio::test]
async fn a_single_node_moves_to_a_cluster() {
    let cluster = RedisCluster::start(3, 0).await;
    let stack = Stack::builder()
        .with_variable("REDIS_MOVE_TO_URL", &cluster.urls())
        .with_variable("REDIS_MOVE_TO_CLUSTER", "true")
        .start()
        .await;
    let seeded = seed(&stack, 20).await;
    let mover = job(&stack, &cluster.urls()).await;
    let counted = mover.invoke(&run_of(json!({ "dryRun": true }))).await.expect("a count");
    assert_eq!((&counted["bucketsLeft"], &counted["sessionsLeft"]), (&json!(BUCKETS), &json!(20)), "{counted}");
    let before = names(stack.redis()).await;
    let runs = move_until_nothing_is_left(&mover).await;
    assert_eq!((sum(&runs, "buckets"), sum(&runs, "sessions")), (BUCKETS, 20), "{runs:?}");
    let mut arrived: Vec<String> = cluster.dump_keys().await.into_iter().map(|key| key.name()).collect();
    arrived.retain(|name| !name.starts_with("t:"));
    arrived.sort();
    assert_eq!(arrived, before);
    for session in &seeded {
        stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
    }
    // And the other way round, to a store that knows nothing of it.
    let home = RedisServer::start(RedisOptions::default()).await;
    let mut spec = stack.fleet.specification("move-sessions", 0);
    spec.variables.retain(|(name, _)| !name.starts_with("REDIS_"));
    for (name, value) in
        [("REDIS_URL", cluster.urls()), ("REDIS_CLUSTER", "true".to_owned()), ("REDIS_MOVE_TO_URL", home.url())]
    {
        spec.variables.push((name.to_owned(), value));
    }
    let back = move_until_nothing_is_left(&Environment::spawn(spec).await).await;
    assert_eq!((sum(&back, "buckets"), sum(&back, "sessions")), (BUCKETS, 20), "{back:?}");
    assert_eq!(names(&home).await.iter().filter(|name| name.starts_with("s:")).count(), 20);
}

/// A primary of the store that buckets go to loses its replica while they arrive, and dies: the job has stopped by then, and
/// whatever has left is there.
#[tokio::test]
async fn f_01_what_has_left_outlives_a_failover_where_it_went() {
    let cluster = RedisCluster::start(3, 1).await;
    let stack = Stack::builder()
        .with_variable("REDIS_MOVE_TO_URL", &cluster.urls())
        .with_variable("REDIS_MOVE_TO_CLUSTER", "true")
        .start()
        .await;
    let seeded = seed(&stack, 60).await;
    let mover = std::sync::Arc::new(job(&stack, &cluster.urls()).await);
    let run = {
        let mover = mover.clone();
        tokio::spawn(async move { mover.invoke(&run_of(json!({}))).await })
    };
    super::eventually_moved(stack.redis(), 200).await;
    cluster.pause_replication(0).await;
    let stopped = run.await.expect("the run").expect_err("a run that stops");
    let InvokeError::Function(error) = stopped else { panic!("{stopped:?}") };
    assert_eq!(error["errorType"], "DependencyUnavailable", "{error}");
    assert!(mover.log_text().contains("no replica follows"), "{}", mover.log_text());
    let moved = super::buckets_moved(stack.redis()).await as u64;
    assert!((200..BUCKETS).contains(&moved), "{moved} buckets had left");
    cluster.kill(0);
    cluster.await_failover(0).await;
    let runs = move_until_nothing_is_left(&mover).await;
    assert_eq!(sum(&runs, "buckets"), BUCKETS - moved, "{runs:?}");
    for session in &seeded {
        stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
    }
}

/// The clients of the first node, without the one that asks.
async fn clients(cluster: &RedisCluster) -> BTreeSet<u64> {
    let mut connection = cluster.connection(0).await;
    let own: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await.expect("an id");
    let mut list = redis::cmd("CLIENT");
    let list: String = list.arg("LIST").arg("TYPE").arg("normal").query_async(&mut connection).await.expect("a list");
    let ids = list.lines().filter_map(|line| line.strip_prefix("id=")?.split_once(' ')?.0.parse().ok());
    ids.filter(|id| *id != own).collect()
}

/// Where a store could forget by a failover that it was left, nothing leaves it.
#[tokio::test]
async fn f_01_nothing_leaves_a_store_whose_replica_does_not_follow() {
    let cluster = RedisCluster::start(3, 1).await;
    let target = RedisServer::start(RedisOptions::default()).await;
    let stack = Stack::start().await;
    let mut spec = stack.fleet.specification("move-sessions", 0);
    spec.variables.retain(|(name, _)| !name.starts_with("REDIS_"));
    for (name, value) in
        [("REDIS_URL", cluster.urls()), ("REDIS_CLUSTER", "true".to_owned()), ("REDIS_MOVE_TO_URL", target.url())]
    {
        spec.variables.push((name.to_owned(), value));
    }
    let mover = std::sync::Arc::new(Environment::spawn(spec).await);
    let run = {
        let mover = mover.clone();
        tokio::spawn(async move { mover.invoke(&run_of(json!({}))).await })
    };
    let begun = async || (!target.dump_keys().await.is_empty()).then_some(());
    eventually_within("a turn has begun", super::PATIENCE, begun).await;
    let of_the_job = clients(&cluster).await;
    assert!(!of_the_job.is_empty(), "the run has no connection");
    cluster.pause_replication(0).await;
    let stopped = run.await.expect("the run");
    assert!(matches!(stopped, Err(InvokeError::Function(_))), "{stopped:?}");
    assert!(mover.log_text().contains("no replica follows"), "{}", mover.log_text());
    // What still waits for the replica holds up no later run.
    let left = async || clients(&cluster).await.is_disjoint(&of_the_job).then_some(());
    eventually_within("the connections of the run are closed", super::PATIENCE, left).await;
    cluster.resume_replication(0).await;
    assert!(move_until_nothing_is_left(&mover).await.last().is_some_and(|run| run["bucketsLeft"] == 0));
}

/// Whoever moves to nowhere, or to a store that was left once, is told what is wrong.
#[tokio::test]
async fn a_move_to_nowhere_is_refused() {
    let target = RedisServer::start(RedisOptions::default()).await;
    let stack = Stack::start().await;
    let refused = |result: Result<integration_tests::Value, InvokeError>| match result {
        Err(InvokeError::Function(error)) => {
            assert_eq!(error["errorType"], "InvalidRequest", "{error}");
            error["errorMessage"].as_str().expect("a message").to_owned()
        }
        other => panic!("{other:?}"),
    };
    let told = refused(stack.invoke("move-sessions", &run_of(json!({}))).await);
    assert!(told.contains("REDIS_MOVE_TO_URL"), "{told}");
    let mut connection = target.connection().await;
    let _: () = redis::cmd("SET").arg("m:{b000}").arg("moved").query_async(&mut connection).await.expect("a marker");
    let told = refused(job(&stack, &target.url()).await.invoke(&run_of(json!({}))).await);
    assert!(told.contains("empty it first"), "{told}");
}
