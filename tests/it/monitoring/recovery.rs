use std::sync::Arc;

use super::support::*;
use integration_tests::stack::scheduled_event;
use integration_tests::{InvokeError, Stack, eventually, json};

async fn expect_away(stack: &Stack) {
    match stack.invoke("evaluate-alerts", &scheduled_event(json!({}))).await {
        Err(InvokeError::Function(error)) => assert_eq!(error["errorType"], "DependencyUnavailable", "{error}"),
        other => panic!("{other:?}"),
    }
}

/// Without PostgreSQL the job fails and says so. What happened meanwhile is found afterwards, although its window is over
/// by then.
#[tokio::test]
async fn without_postgres_the_job_fails_and_nothing_is_lost() {
    let stack = watched(&[("ALERT_REFRESH_REPLAYS", "2")]).with_database_proxy().start().await;
    let listeners = Listeners::of(&stack).await;
    round(&stack).await;
    replay(&stack, 2).await;
    stack.database_proxy().go_offline().await;
    expect_away(&stack).await;
    let record = stack.environment("evaluate-alerts", 0).await.log_records();
    let failed = record.iter().filter(|record| record["message"] == "job" && record["Errors"] == 1).count();
    assert_eq!(failed, 1, "the failed run is measured as one");
    stack.advance(std::time::Duration::from_secs(2 * 3600));
    stack.database_proxy().go_online().await;
    let evaluated = round(&stack).await;
    assert_eq!(evaluated["fired"], 1, "a burst of two hours ago: {evaluated}");
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(kinds(&application), ["alert.fired refresh_reuse"]);
}

/// Without DynamoDB the alert is decided, and told when DynamoDB is back.
#[tokio::test]
async fn without_dynamodb_what_fired_is_told_later() {
    let stack = watched(&[("ALERT_REFRESH_REPLAYS", "2")]).with_moto_proxy().start().await;
    let listeners = Listeners::of(&stack).await;
    replay(&stack, 2).await;
    stack.run_write_audit().await;
    for refused in [b"DynamoDB_20120810.Scan".as_slice(), b"DynamoDB_20120810.PutItem"] {
        stack.moto_proxy().intercept(refused, b"");
        expect_away(&stack).await;
        stack.moto_proxy().go_online().await;
    }
    let client = stack.database().connect().await;
    let row = client.query_one("SELECT count(*), count(*) FILTER (WHERE told_fired) FROM alerts", &[]).await;
    let row = row.expect("a count");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 0), "decided once, not told");
    let evaluated = stack.run_alerts().await;
    assert_eq!((&evaluated["fired"], &evaluated["handedOver"]), (&json!(0), &json!(2)));
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(kinds(&application), ["alert.fired refresh_reuse"]);
    listeners.published_by_now(1).await;
}

/// A run that dies after it handed over, and before it could note that, is repeated; nobody is told twice.
#[tokio::test]
async fn what_was_handed_over_twice_is_delivered_once() {
    let stack = watched(&[("ALERT_REFRESH_REPLAYS", "2")]).with_database_proxy().start().await;
    let listeners = Listeners::of(&stack).await;
    replay(&stack, 2).await;
    stack.run_write_audit().await;
    stack.database_proxy().intercept(b"UPDATE alerts SET told_fired", b"");
    expect_away(&stack).await;
    stack.database_proxy().go_online().await;
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(application.len(), 1, "it was handed over");
    let evaluated = stack.run_alerts().await;
    assert_eq!((&evaluated["fired"], &evaluated["handedOver"]), (&json!(0), &json!(0)));
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(kinds(&application), ["alert.fired refresh_reuse"]);
    listeners.published_by_now(1).await;
    assert_eq!(listeners.published().len(), 1);
}

/// SNS away: the message waits among the deliveries and comes with the next attempt.
#[tokio::test]
async fn without_sns_operators_are_told_by_the_next_attempt() {
    let stack = watched(&[("ALERT_REFRESH_REPLAYS", "2")]).with_moto_proxy().start().await;
    let listeners = Listeners::of(&stack).await;
    replay(&stack, 2).await;
    round(&stack).await;
    stack.moto_proxy().intercept(b"Action=Publish", b"");
    let delivered = stack.run_deliveries().await;
    assert_eq!((&delivered["delivered"], &delivered["postponed"]), (&json!(1), &json!(1)), "{delivered}");
    stack.moto_proxy().go_online().await;
    assert_eq!(listeners.published().len(), 0);
    stack.advance(std::time::Duration::from_secs(90));
    assert_eq!(stack.run_deliveries().await["delivered"], 1);
    listeners.published_by_now(1).await;
}

/// Evaluations that meet take turns: what one has decided, the others find open.
#[tokio::test]
async fn evaluators_that_meet_notify_once() {
    let stack = Arc::new(watched(&[("ALERT_REFRESH_REPLAYS", "2")]).start().await);
    let listeners = Listeners::of(&stack).await;
    replay(&stack, 2).await;
    stack.run_write_audit().await;
    let mut client = stack.database().connect().await;
    let observer = stack.database().connect().await;
    let lock = client.transaction().await.expect("a transaction");
    lock.query_one("SELECT through FROM alerts_progress FOR UPDATE", &[]).await.expect("the lock");
    let run = |environment| {
        let stack = Arc::clone(&stack);
        tokio::spawn(async move {
            stack.fleet.invoke_on("evaluate-alerts", environment, &scheduled_event(json!({}))).await.expect("a run")
        })
    };
    let runs = [run(0), run(1), run(2)];
    eventually("all wait for the lock", || async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (observer.query_one(waiting, &[]).await.expect("a count").get::<_, i64>(0) == 3).then_some(())
    })
    .await;
    lock.commit().await.expect("the lock is given back");
    let (mut fired, mut handed_over) = (0, 0);
    for run in runs {
        let run = run.await.expect("a task");
        fired += run["fired"].as_u64().expect("a number");
        handed_over += run["handedOver"].as_u64().expect("a number");
    }
    assert_eq!((fired, handed_over), (1, 2));
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(kinds(&application), ["alert.fired refresh_reuse"]);
    listeners.published_by_now(1).await;
    assert_eq!(listeners.published().len(), 1);
}
