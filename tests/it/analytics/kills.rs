use super::traffic::{queue, traffic};
use integration_tests::stack::scheduled_event;
use integration_tests::{Stack, eventually, json};
use std::sync::Arc;

/// Where a drainer dies: before and behind every step that counts, most of all between commit and acknowledgement.
const DATABASE_POINTS: [&[u8]; 6] = [
    b"pg_advisory_xact_lock",
    b"rollup_counts",
    b"INSERT INTO rollup_distinct",
    b"COPY activity",
    b"COMMIT",
    b"COMMIT",
];

/// What killed drains have counted is what one drain counts that nobody disturbs.
#[tokio::test]
async fn drainers_that_are_killed_count_nothing_twice() {
    let stack = Arc::new(Stack::builder().with_redis_proxy().with_database_proxy().start().await);
    let other = stack.create_application(json!({ "name": "Undisturbed", "scopes": ["analytics:read"] })).await;
    let mut redis = stack.redis().connection().await;
    let cut = |stack: &Arc<Stack>, point: usize| match DATABASE_POINTS.get(point) {
        Some(bytes) => stack.database_proxy().cut_next_reply_to(bytes),
        None => stack.redis_proxy().cut_next_reply_to(b"XDEL"),
    };
    for point in 0..=DATABASE_POINTS.len() {
        queue(&mut redis, &traffic(point as u64, &stack.app.id, 30)).await;
        let environment = stack.environment("write-audit", 0).await;
        cut(&stack, point);
        let run = {
            let stack = Arc::clone(&stack);
            tokio::spawn(async move {
                let event = scheduled_event(json!({"firstBucket": 0, "lastBucket": 4095}));
                let _ = stack.fleet.invoke_on("write-audit", 0, &event).await;
            })
        };
        let pending = || stack.database_proxy().pending_cuts() + stack.redis_proxy().pending_cuts();
        eventually(&format!("point {point}"), || async { (pending() == 0 || run.is_finished()).then_some(()) }).await;
        environment.kill9().await;
        let _ = run.await;
        assert_eq!(pending(), 0, "the run did not pass point {point}");
        eventually("everything is drained", || async {
            let run = stack.run_write_audit().await;
            (run["taken"] == 0 && run["skippedChains"] == 0).then_some(())
        })
        .await;
    }
    for point in 0..=DATABASE_POINTS.len() {
        queue(&mut redis, &traffic(point as u64, &other.id, 30)).await;
        stack.run_write_audit().await;
    }
    let client = stack.database().connect().await;
    let differing = |table: &str, value: &str| {
        format!(
            "SELECT count(*) FROM (SELECT metric, grain, starts_at, key, {value} FROM {table} WHERE application_id = $1) AS a
             FULL JOIN (SELECT metric, grain, starts_at, key, {value} FROM {table} WHERE application_id = $2) AS b
             USING (metric, grain, starts_at, key) WHERE a.{value} IS DISTINCT FROM b.{value}"
        )
    };
    let rows = "SELECT count(*) FROM rollup_counts WHERE application_id = $1";
    assert!(client.query_one(rows, &[&stack.app.id]).await.expect("a count").get::<_, i64>(0) > 1000);
    let counts = client.query_one(&differing("rollup_counts", "count"), &[&stack.app.id, &other.id]).await;
    let differing: i64 = counts.expect("a comparison").get(0);
    assert_eq!(differing, 0, "rows that differ");
}
