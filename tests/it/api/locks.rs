//! Locks as their owners and everybody else see them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::application::SessionTokens;
use integration_tests::{Request, Response, Stack, Value, json};

use super::{face, other_application, refused_fields, session_path, text};

fn lock_path(id: &str) -> String {
    format!("{}/lock", session_path(id))
}

async fn lock(stack: &Stack, id: &str, body: Value) -> Response {
    stack.app.request("POST", &lock_path(id)).json(&body).send().await
}

async fn unlock(stack: &Stack, id: &str, token: &str) -> Response {
    stack.app.request("DELETE", &lock_path(id)).header("session-lock", token).send().await
}

fn write(stack: &Stack, method: &str, id: &str, if_match: &str, token: Option<&str>) -> Request {
    let request = stack.app.request(method, &session_path(id)).header("if-match", if_match);
    let request = request.json(&json!({ "data": { "by": token.unwrap_or("nobody").len() } }));
    match token {
        Some(token) => request.header("session-lock", token),
        None => request,
    }
}

fn token_of(response: &Response) -> String {
    text(&response.json()["lockToken"])
}

async fn event_types(stack: &Stack) -> Vec<String> {
    let client = stack.database().connect().await;
    stack.run_write_audit().await;
    let rows = integration_tests::audit::rows(&client).await;
    // Refusals are for `audit::refusals`.
    rows.into_iter().map(|row| row.event.event_type).filter(|kind| kind != "request.refused").collect()
}

#[tokio::test]
async fn t_70_only_the_owner_of_a_lock_changes_data_and_releases_it() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    stack.clock().freeze();
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let granted = lock(&stack, id, json!({})).await.expect(201);
    let (token, document) = (token_of(&granted), granted.json());
    assert_eq!(token.len(), 25, "128 bits");
    assert_eq!(document["renewalsLeft"], 10);

    for method in ["PUT", "PATCH"] {
        let refused = write(&stack, method, id, "\"1\"", None).send().await.expect_problem(423, "session_locked");
        assert_eq!((refused.header("retry-after"), &refused.json()["retryable"]), ("30", &json!(true)));
        let late = write(&stack, method, id, "\"1\"", Some("lk_AAAAAAAAAAAAAAAAAAAAAA")).send().await;
        assert_eq!(late.expect_problem(409, "lock_lost").json()["retryable"], false);
    }
    let again = lock(&stack, id, json!({ "ttlSeconds": 1 })).await.expect_problem(423, "session_locked");
    assert_eq!(again.header("retry-after"), "30");
    assert_eq!(stack.app.get(id).await.json()["version"], 1);
    // A store that is looked at while the lock is held.
    let raw = URL_SAFE_NO_PAD.decode(&token[3..]).expect("base64url");
    let kept = stack.redis_keys().await;
    assert!(kept.iter().any(|key| key.name().starts_with("l:")), "the lock is there");
    assert!(kept.iter().all(|key| !key.contains(token.as_bytes()) && !key.contains(&raw)), "the store has the token");
    // Everything but changes of data goes on.
    let next = stack.app.refresh(id, &session.refresh_token).await.expect(200);
    assert_eq!(stack.app.introspect(&text(&next.json()["refreshToken"])).await.expect(200).json()["active"], true);

    write(&stack, "PUT", id, "\"1\"", Some(&token)).send().await.expect(200);
    write(&stack, "PATCH", id, "*", Some(&token)).send().await.expect(200);
    write(&stack, "PUT", id, "\"1\"", Some(&token)).send().await.expect_problem(412, "version_mismatch");
    unlock(&stack, id, "lk_AAAAAAAAAAAAAAAAAAAAAA").await.expect_problem(409, "lock_lost");
    write(&stack, "PUT", id, "*", None).send().await.expect_problem(423, "session_locked");
    let released = unlock(&stack, id, &token).await.expect(204);
    assert!(released.body.is_empty());
    // Whoever does not know whether it was carried out may ask again.
    unlock(&stack, id, &token).await.expect(204);
    write(&stack, "PUT", id, "\"3\"", Some(&token)).send().await.expect_problem(409, "lock_lost");
    write(&stack, "PUT", id, "\"3\"", None).send().await.expect(200);

    let expected = [
        "session.created",
        "session.locked",
        "session.refreshed",
        "session.updated",
        "session.updated",
        "lock.refused",
        "session.unlocked",
        "session.updated",
    ];
    assert_eq!(event_types(&stack).await, expected);
}

#[tokio::test]
async fn t_73_a_lock_ends_by_itself_and_can_not_be_renewed_for_ever() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let first = lock(&stack, id, json!({ "ttlSeconds": 5 })).await.expect(201);
    stack.advance(Duration::from_secs(6));
    write(&stack, "PUT", id, "\"1\"", Some(&token_of(&first))).send().await.expect_problem(409, "lock_lost");
    let late = lock(&stack, id, json!({ "lockToken": token_of(&first) })).await;
    late.expect_problem(409, "lock_lost");

    // Renewals: ten, whatever they ask for.
    let second = lock(&stack, id, json!({ "ttlSeconds": 60 })).await.expect(201);
    let fence = |response: &Response| response.json()["fence"].as_u64().expect("a number");
    assert!(fence(&second) > fence(&first));
    let renewal = json!({ "lockToken": token_of(&second), "ttlSeconds": 60 });
    for left in (0..10).rev() {
        let renewed = lock(&stack, id, renewal.clone()).await.expect(200);
        assert_eq!((fence(&renewed), &renewed.json()["renewalsLeft"]), (fence(&second), &json!(left)));
        assert_eq!(token_of(&renewed), token_of(&second));
    }
    lock(&stack, id, renewal.clone()).await.expect_problem(409, "lock_not_renewable");
    write(&stack, "PUT", id, "\"1\"", Some(&token_of(&second))).send().await.expect(200);
    unlock(&stack, id, &token_of(&second)).await.expect(204);

    // And 300 seconds in all: the last renewal is cut to what is left.
    let third = lock(&stack, id, json!({ "ttlSeconds": 60 })).await.expect(201);
    let renewal = json!({ "lockToken": token_of(&third), "ttlSeconds": 60 });
    for _ in 0..5 {
        stack.advance(Duration::from_secs(50));
        lock(&stack, id, renewal.clone()).await.expect(200);
    }
    let locked = lock(&stack, id, json!({})).await.expect_problem(423, "session_locked");
    let left: u64 = locked.header("retry-after").parse().expect("seconds");
    assert!((40..=50).contains(&left), "{left}");
    stack.advance(Duration::from_secs(51));
    lock(&stack, id, renewal).await.expect_problem(409, "lock_lost");
    lock(&stack, id, json!({})).await.expect(201);
}

/// T-72: numbers rise although the store has lost everything that it knew of the lock before.
#[tokio::test]
async fn t_72_a_store_that_forgets_a_lock_issues_a_higher_number() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let snapshot = stack.redis().snapshot().await;
    let first = lock(&stack, id, json!({ "ttlSeconds": 60 })).await.expect(201);
    stack.redis().restart_from_snapshot(&snapshot).await;
    let second = lock(&stack, id, json!({})).await.expect(201);
    assert!(second.json()["fence"].as_u64() > first.json()["fence"].as_u64());
    write(&stack, "PUT", id, "\"1\"", Some(&token_of(&first))).send().await.expect_problem(409, "lock_lost");
    write(&stack, "PUT", id, "\"1\"", Some(&token_of(&second))).send().await.expect(200);
}

#[tokio::test]
async fn t_57_a_lock_is_for_those_to_whom_the_session_exists() {
    let stack = Stack::start().await;
    let other = other_application(&stack).await;
    let (own, sibling) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let foreign = other.start_session("ada").await;
    let unknown = own.session_id.replace(&own.session_id[8..], "AAAAAAAAAAAAAAAAAAAA");
    let as_holder = |method: &str, id: &str| {
        let request = stack.request(method, &lock_path(id)).bearer(&own.access_token);
        if method == "POST" {
            request.json(&json!({}))
        } else {
            request.header("session-lock", &format!("lk_{}", "A".repeat(22)))
        }
    };
    for method in ["POST", "DELETE"] {
        let expected = face(&as_holder(method, &unknown).send().await);
        assert_eq!(expected.0, 404);
        for id in [&sibling.session_id, &foreign.session_id] {
            assert_eq!(face(&as_holder(method, id).send().await), expected, "{method} {id}");
            let by_application = as_holder(method, &foreign.session_id).bearer(&stack.app.key).send().await;
            assert_eq!(face(&by_application), expected, "{method}");
        }
    }
    let granted = as_holder("POST", &own.session_id).send().await.expect(201);
    // What the holder locked, its application may neither change nor unlock without the token.
    write(&stack, "PUT", &own.session_id, "*", None).send().await.expect_problem(423, "session_locked");
    unlock(&stack, &own.session_id, &token_of(&granted)).await.expect(204);
    as_holder("POST", &own.session_id).send().await.expect(201);
    // Logging out needs no lock, and a session that is over has none.
    stack.app.delete(&own.session_id).await.expect(204);
    as_holder("POST", &own.session_id).send().await.expect_problem(401, "session_ended");
    lock(&stack, &own.session_id, json!({})).await.expect_problem(404, "session_ended");
}

#[tokio::test]
async fn wrong_requests_are_refused_by_field() {
    let stack = Stack::start().await;
    let session = SessionTokens::from_created(&stack.app.create_session(json!({ "userId": "ada" })).await);
    let id = &session.session_id;
    for (body, fields) in [
        (json!({ "ttlSeconds": 0 }), vec!["ttlSeconds"]),
        (json!({ "ttlSeconds": 61, "lockToken": "x" }), vec!["ttlSeconds", "lockToken"]),
        (json!({ "ttlSeconds": "30" }), vec!["ttlSeconds"]),
        (json!({ "ttlSeconds": 1.5 }), vec!["ttlSeconds"]),
        (json!({ "lockToken": "lk_AAAAAAAAAAAAAAAAAAAAAB" }), vec!["lockToken"]),
        (json!({ "owner": "ada" }), vec!["owner"]),
    ] {
        assert_eq!(refused_fields(&lock(&stack, id, body.clone()).await), fields, "{body}");
    }
    for token in ["", "lk_", "x", "lk_AAAAAAAAAAAAAAAAAAAAAA, lk_AAAAAAAAAAAAAAAAAAAAAA"] {
        for request in [
            stack.app.request("DELETE", &lock_path(id)).header("session-lock", token),
            write(&stack, "PUT", id, "*", Some(token)),
        ] {
            let refused = request.send().await;
            assert_eq!(refused_fields(&refused), ["Session-Lock"], "{token}");
        }
    }
    let without = stack.app.request("DELETE", &lock_path(id)).send().await;
    assert_eq!(refused_fields(&without), ["Session-Lock"]);
    assert_eq!(stack.app.get(id).await.json()["version"], 1);
}
