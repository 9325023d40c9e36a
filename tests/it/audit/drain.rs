use futures::future::join_all;
use integration_tests::audit::{self, QueuedEvent};
use integration_tests::{InvokeError, Stack, json};
use std::collections::BTreeSet;
use std::time::Duration;
use time::OffsetDateTime;
use tokio_postgres::Client;

pub(crate) async fn event_ids(client: &Client) -> BTreeSet<String> {
    let rows = audit::rows(client).await;
    let ids: BTreeSet<_> = rows.iter().map(|row| row.event.event_id.clone()).collect();
    assert_eq!(ids.len(), rows.len(), "an event has two rows");
    ids
}

pub(crate) fn ids_of(events: &[QueuedEvent]) -> BTreeSet<String> {
    events.iter().map(|event| event.event_id.clone()).collect()
}

/// `count` events over buckets of every chain.
pub(crate) fn spread(name: &str, count: u16) -> Vec<QueuedEvent> {
    (0..count).map(|number| QueuedEvent::new(number.wrapping_mul(37) % 4096, &format!("{name}-{number}"))).collect()
}

#[tokio::test]
async fn a_second_run_finds_nothing_and_five_at_once_write_each_event_once() {
    let stack = Stack::builder().with_database().with_environments(5).start().await;
    let mut redis = stack.redis().connection().await;
    let client = stack.database().connect().await;
    let first = spread("first", 500);
    audit::queue(&mut redis, &first).await;
    assert_eq!(stack.run_write_audit().await["written"], 500);
    assert_eq!(stack.run_write_audit().await["taken"], 0);

    let mut all = ids_of(&first);
    for round in 0..3 {
        let events = spread(&format!("round-{round}"), 1500);
        audit::queue(&mut redis, &events).await;
        all.extend(ids_of(&events));
        let runs = join_all((0..5).map(|_| stack.run_write_audit())).await;
        let written: u64 = runs.iter().map(|run| run["written"].as_u64().expect("a number")).sum();
        // A chain that every drainer passed by because another held it may keep what came meanwhile.
        let rest = stack.run_write_audit().await["written"].as_u64().expect("a number");
        assert_eq!(written + rest, 1500, "{runs:?}");
    }
    assert_eq!(event_ids(&client).await, all);
    audit::verify(&client).await;
}

/// An event that is queued again under another entry, as a store that was rolled back does, has one row.
#[tokio::test]
async fn a_repeated_event_has_one_row() {
    let stack = Stack::builder().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    let event = QueuedEvent::new(5, "the same");
    audit::queue(&mut redis, &[event.clone(), event.clone()]).await;
    assert_eq!(
        stack.run_write_audit().await,
        json!({
            "taken": 2, "written": 1, "skippedChains": 0, "unreadable": 0, "handedOver": 0, "more": false, "anchor": 1
        })
    );
    audit::queue(&mut redis, &[event]).await;
    assert_eq!(stack.run_write_audit().await["written"], 0);
    audit::verify(&stack.database().connect().await).await;
}

/// F-20: while PostgreSQL is away, for ten minutes and a drain in each, no request fails and no event is lost.
#[tokio::test]
async fn f_20_requests_do_not_need_postgres_and_events_wait_for_it() {
    let stack = Stack::builder().with_database_proxy().with_clock().start().await;
    stack.database_proxy().go_offline().await;
    let mut sessions = Vec::new();
    for minute in 0..10 {
        let lives = (0..8).map(async |number| {
            let tokens = stack.app.start_session(&format!("user-{minute}-{number}")).await;
            stack.app.refresh(&tokens.session_id, &tokens.refresh_token).await.expect(200);
            stack.app.delete(&tokens.session_id).await.expect(204);
            tokens.session_id
        });
        let event = integration_tests::stack::scheduled_event(json!({}));
        let drain = stack.invoke("write-audit", &event);
        let (ended, drained) = futures::join!(join_all(lives), drain);
        match drained.expect_err("PostgreSQL is away") {
            InvokeError::Function(error) => assert_eq!(error["errorType"], "DependencyUnavailable", "{error}"),
            other => panic!("{other}"),
        }
        sessions.extend(ended);
        stack.advance(Duration::from_secs(60));
    }
    stack.database_proxy().go_online().await;
    assert_eq!(stack.run_write_audit().await["written"], 240);
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    for session in sessions {
        let kinds: Vec<_> = rows.iter().filter(|row| row.event.session_id == session).collect();
        let kinds: Vec<_> = kinds.iter().map(|row| row.event.event_type.as_str()).collect();
        assert_eq!(kinds, ["session.created", "session.refreshed", "session.ended"], "the order of one session");
    }
}

/// Runs over ranges together are the full run, and each keeps to its range.
#[tokio::test]
async fn ranges_together_are_the_full_run() {
    let stack = Stack::builder().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    let client = stack.database().connect().await;
    let ranges = [(0, 1023), (1024, 1024), (1025, 2090), (2091, 4095)];
    let edges = [0, 1, 1023, 1024, 1025, 2047, 2090, 2091, 4094, 4095];
    let events: Vec<_> = edges.iter().map(|bucket| QueuedEvent::new(*bucket, &format!("edge-{bucket}"))).collect();
    audit::queue(&mut redis, &events).await;
    let mut written = BTreeSet::new();
    for (first, last) in ranges {
        stack.run_scheduled("write-audit", json!({"firstBucket": first, "lastBucket": last})).await;
        let inside = events.iter().filter(|event| (first..=last).contains(&event.bucket));
        written.extend(inside.map(|event| event.event_id.clone()));
        assert_eq!(event_ids(&client).await, written, "{first} to {last}");
    }
    assert_eq!(written.len(), edges.len());
    assert_eq!(stack.run_write_audit().await["taken"], 0);

    // Two at once, with a border inside a chain.
    let events = spread("parallel", 800);
    audit::queue(&mut redis, &events).await;
    let halves = [json!({"firstBucket": 0, "lastBucket": 2090}), json!({"firstBucket": 2091, "lastBucket": 4095})];
    join_all(halves.map(|detail| stack.run_scheduled("write-audit", detail))).await;
    stack.run_write_audit().await;
    written.extend(ids_of(&events));
    assert_eq!(event_ids(&client).await, written);
    audit::verify(&client).await;
}

/// A drain makes the partition it needs: years without the job that makes them ahead, and entries of several months.
#[tokio::test]
async fn a_missing_partition_is_made() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    stack.advance(Duration::from_secs(400 * 24 * 3600));
    stack.app.start_session("ada").await;
    let year = |month: u8| {
        let date = time::Date::from_calendar_date(2031, time::Month::try_from(month).expect("a month"), 1);
        OffsetDateTime::new_utc(date.expect("a date"), time::Time::MIDNIGHT)
    };
    let months: Vec<_> = [1, 2, 5].map(|month| QueuedEvent::new(9, &format!("m-{month}")).at(year(month))).into();
    audit::queue(&mut redis, &months).await;
    assert_eq!(stack.run_write_audit().await["written"], 4);
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let names = client.query("SELECT DISTINCT tableoid::regclass::text FROM audit_events ORDER BY 1", &[]).await;
    let names: Vec<String> = names.expect("partitions").iter().map(|row| row.get(0)).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&"audit_events_203105".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_redis_cluster_is_drained_like_one_node() {
    let stack = Stack::builder().with_cluster().with_database().start().await;
    let mut sessions = Vec::new();
    for number in 0..12 {
        sessions.push(stack.app.start_session(&format!("user-{number}")).await.session_id);
    }
    for session in &sessions {
        stack.app.delete(session).await.expect(204);
    }
    for session in &sessions {
        // The cluster is shared: whatever else is in it is not ours to take.
        let bucket = audit::bucket_of(session);
        stack.run_scheduled("write-audit", json!({"firstBucket": bucket, "lastBucket": bucket})).await;
    }
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    for session in &sessions {
        let kinds: Vec<_> = rows.iter().filter(|row| row.event.session_id == *session).collect();
        let kinds: Vec<_> = kinds.iter().map(|row| row.event.event_type.as_str()).collect();
        assert_eq!(kinds, ["session.created", "session.ended"]);
    }
}
