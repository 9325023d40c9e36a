use super::reports::report;
use integration_tests::{Stack, json};
use shared::adapters::postgres::rollups::error_rate;
use shared::core::time::Timestamp;
use std::time::Duration;

/// The year 2096.
const FAR_SECONDS: i64 = 4_000_000_000;

/// An environment tells once a minute what it has measured, before an answer, and each measurement counts once.
#[tokio::test]
async fn handling_times_are_told_by_the_minute_and_counted_once() {
    let stack = Stack::builder().with_clock().with_database().with_environments(1).start().await;
    let session = stack.app.start_session("ada").await;
    for _ in 0..9 {
        stack.app.get(&session.session_id).await.expect(200);
    }
    stack.app.get("ses_AAAAAAAAAAAAAAAAAAAAAAAA").await.expect(404);
    let before = stack.run_write_audit().await;
    assert_eq!((&before["taken"], &before["written"]), (&json!(1), &json!(1)), "nothing is told within a minute");

    stack.advance(Duration::from_secs(61));
    stack.app.get(&session.session_id).await.expect(200);
    // The next one has nothing to tell.
    stack.app.get(&session.session_id).await.expect(200);
    let entries: Vec<_> = stack.redis_keys().await.into_iter().filter(|key| key.contains(b"service.sample")).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let mut redis = stack.redis().connection().await;
    let entry: redis::streams::StreamRangeReply =
        redis::cmd("XRANGE").arg(entries[0].name()).arg("-").arg("+").query_async(&mut redis).await.expect("an entry");
    let fields: Vec<(String, String)> =
        entry.ids[0].map.keys().map(|name| (name.clone(), entry.ids[0].get(name).expect("text"))).collect();
    assert_eq!(stack.run_write_audit().await["taken"], 1);
    // Again, as when its sender never heard that it arrived: elsewhere and under another entry.
    let mut again = redis::cmd("XADD");
    again.arg("o:{b007}").arg("*");
    for (name, value) in &fields {
        again.arg(name).arg(value);
    }
    again.exec_async(&mut redis).await.expect("queued");
    assert_eq!(stack.run_write_audit().await["taken"], 1);

    let told = report(&stack.app, "performance").await;
    let rows = told["rows"].as_array().expect("rows");
    let lookups: u64 =
        rows.iter().filter(|row| row["operation"] == "lookup").map(|row| row["count"].as_u64().expect("a count")).sum();
    assert_eq!(lookups, 11, "{rows:?}");
    assert!(rows.iter().all(|row| row["p50Millis"].as_f64() > Some(0.0)), "{rows:?}");

    let client = stack.database().connect().await;
    let (from, to) = (Timestamp::from_millis(0), Timestamp::from_seconds(FAR_SECONDS));
    let rate = error_rate(&client, from, to).await.expect("an answer");
    assert_eq!(rate, Some((0.0, 11)));
    assert_eq!(error_rate(&client, from, from).await.expect("an answer"), None);
}

/// While Redis is away nothing can be told; it is told later, and no answer suffers.
#[tokio::test]
async fn what_could_not_be_told_is_kept() {
    let stack = Stack::builder().with_clock().with_database().with_environments(1).with_redis_proxy().start().await;
    let session = stack.app.start_session("ada").await;
    stack.app.get(&session.session_id).await.expect(200);
    stack.advance(Duration::from_secs(61));
    stack.redis_proxy().go_offline().await;
    stack.app.get(&session.session_id).await.expect(503);
    stack.redis_proxy().go_online().await;
    stack.app.get(&session.session_id).await.expect(200);
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    let told =
        error_rate(&client, Timestamp::from_millis(0), Timestamp::from_seconds(FAR_SECONDS)).await.expect("an answer");
    let (rate, requests) = told.expect("requests");
    assert_eq!(requests, 3);
    assert!((rate - 1.0 / 3.0).abs() < 1e-9, "{rate}");
}
