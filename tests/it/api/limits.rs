//! Concurrent session limits.

use std::time::Duration;

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::{Stack, StackBuilder, Value, json};

use super::{expect_ended, expect_ended_for_holder, other_application, session_path};

fn stack(max: u32, on_limit: &str) -> StackBuilder {
    Stack::builder().with_policy(json!({ "sessionLimit": { "max": max, "onLimit": on_limit } }))
}

async fn expect_evicted(stack: &Stack, victim: &SessionTokens) {
    expect_ended(stack.app.get(&victim.session_id).await, "evicted");
    let own = stack.request("GET", &session_path(&victim.session_id)).bearer(&victim.access_token).send().await;
    expect_ended_for_holder(own, "evicted");
    let refresh = stack.app.refresh(&victim.session_id, &victim.refresh_token).await;
    expect_ended_for_holder(refresh, "evicted");
    assert_eq!(stack.app.introspect(&victim.access_token).await.json(), json!({ "active": false }));
}

#[tokio::test]
async fn reject_leaves_the_sessions_as_they_are() {
    let stack = stack(2, "reject").start().await;
    let (one, two) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let create = || stack.app.create_session(json!({ "userId": "ada" }));
    create().await.expect_problem(409, "session_limit_reached");
    for session in [&one, &two] {
        stack.app.get(&session.session_id).await.expect(200);
    }
    stack.app.start_session("bob").await;
    other_application(&stack).await.start_session("ada").await;
    stack.app.delete(&one.session_id).await.expect(204);
    create().await.expect(201);
    create().await.expect_problem(409, "session_limit_reached");
}

#[tokio::test]
async fn evict_oldest_ends_the_session_created_first() {
    let stack = stack(2, "evict_oldest").with_clock().start().await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(stack.app.start_session("ada").await);
        stack.advance(Duration::from_secs(61));
    }
    // Activity does not save the oldest.
    stack.app.get(&sessions[0].session_id).await.expect(200);
    for round in 0..2 {
        let created = stack.app.start_session("ada").await;
        assert_eq!(created.document["evicted"], json!([sessions[round].session_id]));
        expect_evicted(&stack, &sessions[round]).await;
        sessions.push(created);
        stack.advance(Duration::from_secs(1));
    }
    assert_eq!(stack.app.list("ada").await.json()["sessions"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn evict_least_recent_ends_the_session_with_the_oldest_activity() {
    let stack = stack(3, "evict_least_recent").with_clock().start().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(stack.app.start_session("ada").await);
        stack.advance(Duration::from_secs(61));
    }
    // A read and a refresh are activity; an introspection is not.
    stack.app.get(&sessions[0].session_id).await.expect(200);
    stack.app.introspect(&sessions[1].access_token).await.expect(200);
    stack.app.refresh(&sessions[2].session_id, &sessions[2].refresh_token).await.expect(200);
    let created = stack.app.start_session("ada").await;
    assert_eq!(created.document["evicted"], json!([sessions[1].session_id]));
    expect_evicted(&stack, &sessions[1]).await;
    stack.app.get(&sessions[2].session_id).await.expect(200);
    let created = stack.app.start_session("ada").await;
    assert_eq!(created.document["evicted"], json!([sessions[0].session_id]));
}

#[tokio::test]
async fn a_lowered_limit_names_every_victim() {
    let stack = stack(5, "evict_oldest").with_clock().start().await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(stack.app.start_session("ada").await);
        stack.advance(Duration::from_secs(1));
    }
    let policy = json!({ "sessionLimit": { "max": 2, "onLimit": "evict_oldest" } });
    let change = json!({ "action": "update", "applicationId": stack.app.id, "changes": { "policy": policy } });
    stack.invoke("manage-applications", &change).await.expect("an update");
    stack.advance(Duration::from_secs(61));
    let created = stack.app.start_session("ada").await;
    let expected: Vec<&String> = sessions[..4].iter().map(|session| &session.session_id).collect();
    assert_eq!(created.document["evicted"], json!(expected));
    for victim in &sessions[..4] {
        expect_ended(stack.app.get(&victim.session_id).await, "evicted");
    }
}

/// A user is shared by the applications of a group, a limit is not: neither counts nor ends the other's sessions.
#[tokio::test]
async fn limits_count_the_sessions_of_one_application() {
    let stack = Stack::start().await;
    for on_limit in ["reject", "evict_oldest", "evict_least_recent"] {
        let member = json!({
            "name": "A", "scopes": ["sessions:create", "sessions:read"], "groupId": on_limit.replace('_', "-"),
            "policy": { "sessionLimit": { "max": 1, "onLimit": on_limit } },
        });
        let one = stack.create_application(member.clone()).await;
        let two = stack.create_application(member).await;
        let (first, second) = (one.start_session("ada").await, two.start_session("ada").await);
        for session in [&first, &second] {
            assert_eq!(session.document["evicted"], json!([]), "{on_limit}");
        }
        let next = one.create_session(json!({ "userId": "ada" })).await;
        match on_limit {
            "reject" => drop(next.expect_problem(409, "session_limit_reached")),
            _ => assert_eq!(next.expect(201).json()["evicted"], json!([first.session_id])),
        }
        two.get(&second.session_id).await.expect(200);
    }
}

#[tokio::test]
async fn what_has_lapsed_takes_no_place() {
    let stack = stack(1, "reject").with_clock().start().await;
    let body = json!({ "userId": "ada", "idleTimeoutSeconds": 60 });
    let lapsed = stack.app.create_session(body).await.expect(201).json();
    stack.advance(Duration::from_secs(61));
    let created = stack.app.create_session(json!({ "userId": "ada" })).await.expect(201).json();
    assert_eq!(created["evicted"], json!([]));
    expect_ended(stack.app.get(lapsed["session"]["sessionId"].as_str().unwrap()).await, "idle");
}

/// T-67: the limit holds under concurrency.
#[tokio::test]
async fn t_67_parallel_creations_never_exceed_the_limit() {
    for on_limit in ["reject", "evict_oldest", "evict_least_recent"] {
        let stack = stack(3, on_limit).start().await;
        let calls = (0..16).map(|_| stack.app.create_session(json!({ "userId": "ada" })));
        let answers = join_all(calls).await;
        let created: Vec<Value> = answers.iter().filter(|a| a.status == 201).map(|a| a.json()).collect();
        let evicted: usize = created.iter().map(|document| document["evicted"].as_array().unwrap().len()).sum();
        match on_limit {
            "reject" => assert_eq!((created.len(), evicted), (3, 0)),
            _ => assert_eq!((created.len(), evicted), (16, 13)),
        }
        assert_eq!(stack.app.list("ada").await.json()["sessions"].as_array().map(Vec::len), Some(3), "{on_limit}");
    }
}
