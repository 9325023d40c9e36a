//! Parallel logins at the limit. I-4, T-67.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use integration_tests::{Response, Stack, json};
use redis::aio::MultiplexedConnection;
use shared::core::record::SessionRecord;
use shared::core::session::{Liveness, liveness};

use super::tally;

const LIMIT: usize = 5;
const LOGINS: usize = 200;

/// One instant of Redis: every record, and the members of every index.
const SAMPLE: &str = "local records, members = {}, 0 \
    for _, key in ipairs(redis.call('KEYS', 's:*')) do table.insert(records, redis.call('GET', key)) end \
    for _, key in ipairs(redis.call('KEYS', 'u:*')) do members = members + redis.call('ZCARD', key) end \
    return {records, members}";

async fn sample(connection: &mut MultiplexedConnection) -> usize {
    let command = redis::cmd("EVAL").arg(SAMPLE).arg(0).to_owned();
    let (records, members): (Vec<Vec<u8>>, usize) = command.query_async(connection).await.expect("a sample");
    let now = shared::clock::now();
    let lives = |bytes: &Vec<u8>| {
        let record = SessionRecord::decode(bytes).expect("readable");
        liveness(&record.header, 0, now) == Liveness::Alive
    };
    let living = records.iter().filter(|bytes| lives(bytes)).count();
    assert!(living <= LIMIT, "{living} sessions live at one instant");
    assert!(members <= LIMIT, "{members} sessions in the index at one instant");
    living
}

/// Two hundred logins of one user, watched while they happen.
async fn storm(on_limit: &str) -> (Stack, Vec<Response>) {
    let policy = json!({ "sessionLimit": { "max": LIMIT, "onLimit": on_limit } });
    let stack = Stack::builder().with_policy(policy).with_environments(16).start().await;
    let done = AtomicBool::new(false);
    let logins = async {
        let answers = join_all((0..LOGINS).map(|_| stack.app.create_session(json!({ "userId": "ada" })))).await;
        done.store(true, Ordering::SeqCst);
        answers
    };
    let watch = async {
        let mut connection = stack.redis().connection().await;
        let mut samples = 0;
        while !done.load(Ordering::SeqCst) {
            sample(&mut connection).await;
            samples += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(sample(&mut connection).await, LIMIT, "places left free");
        samples
    };
    let (answers, samples) = tokio::join!(logins, watch);
    assert!(samples > 20, "only {samples} samples");
    println!("{on_limit}: {:?}, {samples} samples", tally(&answers));
    (stack, answers)
}

#[tokio::test]
async fn t_67_i_4_rejecting_logins_lets_exactly_the_limit_in() {
    let (stack, answers) = storm("reject").await;
    let expected =
        BTreeMap::from([((201, String::new()), LIMIT), ((409, "session_limit_reached".to_owned()), LOGINS - LIMIT)]);
    assert_eq!(tally(&answers), expected);
    assert_eq!(stack.app.list("ada").await.expect(200).json()["sessions"].as_array().map(Vec::len), Some(LIMIT));
}

async fn evicting(on_limit: &str) {
    let (stack, answers) = storm(on_limit).await;
    assert_eq!(tally(&answers), BTreeMap::from([((201, String::new()), LOGINS)]));
    // Each session but the last five was evicted exactly once, and whoever made room was told.
    let text = |value: &integration_tests::Value| value.as_str().expect("an id").to_owned();
    let mut evicted: Vec<String> = Vec::new();
    for answer in &answers {
        evicted.extend(answer.json()["evicted"].as_array().expect("a list").iter().map(text));
    }
    let count = evicted.len();
    evicted.sort();
    evicted.dedup();
    assert_eq!((count, evicted.len()), (LOGINS - LIMIT, LOGINS - LIMIT));
    let listed = stack.app.list("ada").await.expect(200).json();
    let living = listed["sessions"].as_array().expect("a list");
    assert_eq!(living.len(), LIMIT);
    assert!(living.iter().all(|session| !evicted.contains(&text(&session["sessionId"]))));
    let gone = stack.app.get(&evicted[0]).await.expect_problem(404, "session_ended");
    assert_eq!(gone.json()["reason"], "evicted");
}

#[tokio::test]
async fn t_67_i_4_evicting_the_oldest_never_exceeds_the_limit() {
    evicting("evict_oldest").await;
}

#[tokio::test]
async fn t_67_i_4_evicting_the_least_recent_never_exceeds_the_limit() {
    evicting("evict_least_recent").await;
}
