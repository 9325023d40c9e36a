//! F-06, F-08: Redis answers, and refuses.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Stack, json};

use super::support::*;

async fn redis(stack: &Stack, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command
        .exec_async(&mut stack.redis().connection().await)
        .await
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

#[tokio::test]
async fn f_06_out_of_memory_sessions_are_read_and_ended_but_not_created() {
    let stack = Stack::builder().with_clock().with_environments(1).start().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let body = json!({ "userId": "ada", "idleTimeoutSeconds": 60, "data": { "note": "canary" } });
    let session = SessionTokens::from_created(&app.create_session(body).await);
    let other = session_with_data(app, "bob").await;
    let third = session_with_data(app, "cyd").await;
    let fourth = session_with_data(app, "dan").await;
    redis(&stack, &["CONFIG", "SET", "maxmemory", "1"]).await;

    expect_away("create", &app.create_session(json!({ "userId": "eve" })).await);
    let put = app.put(&session.session_id, "\"1\"", json!({ "data": { "note": "x".repeat(9000) } })).await;
    expect_away("put", &put);
    app.get(&session.session_id).await.expect(200);
    stack.advance(Duration::from_secs(5));
    app.get(&session.session_id).await.expect(200);
    assert_eq!(app.introspect(&session.access_token).await.expect(200).json()["active"], true);
    app.list("ada").await.expect(200);
    app.delete(&other.session_id).await.expect(204);
    app.revoke(&third.refresh_token).await.expect(200);
    app.delete_user_sessions("dan").await.expect(204);
    assert_eq!(pending(&stack).await, 0);
    for ended in [&other, &third, &fourth] {
        expect_dead("get", ended, &check(app, ended, "get").send().await);
    }
    let refreshed = app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();

    redis(&stack, &["CONFIG", "SET", "maxmemory", "0"]).await;
    let read = app.get(&session.session_id).await.expect(200);
    assert_eq!(read.json()["data"], json!({ "note": "canary" }));
    let next = refreshed["refreshToken"].as_str().expect("a token");
    app.refresh(&session.session_id, next).await.expect(200);
    app.start_session("eve").await;
}

#[tokio::test]
async fn f_06_out_of_memory_a_replay_ends_its_session_all_the_same() {
    let policy = json!({ "refreshGraceSeconds": 0 });
    let stack = Stack::builder().with_policy(policy).with_environments(1).start().await;
    let app = &stack.app;
    let session = session_with_data(app, "ada").await;
    app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
    redis(&stack, &["CONFIG", "SET", "maxmemory", "1"]).await;
    app.refresh(&session.session_id, &session.refresh_token).await.expect_problem(401, "refresh_token_reused");
    app.get(&session.session_id).await.expect_problem(404, "session_ended");
}

/// A demoted primary: reads go on, writes are refused, and nothing is written to it and called done.
#[tokio::test]
async fn f_08_a_demoted_primary_is_an_outage_of_writes_and_is_left_for_a_new_connection() {
    let stack = Stack::builder().with_redis_proxy().with_environments(1).start().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let (kept, ended) = (session_with_data(app, "ada").await, session_with_data(app, "bob").await);
    redis(&stack, &["REPLICAOF", "127.0.0.1", "1"]).await;
    expect_away("create", &app.create_session(json!({ "userId": "eve" })).await);
    expect_away("put", &app.put(&kept.session_id, "\"1\"", json!({ "data": {} })).await);
    expect_away("refresh", &app.refresh(&kept.session_id, &kept.refresh_token).await);
    app.delete(&ended.session_id).await.expect(202);
    redis(&stack, &["REPLICAOF", "NO", "ONE"]).await;

    let before = stack.redis_proxy().counts();
    app.start_session("eve").await;
    assert_eq!((stack.redis_proxy().counts() - before).connections, 1, "a new connection after READONLY");
    assert_eq!(pending(&stack).await, 0);
    expect_dead("get", &ended, &check(app, &ended, "get").send().await);
    app.put(&kept.session_id, "\"1\"", json!({ "data": {} })).await.expect(200);
    app.refresh(&kept.session_id, &kept.refresh_token).await.expect(200);
}

#[tokio::test]
async fn f_08_a_loading_redis_is_an_outage() {
    let stack = Stack::builder().with_redis_proxy().with_environments(2).start().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let session = session_with_data(app, "ada").await;
    for refusal in [
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
        "-CLUSTERDOWN The cluster is down\r\n",
        "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        "-BUSY Redis is busy running a script.\r\n",
        "-NOPERM this user has no permissions\r\n",
    ] {
        // Every command names the bucket in its keys.
        stack.redis_proxy().intercept(b"{b", refusal.as_bytes());
        for name in CHECKS {
            expect_away(&format!("{name}: {refusal}"), &check(app, &session, name).send().await);
        }
        expect_away(refusal, &app.create_session(json!({ "userId": "eve" })).await);
        stack.redis_proxy().go_online().await;
        app.get(&session.session_id).await.expect(200);
    }
    stack.redis_proxy().intercept(b"INFO", b"-LOADING Redis is loading the dataset in memory\r\n");
    let cold = check(app, &session, "get").on_environment(1);
    expect_away("a cold environment", &cold.clone().send().await);
    stack.redis_proxy().go_online().await;
    cold.send().await.expect(200);
}
