use super::drain::{event_ids, ids_of, spread};
use integration_tests::stack::scheduled_event;
use integration_tests::{Stack, audit, eventually, json};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const SEED: u64 = 20_260;

/// Where the network is cut under a drainer that is then killed. Each is passed by every batch.
const REDIS_POINTS: [&[u8]; 3] = [b"XLEN", b"XRANGE", b"XDEL"];
const DATABASE_POINTS: [&[u8]; 6] =
    [b"FOR UPDATE", b"audit_ensure_partition", b"ANY($1)", b"COPY", b"UPDATE audit_chain_heads", b"COMMIT"];

/// 0 lost, 0 doubled over a hundred kills: drainers die at every step of a batch, most of all between commit and acknowledgement, while
/// requests go on making events.
#[tokio::test]
async fn drainers_that_are_killed_lose_and_double_nothing() {
    let stack = Arc::new(Stack::builder().with_redis_proxy().with_database_proxy().start().await);
    let mut redis = stack.redis().connection().await;
    let client = stack.database().connect().await;
    let mut random = StdRng::seed_from_u64(SEED);
    let events = spread("event", 4000);
    audit::queue(&mut redis, &events).await;
    let mut expected = ids_of(&events);
    let mut sessions = 0;

    let redis_points = REDIS_POINTS.map(|point| (stack.redis_proxy(), point));
    let database_points = DATABASE_POINTS.map(|point| (stack.database_proxy(), point));
    let points: Vec<_> = redis_points.into_iter().chain(database_points).collect();
    for kill in 0..72 {
        let (proxy, point) = points[kill % points.len()];
        let more = spread(&format!("kill-{kill}"), 200);
        audit::queue(&mut redis, &more).await;
        expected.extend(ids_of(&more));
        let first = random.random_range(0..32) * 64;
        let environment = stack.environment("write-audit", 0).await;
        proxy.cut_next_reply_to(point);
        let run = drainer(&stack, first);
        eventually(&format!("seed {SEED}, kill {kill} at {}", String::from_utf8_lossy(point)), || async {
            (proxy.pending_cuts() == 0 || run.is_finished()).then_some(())
        })
        .await;
        environment.kill9().await;
        let _ = run.await;
        assert_eq!(proxy.pending_cuts(), 0, "seed {SEED}, kill {kill}: the run did not pass the point");
        // Requests of the same moment find Redis as it is.
        stack.app.start_session(&format!("user-{kill}")).await;
        sessions += 1;
    }

    // And at moments that nothing chose: after some rows more.
    for kill in 0..28 {
        let more = spread(&format!("late-{kill}"), 400);
        audit::queue(&mut redis, &more).await;
        expected.extend(ids_of(&more));
        let goal = count(&client).await + random.random_range(1..200);
        let environment = stack.environment("write-audit", 0).await;
        let run = drainer(&stack, 0);
        eventually("rows are written", || async { (run.is_finished() || count(&client).await >= goal).then_some(()) })
            .await;
        environment.kill9().await;
        let _ = run.await;
    }

    // A killed drainer's lock is gone when PostgreSQL notices that its connection is.
    eventually("everything is drained", || async {
        let run = stack.run_write_audit().await;
        (run["taken"] == 0 && run["skippedChains"] == 0).then_some(())
    })
    .await;
    audit::verify(&client).await;
    let mut written = event_ids(&client).await;
    let made_by_requests: Vec<_> = written.difference(&expected).cloned().collect();
    assert_eq!(made_by_requests.len(), sessions, "seed {SEED}");
    written.retain(|id| expected.contains(id));
    assert_eq!(written, expected, "seed {SEED}");
    let left: usize =
        stack.redis_keys().await.iter().filter(|key| key.kind == "stream").map(|key| key.content.len()).sum();
    assert_eq!(left, 0);
}

fn drainer(stack: &Arc<Stack>, first: u16) -> tokio::task::JoinHandle<()> {
    let stack = Arc::clone(stack);
    tokio::spawn(async move {
        let event = scheduled_event(json!({"firstBucket": first, "lastBucket": 4095}));
        // It is killed, so it fails; whether it answers first is no matter.
        let _ = stack.fleet.invoke_on("write-audit", 0, &event).await;
    })
}

async fn count(client: &tokio_postgres::Client) -> i64 {
    client.query_one("SELECT count(*) FROM audit_events", &[]).await.expect("a count").get(0)
}
