//! F-03, F-04: Redis can not be reached.

use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::{Stack, eventually, json};

use super::support::*;

const PUT_ITEM: &str = "DynamoDB_20120810.PutItem";

async fn stack() -> Stack {
    Stack::builder().with_redis_proxy().with_database().with_environments(2).start().await
}

/// What must be refused while Redis is away, and leaves no trace.
async fn expect_refusals(stack: &Stack, session: &SessionTokens) {
    let app = &stack.app;
    for name in CHECKS {
        expect_away(name, &check(app, session, name).send().await);
    }
    expect_away("create", &app.create_session(json!({ "userId": "ada" })).await);
    let patched = app.patch(&session.session_id, "\"1\"", json!({ "data": { "more": 1 } })).await;
    expect_away("patch", &patched);
    let by_holder = app.request("DELETE", "/sessions/user/ada").bearer(&session.access_token).send().await;
    expect_away("end all as a holder, whose own session can not be checked", &by_holder);
}

/// Nothing of what was refused has happened.
async fn expect_untouched(stack: &Stack, session: &SessionTokens) {
    let read = stack.app.get(&session.session_id).await.expect(200);
    assert_eq!(read.header("etag"), "\"1\"");
    assert_eq!(read.json()["data"], json!({ "note": "canary" }));
    stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
}

#[tokio::test]
async fn f_03_without_redis_only_ends_are_accepted_and_they_hold_from_the_first_request_on() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let kept = session_with_data(app, "ada").await;
    let mut events_before = count_of(&stack, "session.ended").await;
    for name in CHECKS {
        let user = format!("user of {name}");
        let (ended, revoked) = (session_with_data(app, &user).await, session_with_data(app, &user).await);
        let others = format!("other user of {name}");
        let (first, second) = (session_with_data(app, &others).await, session_with_data(app, &others).await);
        let owner = format!("device-of-{name}").replace(' ', "-");
        let on_device = json!({ "userId": owner, "device": { "deviceId": "phone" } });
        let on_device = SessionTokens::from_created(&app.create_session(on_device).await);
        stack.redis_proxy().go_offline().await;
        app.delete(&ended.session_id).await.expect(202);
        app.delete(&ended.session_id).await.expect(202);
        app.revoke(&revoked.refresh_token).await.expect(200);
        app.delete_user_sessions(&others).await.expect(202);
        let by_device = format!("/sessions/user/{owner}?deviceId=phone");
        app.request("DELETE", &by_device).send().await.expect(202);
        assert_eq!(pending(&stack).await, 4, "{name}");
        stack.redis_proxy().go_online().await;
        // The first request that any environment serves, by this function.
        for session in [&ended, &revoked, &first, &second, &on_device] {
            expect_dead(name, session, &check(app, session, name).send().await);
        }
        assert_eq!(pending(&stack).await, 0, "{name}");
        assert_eq!(count_of(&stack, "session.ended").await, events_before + 5, "{name}: one event each");
        events_before += 5;
        for session in [&ended, &revoked, &first, &second, &on_device] {
            let fresh = check(app, session, "get").on_environment(1).send().await;
            expect_dead("get", session, &fresh);
        }
    }
    expect_untouched(&stack, &kept).await;
}

#[tokio::test]
async fn f_03_everything_else_is_refused_and_leaves_nothing_half_done() {
    let stack = stack().await;
    warm_up(&stack).await;
    let session = session_with_data(&stack.app, "ada").await;
    let before = events(&stack).await;
    stack.redis_proxy().go_offline().await;
    expect_refusals(&stack, &session).await;
    // Environments that start while Redis is away answer as well, and recover without a restart.
    let cold = check(&stack.app, &session, "get").on_environment(1);
    expect_away("a cold environment", &cold.clone().send().await);
    stack.redis_proxy().go_online().await;
    assert_eq!(events(&stack).await, before);
    cold.send().await.expect(200);
    expect_untouched(&stack, &session).await;
}

#[tokio::test]
async fn f_04_a_redis_that_does_not_answer_is_away() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let (kept, ended) = (session_with_data(app, "ada").await, session_with_data(app, "bob").await);
    stack.redis().freeze().await;
    expect_away("get", &check(app, &kept, "get").send().await);
    expect_away("introspect", &check(app, &kept, "introspect").send().await);
    app.delete(&ended.session_id).await.expect(202);
    expect_away("a cold environment", &check(app, &kept, "get").on_environment(1).send().await);
    stack.redis().thaw();
    // An environment that met the outage opens a new connection, and with it applies what it may have missed.
    expect_dead("get", &ended, &check(app, &ended, "get").send().await);
    app.delete(&ended.session_id).await.expect(204);
    assert_eq!(count_of(&stack, "session.ended").await, 2, "the one of the warming up, and one");
    expect_untouched(&stack, &kept).await;
}

#[tokio::test]
async fn f_03_cleanup_applies_accepted_ends_before_any_request_comes() {
    let stack = stack().await;
    let app = &stack.app;
    let one_bucket = || json!({ "firstBucket": 0, "lastBucket": 0 });
    stack.run_scheduled("cleanup-sessions", one_bucket()).await;
    let ended = session_with_data(app, "ada").await;
    let revoked = session_with_data(app, "bob").await;
    stack.redis_proxy().go_offline().await;
    app.delete(&ended.session_id).await.expect(202);
    app.delete_user_sessions("bob").await.expect(202);
    stack.redis_proxy().go_online().await;
    // The environment that ran before holds a connection that is dead now.
    stack.run_scheduled("cleanup-sessions", one_bucket()).await;
    assert_eq!(pending(&stack).await, 0);
    let ends: Vec<String> =
        events(&stack).await.into_iter().filter(|e| e.kind == "session.ended").map(|e| e.reason).collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    expect_dead("get", &ended, &check(app, &ended, "get").send().await);
    expect_dead("get", &revoked, &check(app, &revoked, "get").send().await);
    assert_eq!(count_of(&stack, "session.ended").await, 2);
}

#[tokio::test]
async fn f_26_a_socket_that_died_while_frozen_costs_no_request() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let session = session_with_data(app, "ada").await;
    let mut token = session.refresh_token.clone();
    for _ in 0..3 {
        for function in ["get-session", "refresh-session", "create-session", "delete-session"] {
            stack.environment(function, 0).await.freeze().await;
        }
        stack.redis_proxy().cut_connections();
        for function in ["get-session", "refresh-session", "create-session", "delete-session"] {
            stack.environment(function, 0).await.thaw();
        }
        app.get(&session.session_id).await.expect(200);
        let refreshed = app.refresh(&session.session_id, &token).await.expect(200);
        token = refreshed.json()["refreshToken"].as_str().expect("a token").to_owned();
        let other = app.start_session("bob").await;
        app.delete(&other.session_id).await.expect(204);
    }
    assert_eq!(count_of(&stack, "session.refreshed").await, 4, "the one of the warming up, and three");
}

/// Redis comes back between the failed attempt and the mark, and serves another environment in that moment.
#[tokio::test]
async fn f_03_an_end_that_was_marked_after_redis_came_back_holds_as_well() {
    let stack = Stack::builder().with_redis_proxy().with_moto_proxy().with_environments(1).start().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let (kept, ended) = (session_with_data(app, "ada").await, session_with_data(app, "bob").await);
    let (redis, moto) = (stack.redis_proxy(), stack.moto_proxy());
    redis.go_offline().await;
    moto.delay(Duration::from_millis(700), Duration::ZERO);
    let written = moto.calls(PUT_ITEM);
    let (deleted, ()) = tokio::join!(app.delete(&ended.session_id), async {
        eventually("the mark is on its way", || async { (moto.calls(PUT_ITEM) == written + 2).then_some(()) }).await;
        redis.go_online().await;
        moto.delay(Duration::ZERO, Duration::ZERO);
        app.get(&kept.session_id).await.expect(200);
    });
    deleted.expect(202);
    expect_dead("get", &ended, &check(app, &ended, "get").send().await);
    assert_eq!(pending(&stack).await, 0);
}

/// One environment alone can not reach Redis; the others go on over the connections they have. What the one accepts is
/// applied by the next environment that connects or by the next cleanup, a minute later at most.
#[tokio::test]
async fn f_09_an_end_accepted_by_an_environment_cut_off_alone_is_applied_by_cleanup() {
    let stack = stack().await;
    let app = &stack.app;
    let one_bucket = || json!({ "firstBucket": 0, "lastBucket": 0 });
    stack.run_scheduled("cleanup-sessions", one_bucket()).await;
    let ended = session_with_data(app, "ada").await;
    app.get(&ended.session_id).await.expect(200);
    stack.redis_proxy().refuse_connections().await;
    app.delete(&ended.session_id).await.expect(202);
    assert_eq!(pending(&stack).await, 1);
    stack.run_scheduled("cleanup-sessions", one_bucket()).await;
    assert_eq!(pending(&stack).await, 0);
    expect_dead("get", &ended, &check(app, &ended, "get").send().await);
}
