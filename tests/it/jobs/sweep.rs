use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::{Application, Stack, Value, audit, json};
use shared::core::record::HEADER_BYTES;
use std::collections::BTreeMap;
use std::time::Duration;

const DAY: u64 = 24 * 3600;
const IDLE: u8 = 3;
const ABSOLUTE: u8 = 4;

async fn session(app: &Application, user: &str, mut body: Value) -> String {
    body["userId"] = json!(user);
    SessionTokens::from_created(&app.create_session(body).await).session_id
}

/// The part of a record's key behind the hash tag.
fn key_text(session_id: &str) -> String {
    let id = shared::core::id::SessionId::parse(session_id).expect("a session id");
    id.key_text()
}

/// State byte, reason byte, length and remaining life of a record.
async fn record(stack: &Stack, session_id: &str) -> Option<(u8, u8, usize, i64)> {
    let name = format!("s:{{b{:03x}}}:{}", audit::bucket_of(session_id), key_text(session_id));
    let key = stack.redis_keys().await.into_iter().find(|key| key.name() == name)?;
    let bytes = &key.content[0];
    Some((bytes[1], bytes[2], bytes.len(), key.ttl_ms))
}

/// Everything that names a session in a queue or an index.
async fn places(stack: &Stack, session_id: &str) -> Vec<String> {
    let text = key_text(session_id);
    let keys = stack.redis_keys().await;
    let naming = keys.iter().filter(|key| key.kind == "zset" && key.contains(text.as_bytes()));
    naming.map(|key| key.name().chars().take(1).collect()).collect()
}

/// T-75, F-29: a sweep ends what has expired and nothing else, puts touched sessions back, and leaves a tombstone with
/// the reason that lives as long as somebody may ask.
#[tokio::test]
async fn t_75_a_sweep_ends_exactly_what_expired() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let app = &stack.app;
    let idle = session(app, "idle", json!({"idleTimeoutSeconds": 60})).await;
    let absolute = session(app, "absolute", json!({"idleTimeoutSeconds": 120, "absoluteTimeoutSeconds": 120})).await;
    let touched = session(app, "touched", json!({"idleTimeoutSeconds": 100})).await;
    let live = session(app, "live", json!({})).await;
    let ended = session(app, "ended", json!({"idleTimeoutSeconds": 60})).await;
    app.delete(&ended).await.expect(204);
    stack.advance(Duration::from_secs(50));
    app.get(&idle).await.expect(200);
    stack.advance(Duration::from_secs(40));
    app.get(&touched).await.expect(200);
    app.get(&absolute).await.expect(200);
    stack.advance(Duration::from_secs(35));

    // `touched` is in the queue at the deadline it was created with.
    let cleaned = stack.run_cleanup().await;
    let expected = json!({
        "lookedAt": 3, "ended": 2, "unreadable": 0, "droppedPartitions": 0, "erasures": 0, "retention": [], "more": false,
    });
    assert_eq!(cleaned, expected);
    let again = stack.run_cleanup().await;
    assert_eq!((&again["lookedAt"], &again["ended"]), (&json!(0), &json!(0)), "{again}");

    assert_eq!(places(&stack, &idle).await, [""; 0]);
    assert_eq!(places(&stack, &absolute).await, [""; 0]);
    for session in [&touched, &live] {
        assert_eq!(places(&stack, session).await, ["u", "x"]);
        app.get(session).await.expect(200);
    }
    // A tombstone is the header alone; it lives a week, or as long as the session could have, but a day at least.
    let (state, reason, length, ttl) = record(&stack, &idle).await.expect("a tombstone");
    assert_eq!((state, reason, length), (2, IDLE, HEADER_BYTES));
    assert!((1..=7 * DAY as i64 * 1000).contains(&ttl) && ttl > 6 * DAY as i64 * 1000, "{ttl}");
    let (state, reason, length, ttl) = record(&stack, &absolute).await.expect("a tombstone");
    assert_eq!((state, reason, length), (2, ABSOLUTE, HEADER_BYTES));
    assert!((1..=DAY as i64 * 1000).contains(&ttl), "{ttl}");
    for (session, reason) in [(&idle, "idle"), (&absolute, "absolute")] {
        let gone = app.get(session).await.expect_problem(404, "session_ended");
        assert_eq!(gone.json()["reason"], reason);
    }

    // Tombstones go by themselves.
    stack.advance(Duration::from_secs(DAY + 1));
    app.get(&absolute).await.expect_problem(404, "not_found");
    app.get(&idle).await.expect_problem(404, "session_ended");
    stack.advance(Duration::from_secs(7 * DAY));
    app.get(&idle).await.expect_problem(404, "not_found");
    assert_eq!(record(&stack, &idle).await, None);
}

/// A session that nobody reads again is swept all the same: also one whose record Redis has dropped already.
#[tokio::test]
async fn the_queue_is_emptied_of_sessions_whose_record_is_gone() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let session = session(&stack.app, "ada", json!({"absoluteTimeoutSeconds": 60})).await;
    stack.advance(Duration::from_secs(60 + 25 * 3600));
    assert_eq!(record(&stack, &session).await, None);
    let cleaned = stack.run_cleanup().await;
    assert_eq!((&cleaned["lookedAt"], &cleaned["ended"]), (&json!(1), &json!(0)), "{cleaned}");
    assert!(!places(&stack, &session).await.contains(&"x".to_owned()));
}

/// What a sweep costs does not depend on how many sessions live, and it never walks the key space.
#[tokio::test]
async fn a_sweep_with_nothing_due_asks_each_queue_once() {
    let stack = Stack::builder().with_database().start().await;
    for number in 0..20 {
        stack.app.start_session(&format!("user-{number}")).await;
    }
    stack.run_cleanup().await;
    let before = stack.redis().command_calls().await;
    let cleaned = stack.run_cleanup().await;
    let after = stack.redis().command_calls().await;
    assert_eq!((&cleaned["lookedAt"], &cleaned["ended"]), (&json!(0), &json!(0)), "{cleaned}");
    let spent: BTreeMap<_, _> = after
        .iter()
        .map(|(name, calls)| (name.as_str(), calls - before.get(name).copied().unwrap_or(0)))
        .filter(|(_, calls)| *calls > 0)
        .filter(|(name, _)| !matches!(*name, "info" | "client|setinfo" | "hello"))
        .collect();
    assert_eq!(spent, BTreeMap::from([("evalsha", 4096), ("get", 4096), ("time", 4096), ("zrange", 4096)]));
}

/// Five copies of the job at once end each session once, and say so once.
#[tokio::test]
async fn five_sweeps_at_once_end_each_session_once() {
    let stack = Stack::builder().with_clock().with_database().with_environments(5).start().await;
    let mut sessions = Vec::new();
    for user in 0..30 {
        for _ in 0..3 {
            sessions.push(session(&stack.app, &format!("user-{user}"), json!({"idleTimeoutSeconds": 60})).await);
        }
    }
    stack.advance(Duration::from_secs(61));
    let runs = join_all((0..5).map(|_| stack.run_cleanup())).await;
    let ended: u64 = runs.iter().map(|run| run["ended"].as_u64().expect("a number")).sum();
    assert_eq!(ended, 90, "{runs:?}");
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    let mut told: Vec<_> = audit::rows(&client).await.into_iter().map(|row| row.event).collect();
    told.retain(|event| event.event_type == "session.ended");
    let mut told: Vec<_> = told.into_iter().map(|event| event.session_id).collect();
    told.sort();
    sessions.sort();
    assert_eq!(told, sessions);
}

/// More than a batch of one bucket is due at once.
#[tokio::test]
async fn a_full_bucket_is_swept_in_batches() {
    let policy = json!({"sessionLimit": {"max": 100, "onLimit": "reject"}});
    let stack = Stack::builder().with_clock().with_database().with_policy(policy).start().await;
    // A bucket gets at most 100 sessions of one user, and three users of one bucket are not found by chance.
    let mut redis = stack.redis().connection().await;
    session(&stack.app, "ada", json!({"idleTimeoutSeconds": 60})).await;
    let first = session(&stack.app, "ada", json!({"idleTimeoutSeconds": 60})).await;
    let queue = format!("x:{{b{:03x}}}", audit::bucket_of(&first));
    for number in 0..450 {
        redis::cmd("ZADD").arg(&queue).arg(number).arg(format!("gone-{number}")).exec_async(&mut redis).await.unwrap();
    }
    stack.advance(Duration::from_secs(61));
    let cleaned = stack.run_cleanup().await;
    assert_eq!((&cleaned["lookedAt"], &cleaned["ended"]), (&json!(452), &json!(2)), "{cleaned}");
    assert!(!stack.redis_keys().await.iter().any(|key| key.name() == queue));
}

/// F-29: the clock of a job may be wrong; the store's has the last word. One that is off is told of, and ends nothing.
#[tokio::test]
async fn f_29_a_job_with_a_wrong_clock_ends_nothing() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let tokens = stack.app.start_session("ada").await;
    let short = session(&stack.app, "bob", json!({"idleTimeoutSeconds": 60})).await;
    for skew in [time::Duration::days(40), time::Duration::minutes(-10)] {
        stack.clock().skew("cleanup-sessions/0", skew);
        stack.invoke("cleanup-sessions", &json!({})).await.expect_err("a clock that is off");
        stack.app.get(&tokens.session_id).await.expect(200);
        stack.app.get(&short).await.expect(200);
    }
    stack.clock().skew("cleanup-sessions/0", time::Duration::ZERO);
    stack.advance(Duration::from_secs(61));
    let over = stack.app.get(&short).await.expect(404);
    assert_eq!(over.json()["reason"], "idle");
    assert_eq!(stack.run_cleanup().await["ended"], 1);
    stack.app.get(&tokens.session_id).await.expect(200);
}

/// A range is swept and nothing beside it; two ranges at once are the whole.
#[tokio::test]
async fn ranges_are_kept_to_and_add_up() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let mut sessions = Vec::new();
    for number in 0..40 {
        sessions.push(session(&stack.app, &format!("user-{number}"), json!({"idleTimeoutSeconds": 60})).await);
    }
    stack.advance(Duration::from_secs(61));
    let bucket = audit::bucket_of(&sessions[0]);
    let alike = sessions.iter().filter(|session| audit::bucket_of(session) == bucket).count();
    let detail = json!({"firstBucket": bucket, "lastBucket": bucket});
    assert_eq!(stack.run_scheduled("cleanup-sessions", detail).await["ended"], alike);
    let halves = [json!({"firstBucket": 0, "lastBucket": 2047}), json!({"firstBucket": 2048, "lastBucket": 4095})];
    let runs = join_all(halves.map(|detail| stack.run_scheduled("cleanup-sessions", detail))).await;
    let lower = sessions.iter().filter(|s| audit::bucket_of(s) <= 2047 && audit::bucket_of(s) != bucket).count();
    let upper = sessions.iter().filter(|s| audit::bucket_of(s) > 2047 && audit::bucket_of(s) != bucket).count();
    assert_eq!((&runs[0]["ended"], &runs[1]["ended"]), (&json!(lower), &json!(upper)));
    assert_eq!(stack.run_cleanup().await["lookedAt"], 0);

    for detail in [
        json!({"firstBucket": 1, "lastBucket": 0}),
        json!({"lastBucket": 4096}),
        json!({"firstBucket": -1}),
        json!({"firstBucket": "0"}),
    ] {
        for function in ["cleanup-sessions", "write-audit"] {
            let error = stack.invoke(function, &json!({ "detail": detail })).await.expect_err("no such range");
            let integration_tests::InvokeError::Function(error) = error else { panic!("{error}") };
            assert_eq!(error["errorType"], "InvalidRequest", "{detail}: {error}");
            assert!(error["errorMessage"].as_str().is_some_and(|text| text.starts_with("detail.")), "{error}");
        }
    }
}
