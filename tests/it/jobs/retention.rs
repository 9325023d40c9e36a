use futures::future::join_all;
use integration_tests::audit::{self, QueuedEvent};
use integration_tests::{Stack, json};
use std::collections::BTreeSet;
use time::OffsetDateTime;
use tokio_postgres::Client;

async fn partitions(client: &Client) -> BTreeSet<String> {
    let query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_events'::regclass";
    client.query(query, &[]).await.expect("partitions").iter().map(|row| row.get(0)).collect()
}

/// The first moment of the month that lies `ahead` of the present one.
fn month(ahead: i32) -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    let index = now.year() * 12 + i32::from(u8::from(now.month())) - 1 + ahead;
    let month = time::Month::try_from(index.rem_euclid(12) as u8 + 1).expect("a month");
    let date = time::Date::from_calendar_date(index.div_euclid(12), month, 1).expect("a date");
    OffsetDateTime::new_utc(date, time::Time::MIDNIGHT)
}

fn partition(ahead: i32) -> String {
    let month = month(ahead);
    format!("audit_events_{:04}{:02}", month.year(), u8::from(month.month()))
}

/// A dry run counts the months of audit and activities that a run would drop, and drops none.
#[tokio::test]
async fn a_dry_run_counts_what_a_run_drops_and_drops_nothing() {
    let stack = Stack::builder()
        .with_database()
        .with_variable("AUDIT_RETENTION_MONTHS", "2")
        .with_variable("ACTIVITY_RETENTION_MONTHS", "3")
        .start()
        .await;
    let client = stack.database().connect().await;
    for ahead in [-5, -4, -3, -2] {
        for table in ["audit", "activity"] {
            let make = format!("SELECT {table}_ensure_partition($1)");
            client.execute(&make, &[&month(ahead).date()]).await.expect("a partition");
        }
    }
    let dry = || stack.run_scheduled("cleanup-sessions", json!({ "dryRun": true }));
    for _ in 0..2 {
        assert_eq!(dry().await["droppedPartitions"], 5, "three of the audit, two of activities");
    }
    assert!(partitions(&client).await.contains(&partition(-5)));
    assert_eq!(stack.run_scheduled("cleanup-sessions", json!({})).await["droppedPartitions"], 5);
    assert!(!partitions(&client).await.contains(&partition(-3)));
    assert!(partitions(&client).await.contains(&partition(-2)));
    assert_eq!(dry().await["droppedPartitions"], 0);
}

/// Retention drops whole months, and what is left still verifies: also where months alternate in a chain, because its
/// buckets were queued by different stores and drained at different times.
#[tokio::test]
async fn retention_drops_months_and_keeps_where_chains_go_on() {
    let stack = Stack::builder()
        .with_database()
        .with_environments(3)
        .with_variable("AUDIT_RETENTION_MONTHS", "2")
        .start()
        .await;
    let mut redis = stack.redis().connection().await;
    let client = stack.database().connect().await;
    // Six buckets of one chain and one of another; each run of the drain writes one event of every month and bucket
    // that it finds, so the months follow each other many times.
    for round in 0..4 {
        for ahead in [-5, -4, -3, -2, -1, 0] {
            let at = month(ahead) + time::Duration::hours(round) + time::Duration::minutes(i64::from(-ahead));
            let bucket = (5 + ahead + 1) as u16;
            let events = [bucket, 4000 + bucket / 3].map(|bucket| {
                let other = QueuedEvent::new(bucket, &format!("{round}/{ahead}/{bucket}")).at(at);
                QueuedEvent { bucket, ..other }
            });
            // One chain stands still for a month, the other is drained at every step.
            audit::queue(&mut redis, &events[..1]).await;
            if round == 0 {
                audit::queue(&mut redis, &events[1..]).await;
            }
        }
        assert!(stack.run_write_audit().await["written"].as_u64() >= Some(6));
    }
    audit::verify(&client).await;
    let before = audit::rows(&client).await;
    assert_eq!(before.len(), 30);

    // Three jobs at once: each answers, and together they drop the months once.
    let runs = join_all((0..3).map(|_| stack.run_scheduled("cleanup-sessions", json!({})))).await;
    let dropped: u64 = runs.iter().map(|run| run["droppedPartitions"].as_u64().expect("a number")).sum();
    assert_eq!(dropped, 3, "{runs:?}");
    let expected: BTreeSet<_> = (-2..=2).map(partition).collect();
    assert_eq!(partitions(&client).await, expected, "the kept months, this one and the two to come");

    let left = audit::rows(&client).await;
    let kept: Vec<_> = before.iter().filter(|row| row.queued_at >= month(-2)).map(|row| &row.event).collect();
    assert_eq!(left.iter().map(|row| &row.event).collect::<Vec<_>>(), kept);
    audit::verify(&client).await;
    // The chains go on, and a row that is missing is still missed.
    audit::queue(&mut redis, &[QueuedEvent::new(3, "later"), QueuedEvent::new(4001, "later too")]).await;
    assert_eq!(stack.run_write_audit().await["written"], 2);
    audit::verify(&client).await;
    for row in &left {
        client.batch_execute("BEGIN").await.expect("a transaction");
        let delete = "DELETE FROM audit_events WHERE event_id = $1";
        assert_eq!(client.execute(delete, &[&row.event.event_id]).await.expect("a deletion"), 1);
        assert!(!audit::violations(&client).await.is_empty(), "not missed: {row:?}");
        client.batch_execute("ROLLBACK").await.expect("a rollback");
    }
    assert_eq!(stack.run_scheduled("cleanup-sessions", json!({})).await["droppedPartitions"], 0);
}

/// When all rows are past retention the chain goes on behind its anchor.
#[tokio::test]
async fn a_chain_goes_on_when_all_its_rows_are_gone() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let client = stack.database().connect().await;
    stack.app.start_session("ada").await;
    stack.run_write_audit().await;
    stack.advance(std::time::Duration::from_secs(450 * 24 * 3600));
    let run = stack.run_scheduled("cleanup-sessions", json!({})).await;
    assert!(run["droppedPartitions"].as_u64() >= Some(1), "{run}");
    assert_eq!(audit::rows(&client).await.len(), 0);
    audit::verify(&client).await;
    stack.app.start_session("ada").await;
    stack.run_write_audit().await;
    let rows = audit::rows(&client).await;
    assert!(rows.iter().any(|row| row.sequence == 2), "{rows:?}");
    audit::verify(&client).await;
}
