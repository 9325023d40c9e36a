use std::time::Duration;

use integration_tests::stores::{RedisOptions, RedisServer};
use integration_tests::{Clock, Environment, eventually, json};

use super::probe;

const HOUR_MS: i64 = 3_600_000;

async fn under(clock: &Clock, label: &str) -> Environment {
    let mut spec = probe();
    spec.dial = Some(clock.dial(label));
    Environment::spawn(spec).await
}

/// How far the process's wall clock is ahead of ours, to the nearest hour.
async fn hours_ahead(environment: &Environment) -> i64 {
    let seen = environment.invoke(&json!({})).await.unwrap()["nowMs"].as_i64().unwrap();
    let ours = i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap();
    (seen - ours + HOUR_MS / 2).div_euclid(HOUR_MS)
}

#[tokio::test]
async fn a_running_process_sees_the_clock_move() {
    let clock = Clock::new();
    let environment = under(&clock, "probe/0").await;
    assert_eq!(hours_ahead(&environment).await, 0);
    clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(hours_ahead(&environment).await, 2);
    clock.shift(time::Duration::hours(-5));
    assert_eq!(hours_ahead(&environment).await, -3);
}

#[tokio::test]
async fn a_frozen_clock_moves_only_when_it_is_moved() {
    let clock = Clock::new();
    let environment = under(&clock, "probe/0").await;
    let seen = async || environment.invoke(&json!({})).await.unwrap()["nowMs"].as_i64().unwrap();
    clock.advance(Duration::from_secs(2 * 3600));
    clock.freeze();
    let frozen = i64::try_from(clock.now().unix_timestamp_nanos() / 1_000_000).unwrap();
    assert_eq!((seen().await, seen().await), (frozen, frozen));
    clock.advance(Duration::from_secs(7));
    assert_eq!(seen().await, frozen + 7000);
}

#[tokio::test]
async fn one_process_can_be_set_apart() {
    let clock = Clock::new();
    let (first, second) = (under(&clock, "probe/0").await, under(&clock, "probe/1").await);
    clock.skew("probe/1", time::Duration::hours(-1));
    clock.advance(Duration::from_secs(3 * 3600));
    assert_eq!((hours_ahead(&first).await, hours_ahead(&second).await), (3, 2));
}

#[tokio::test]
async fn timers_keep_their_real_length() {
    let clock = Clock::new();
    let environment = under(&clock, "probe/0").await;
    environment.ready().await.unwrap();
    clock.advance(Duration::from_secs(24 * 3600));
    let event = json!({ "sleepMs": 150 });
    let asleep = environment.invoke(&event);
    let moving = async {
        eventually("the function has the event", || async { (environment.api().invocations() == 1).then_some(()) })
            .await;
        // While the timer runs: once forward, once back beyond its start.
        clock.advance(Duration::from_secs(3600));
        clock.shift(time::Duration::hours(-48));
    };
    let (result, ()) = tokio::join!(asleep, moving);
    let slept = result.unwrap()["sleptMs"].as_u64().unwrap();
    assert!((150..5_000).contains(&slept), "{slept} ms");
}

#[tokio::test]
async fn the_deadline_is_on_the_clock_of_the_function() {
    let clock = Clock::new();
    let environment = under(&clock, "probe/0").await;
    clock.advance(Duration::from_secs(48 * 3600));
    let seen = environment.invoke(&json!({})).await.unwrap();
    let left = seen["deadlineMs"].as_i64().unwrap() - seen["nowMs"].as_i64().unwrap();
    assert!((1..=30_000).contains(&left), "{left} ms");
}

#[tokio::test]
async fn redis_expires_keys_by_the_clock() {
    let clock = Clock::new();
    let server = RedisServer::start(RedisOptions { dial: Some(clock.dial("redis")), ..RedisOptions::default() }).await;
    let mut connection = server.connection().await;
    redis::cmd("SET").arg("k").arg("v").arg("EX").arg(3600).exec_async(&mut connection).await.unwrap();
    clock.advance(Duration::from_secs(3599));
    let before: bool = redis::cmd("EXISTS").arg("k").query_async(&mut connection).await.unwrap();
    clock.advance(Duration::from_secs(2));
    let after: bool = redis::cmd("EXISTS").arg("k").query_async(&mut connection).await.unwrap();
    assert_eq!((before, after), (true, false));
}
