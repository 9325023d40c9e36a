use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use integration_tests::stores::{RedisOptions, RedisServer};
use integration_tests::{Environment, Stack, audit, json};

use super::traffic::{Known, Shared, client};
use super::{BUCKETS, eventually_moved, job, move_until_nothing_is_left, names, run_of, sum};

const CLIENTS: usize = 4;

/// What was acknowledged before, during and after the move holds, whatever store it was acknowledged by; the jobs beside it
/// work; two movers die. I-1, I-4, I-11.
#[tokio::test]
async fn sessions_move_under_traffic_while_movers_die() {
    let target = RedisServer::start(RedisOptions::default()).await;
    let stack = Stack::builder()
        .with_database()
        .with_environments(3)
        .with_variable("REDIS_MOVE_TO_URL", &target.url())
        .start()
        .await;
    let shared = Arc::new(Shared::default());
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(client(number, stack.app.clone(), shared.clone()))).collect();
    let served = |wanted: u64| {
        let shared = shared.clone();
        integration_tests::eventually("clients are served", move || {
            let served = shared.served.load(Ordering::Relaxed);
            async move { (served >= wanted).then_some(()) }
        })
    };
    served(200).await;

    for wanted in [300, 1500] {
        let mover = Arc::new(job(&stack, &target.url()).await);
        let run = tokio::spawn(killed(mover.clone()));
        eventually_moved(stack.redis(), wanted).await;
        mover.kill9().await;
        run.await.expect("the run");
        // The other jobs in the middle of it.
        stack.run_cleanup().await;
        stack.run_write_audit().await;
    }
    let mover = job(&stack, &target.url()).await;
    let runs = move_until_nothing_is_left(&mover).await;
    let before = shared.served.load(Ordering::Relaxed);
    served(before + 100).await;
    shared.stop.store(true, Ordering::Relaxed);
    let mut known = BTreeMap::new();
    for client in clients {
        known.append(&mut client.await.expect("a client that found everything as it was told"));
    }

    let (served, unavailable) = (shared.served.load(Ordering::Relaxed), shared.unavailable.load(Ordering::Relaxed));
    println!("{served} served, {unavailable} times 503; the last mover: {runs:?}");
    assert_eq!(sum(&runs, "keys"), sum(&runs, "verified"), "{runs:?}");
    assert!(sum(&runs, "buckets") < BUCKETS, "{runs:?}");
    everything_is_there(&stack, &known).await;
    assert_eq!(names(stack.redis()).await, [""; 0], "the store that was left");
    let there = names(&target).await;
    assert_eq!(there.iter().filter(|name| name.starts_with("s:")).count(), known.len());

    // Twice, since the audit's own writing is measured as well.
    stack.run_cleanup().await;
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    for (kind, wanted) in
        [("session.created", known.len()), ("session.ended", known.values().filter(|session| session.ended).count())]
    {
        let told = rows.iter().filter(|row| row.event.event_type == kind).count();
        assert_eq!(told, wanted, "{kind}");
    }
}

/// A run that is not to come to its end.
async fn killed(mover: Arc<Environment>) {
    let ended = mover.invoke(&run_of(json!({}))).await;
    assert!(ended.is_err(), "it was done before it died: {ended:?}");
}

async fn everything_is_there(stack: &Stack, known: &BTreeMap<String, Known>) {
    for (id, session) in known {
        let answer = stack.app.get(id).await;
        if session.ended {
            answer.expect_problem(404, "session_ended");
            continue;
        }
        assert_eq!(answer.expect(200).json()["data"], json!({ "n": session.data }), "{id}");
        // The generation is the acknowledged one: any other would be refused.
        stack.app.refresh(id, &session.refresh_token).await.expect(200);
    }
}
