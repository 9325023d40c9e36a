//! Guessing: misses are counted, told once, and refused. T-12, T-57, T-58.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::audit::{self, Row};
use integration_tests::{Request, Response, Stack, Value, json};

use super::{face, other_application, session_path, user_path};

async fn watched(unknown: u64) -> Stack {
    let policy = json!({ "rateLimits": { "unknownPerMinute": unknown } });
    let builder = Stack::builder().with_clock().with_database().with_environments(1);
    builder.with_policy(policy).start().await
}

/// Well-formed session ids that nobody was given.
fn guess(number: u64) -> String {
    let mut raw = [0; 18];
    raw[10..].copy_from_slice(&number.to_be_bytes());
    format!("ses_{}", URL_SAFE_NO_PAD.encode(raw))
}

async fn probing(stack: &Stack) -> Vec<Row> {
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    rows.into_iter().filter(|row| row.event.event_type == "security.probing").collect()
}

#[track_caller]
fn refused(response: &Response) {
    assert_eq!((response.status, response.code().as_str()), (429, "rate_limited"), "{response:?}");
    let seconds: u64 = response.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{response:?}");
}

#[tokio::test]
async fn t_58_an_application_that_guesses_is_refused_and_told_of_once() {
    let stack = watched(12).await;
    let other = other_application(&stack).await;
    let foreign = other.start_session("ada").await;
    let own = stack.app.start_session("ada").await;
    stack.clock().freeze();
    // Foreign and never issued, by every method: equal answers, equal counts.
    for number in 0..4 {
        let unknown = stack.app.get(&guess(number)).await.expect_problem(404, "not_found");
        let theirs = stack.app.get(&foreign.session_id).await;
        assert_eq!(face(&theirs), face(&unknown));
        stack.app.delete(&guess(number)).await.expect_problem(404, "not_found");
    }
    assert_eq!(probing(&stack).await.len(), 0);
    for number in 0..5 {
        refused(&stack.app.get(&guess(number)).await);
        refused(&stack.app.get(&foreign.session_id).await);
        refused(&stack.app.put(&guess(number), "*", json!({ "data": {} })).await);
        refused(&stack.app.delete(&guess(number)).await);
    }
    // What is there is served all the same, ill-formed ids are no guesses, and others are not concerned.
    stack.app.get(&own.session_id).await.expect(200);
    stack.app.get("none").await.expect_problem(404, "not_found");
    other.get(&guess(1)).await.expect_problem(404, "not_found");
    let told = probing(&stack).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let event = &told[0].event;
    assert_eq!((event.application_id.as_str(), event.actor.as_str()), (stack.app.id.as_str(), "application"));
    assert_eq!((event.session_id.as_str(), event.reason.as_str()), ("", ""));
    // Once per minute.
    stack.advance(Duration::from_secs(61));
    for number in 0..13 {
        stack.app.get(&guess(number)).await;
    }
    assert_eq!(probing(&stack).await.len(), 2);
}

#[tokio::test]
async fn t_58_a_holder_that_guesses_is_refused_and_named_by_its_session() {
    let stack = watched(5).await;
    let (own, bob) = (stack.app.start_session("ada").await, stack.app.start_session("bob").await);
    stack.clock().freeze();
    let as_holder = |method: &str, path: &str| stack.request(method, path).bearer(&own.access_token).send();
    for path in [&session_path(&bob.session_id), &session_path(&guess(1)), &user_path("bob"), &user_path("nobody")] {
        as_holder("GET", path).await.expect_problem(404, "not_found");
    }
    as_holder("DELETE", &user_path("bob")).await.expect_problem(404, "not_found");
    for path in [&session_path(&bob.session_id), &session_path(&guess(1)), &user_path("bob"), &user_path("nobody")] {
        refused(&as_holder("GET", path).await);
    }
    as_holder("GET", &session_path(&own.session_id)).await.expect(200);
    let told = probing(&stack).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let event = &told[0].event;
    assert_eq!((event.session_id.as_str(), event.actor.as_str()), (own.session_id.as_str(), "holder"));
    let created = audit::rows(&stack.database().connect().await).await;
    let created = created.iter().find(|row| row.event.session_id == own.session_id).expect("a row");
    assert_eq!(event.subject, created.event.subject, "the user is the subject");
}

fn garbage(number: u64) -> String {
    let mut raw = [0xa5; 63];
    raw[20..28].copy_from_slice(&number.to_be_bytes());
    format!("rt_{}", URL_SAFE_NO_PAD.encode(raw))
}

/// T-12: garbage reaches no store but for a count of every tenth, and is refused after the quota of its address. Each of the two
/// refusals is told once.
#[tokio::test]
async fn t_12_guessed_refresh_tokens_cost_next_to_nothing_and_are_refused() {
    let builder = Stack::builder().with_clock().with_database().with_environments(1);
    let stack = builder.with_redis_proxy().with_moto_proxy().start().await;
    let session = stack.app.start_session("ada").await;
    stack.clock().freeze();
    let path = format!("{}/refresh", session_path(&session.session_id));
    let present = |token: &str, ip: &str| -> Request {
        stack.request("POST", &path).json(&json!({ "refreshToken": token })).source_ip(ip)
    };
    // Warm: its keys are there, and its scripts.
    for number in 0..10 {
        present(&garbage(number), "192.0.2.1").send().await.expect(401);
    }
    let before = (stack.redis_proxy().counts(), stack.moto_proxy().counts());
    let mut statuses = BTreeMap::<u16, u32>::new();
    for number in 0..1000 {
        let answer = present(&garbage(number), "198.51.100.7").send().await;
        *statuses.entry(answer.status).or_default() += 1;
        if answer.status == 429 {
            refused(&answer);
        }
    }
    // The quota of an unknown application is 60; the seventh report is over it.
    assert_eq!(statuses, BTreeMap::from([(401, 69), (429, 931)]));
    let redis = stack.redis_proxy().counts() - before.0;
    let aws = stack.moto_proxy().counts() - before.1;
    assert_eq!((redis.round_trips, aws.round_trips), (7 + 2, 0));
    // The honest user behind the same address, and other addresses.
    present(&session.refresh_token, "198.51.100.7").send().await.expect(200);
    present(&garbage(1), "198.51.100.8").send().await.expect(401);
    let told = probing(&stack).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let event = &told[0].event;
    assert_eq!((event.application_id.as_str(), event.actor.as_str()), ("", "service"));
    let everything = audit::everything(&stack.database().connect().await).await;
    assert!(!everything.contains("198.51.100"), "addresses stay out of the audit");
}

#[tokio::test]
async fn t_12_guessed_application_keys_are_refused() {
    let stack = watched(0).await;
    let session = stack.app.start_session("ada").await;
    stack.clock().freeze();
    let path = session_path(&session.session_id);
    let head = stack.app.key.rsplit_once(&format!("{}_", stack.app.id)).expect("a key").0;
    let mut statuses = BTreeMap::<u16, u32>::new();
    for number in 0..100_u64 {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&number.to_be_bytes());
        let key = format!("{head}{}_{}", stack.app.id, URL_SAFE_NO_PAD.encode(secret));
        let answer = stack.request("GET", &path).bearer(&key).source_ip("198.51.100.7").send().await;
        *statuses.entry(answer.status).or_default() += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(401, 69), (429, 31)]));
    // The true key works from the same address.
    stack.app.request("GET", &path).source_ip("198.51.100.7").send().await.expect(200);
    assert_eq!(probing(&stack).await.len(), 1);
}

/// Names of counters and values of events tell nobody an address.
#[tokio::test]
async fn t_48_no_address_and_no_application_shows_in_a_key() {
    let stack = watched(3).await;
    let session = stack.app.start_session("ada").await;
    let path = session_path(&session.session_id);
    for number in 0..5 {
        stack.app.get(&guess(number)).await;
    }
    // More than an address gets on credit.
    for _ in 0..55 {
        stack.request("GET", &path).bearer("no").source_ip("198.51.100.7").send().await.expect(401);
    }
    let keys = stack.redis_keys().await;
    let counters: Vec<String> = keys.iter().map(|key| key.name()).filter(|name| name.starts_with("r:")).collect();
    assert!(counters.len() >= 2, "{counters:?}");
    for name in counters {
        let rest = name.split_once('}').expect("a hash tag").1;
        assert!(!name.contains(&stack.app.id) && rest.len() == 17, "{name}");
    }
    for key in keys {
        assert!(!key.contains(b"198.51.100"), "{}", key.name());
    }
    let _: Value = stack.app.get(&session.session_id).await.expect(200).json();
}
