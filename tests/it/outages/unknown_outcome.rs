//! F-05, F-27: the reply is lost after the script has run. What the caller gets, and what is stored, is as if the script
//! had run once. I-14.

use integration_tests::application::SessionTokens;
use integration_tests::{ClientKey, Response, Stack, json};

use super::support::*;

async fn stack() -> Stack {
    Stack::builder().with_redis_proxy().with_environments(2).start().await
}

/// Sends a request whose reply from Redis is lost on its way, and returns the answer of the function.
async fn unanswered(stack: &Stack, request: impl Future<Output = Response>) -> Response {
    stack.redis_proxy().cut_next_reply_to(b"EVALSHA");
    let response = request.await;
    assert_eq!(stack.redis_proxy().pending_cuts(), 0, "a reply was cut");
    response
}

#[tokio::test]
async fn f_05_a_creation_happens_once() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let before = count_of(&stack, "session.created").await;
    let body = json!({ "userId": "ada", "data": { "note": "canary" } });
    let session = SessionTokens::from_created(&unanswered(&stack, app.create_session(body.clone())).await);
    assert_eq!(session.etag, "\"1\"");
    let keyed = app.request("POST", "/sessions").header("idempotency-key", "one").json(&body);
    let second = SessionTokens::from_created(&unanswered(&stack, keyed.clone().send()).await);
    let replayed = SessionTokens::from_created(&keyed.send().await);
    assert_eq!((&replayed.session_id, &replayed.refresh_token), (&second.session_id, &second.refresh_token));
    assert_eq!(app.list("ada").await.json()["sessions"].as_array().map(Vec::len), Some(2));
    assert_eq!(count_of(&stack, "session.created").await, before + 2);
    for session in [&session, &second] {
        app.get(&session.session_id).await.expect(200);
        app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
    }
}

/// A device is logged out once, and a change of its data that DynamoDB made is no conflict with itself.
#[tokio::test]
async fn f_05_a_device_is_removed_once_and_its_data_are_written_once() {
    let stack = Stack::builder().with_redis_proxy().with_moto_proxy().with_environments(1).start().await;
    let app = &stack.app;
    let body = json!({ "userId": "ada", "device": { "deviceId": "phone" } });
    let session = SessionTokens::from_created(&unanswered(&stack, app.create_session(body.clone())).await);
    let path = "/users/ada/devices/phone";
    let put = |tag: &str, n: u32| {
        let request = app.request("PUT", &format!("{path}/data")).header("if-match", tag);
        request.json(&json!({ "data": { "n": n } })).send()
    };
    put("\"0\"", 0).await.expect(200);
    stack.moto_proxy().cut_next_reply_to(b"UpdateItem");
    let written = put("\"1\"", 1).await.expect(200);
    assert_eq!((stack.moto_proxy().pending_cuts(), written.header("etag")), (0, "\"2\""));
    let read = app.request("GET", &format!("{path}/data")).send().await.expect(200);
    assert_eq!(read.json(), json!({ "version": 2, "data": { "n": 1 } }));

    unanswered(&stack, app.request("DELETE", path).send()).await.expect(204);
    app.get(&session.session_id).await.expect_problem(404, "session_ended");
    assert_eq!(count_of(&stack, "device.revoked").await, 1);
    assert_eq!(count_of(&stack, "device.registered").await, 1);
    let session = SessionTokens::from_created(&app.create_session(body).await);
    stack.moto_proxy().cut_next_reply_to(b"UpdateItem");
    app.request("DELETE", path).send().await.expect(204);
    app.get(&session.session_id).await.expect_problem(404, "session_ended");
    app.request("GET", path).send().await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn f_05_an_eviction_is_told_and_kept_although_the_reply_was_lost() {
    let policy = json!({ "sessionLimit": { "max": 2, "onLimit": "evict_oldest" } });
    let stack = Stack::builder().with_redis_proxy().with_policy(policy).with_environments(1).start().await;
    let app = &stack.app;
    for key in ["", "one"] {
        let user = format!("ada{key}");
        let create = || {
            let create = app.request("POST", "/sessions").json(&json!({ "userId": user }));
            if key.is_empty() { create } else { create.header("idempotency-key", key) }
        };
        let (first, _) = (app.start_session(&user).await, app.start_session(&user).await);
        let snapshot = stack.redis().snapshot().await;
        let created = unanswered(&stack, create().send()).await.expect(201);
        assert_eq!(created.json()["evicted"], json!([first.session_id]), "key {key:?}");
        expect_dead("get", &first, &check(app, &first, "get").send().await);
        let evicted = events(&stack).await.into_iter().filter(|event| event.reason == "evicted").count();
        assert_eq!(evicted, 1, "key {key:?}");
        stack.redis().restart_from_snapshot(&snapshot).await;
        expect_dead("get", &first, &check(app, &first, "get").send().await);
        stack.redis().restart().await;
    }
}

#[tokio::test]
async fn f_05_a_change_of_data_happens_once() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let before = count_of(&stack, "session.updated").await;
    let session = session_with_data(app, "ada").await;
    let id = &session.session_id;
    let put = unanswered(&stack, app.put(id, "\"1\"", json!({ "data": { "n": 1 } }))).await.expect(200);
    assert_eq!(put.header("etag"), "\"2\"");
    let patched = unanswered(&stack, app.patch(id, "\"2\"", json!({ "data": { "m": 2 } }))).await.expect(200);
    assert_eq!(patched.header("etag"), "\"3\"");
    let any = unanswered(&stack, app.patch(id, "*", json!({ "data": { "k": 3 } }))).await.expect(200);
    assert_eq!(any.header("etag"), "\"4\"");
    let read = app.get(id).await.expect(200);
    assert_eq!((read.header("etag"), &read.json()["data"]), ("\"4\"", &json!({ "n": 1, "m": 2, "k": 3 })));
    assert_eq!(count_of(&stack, "session.updated").await, before + 3);
}

#[tokio::test]
async fn f_05_a_rotation_happens_once() {
    let policy = json!({ "refreshGraceSeconds": 0 });
    let stack = Stack::builder().with_redis_proxy().with_policy(policy).with_environments(1).start().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let before = count_of(&stack, "session.refreshed").await;
    let session = session_with_data(app, "ada").await;
    let mut token = session.refresh_token.clone();
    for _ in 0..4 {
        let refreshed = unanswered(&stack, app.refresh(&session.session_id, &token)).await.expect(200);
        token = refreshed.json()["refreshToken"].as_str().expect("a token").to_owned();
    }
    assert_eq!(count_of(&stack, "session.refreshed").await, before + 4);
    app.refresh(&session.session_id, &token).await.expect(200);
}

/// The session is over either way; that the reason is told, logged and kept must not depend on a reply.
#[tokio::test]
async fn f_05_a_replay_is_found_once_and_kept_although_the_reply_was_lost() {
    let policy = json!({ "refreshGraceSeconds": 0 });
    let stack = Stack::builder().with_redis_proxy().with_policy(policy).with_environments(1).start().await;
    let app = &stack.app;
    let session = session_with_data(app, "ada").await;
    app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
    let snapshot = stack.redis().snapshot().await;
    let again = unanswered(&stack, app.refresh(&session.session_id, &session.refresh_token)).await;
    again.expect_problem(401, "refresh_token_reused");
    assert_eq!(count_of(&stack, "refresh.replayed").await, 1);
    assert_eq!(count_of(&stack, "session.ended").await, 1);
    stack.redis().restart_from_snapshot(&snapshot).await;
    expect_dead("get", &session, &check(app, &session, "get").send().await);
}

#[tokio::test]
async fn f_05_an_end_happens_once() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let before = (count_of(&stack, "session.ended").await, count_of(&stack, "user.revoked").await);
    let sessions = [session_with_data(app, "ada").await, session_with_data(app, "ada").await];
    unanswered(&stack, app.delete(&sessions[0].session_id)).await.expect(204);
    unanswered(&stack, app.revoke(&sessions[1].refresh_token)).await.expect(200);
    let (own, other) = (session_with_data(app, "bob").await, session_with_data(app, "bob").await);
    let remote = app.request("DELETE", &format!("/sessions/{}", other.session_id)).bearer(&own.access_token);
    unanswered(&stack, remote.send()).await.expect(204);
    unanswered(&stack, app.delete_user_sessions("bob")).await.expect(204);
    for session in [&sessions[0], &sessions[1], &own, &other] {
        expect_dead("get", session, &check(app, session, "get").send().await);
    }
    let after = (count_of(&stack, "session.ended").await, count_of(&stack, "user.revoked").await);
    assert_eq!(after, (before.0 + 4, before.1 + 1));
    assert_eq!(pending(&stack).await, 0, "Redis acknowledged everything");
}

/// Reads lost on the way, before or after they reached Redis, are read again.
#[tokio::test]
async fn f_05_a_lost_read_costs_no_request() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let session = session_with_data(app, "ada").await;
    for name in ["get", "get by holder", "introspect"] {
        stack.redis_proxy().cut_next_reply_to(b"s:{b");
        check(app, &session, name).send().await.expect(200);
        assert_eq!(stack.redis_proxy().pending_cuts(), 0, "{name}");
    }
    for name in ["list", "list by holder"] {
        unanswered(&stack, check(app, &session, name).send()).await.expect(200);
    }
}

/// A proof of possession is marked as used, and the reply is lost: marking it again is no replay of it.
#[tokio::test]
async fn f_05_a_used_proof_whose_reply_was_lost_is_no_replay() {
    let stack = Stack::builder().with_redis_proxy().with_environments(1).start().await;
    let (app, key) = (&stack.app, ClientKey::new());
    let body = json!({ "userId": "ada", "dpopJkt": key.thumbprint() });
    let session = SessionTokens::from_created(&app.create_session(body).await);
    let path = format!("/sessions/{}", session.session_id);
    let read = || {
        let proof = key.proof(&stack, "GET", &path).of_token(&session.access_token).sign();
        stack.request("GET", &path).dpop(&session.access_token, &proof)
    };
    read().send().await.expect(200);
    let once = read();
    stack.redis_proxy().cut_next_reply_to(b"j:{b");
    once.clone().send().await.expect(200);
    assert_eq!(stack.redis_proxy().pending_cuts(), 0, "a reply was cut");
    once.send().await.expect_problem(401, "dpop_proof_invalid");
}
