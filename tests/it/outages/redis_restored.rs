//! F-01, F-02: Redis comes back with an older state, or with none.

use aws_sdk_dynamodb::types::AttributeValue;
use integration_tests::application::SessionTokens;
use integration_tests::stores::Snapshot;
use integration_tests::{Stack, json};
use shared::core::record::HEADER_BYTES;

use super::support::*;

/// Sessions that were alive when the snapshot was taken and ended since, each in another way.
struct Ended {
    sessions: Vec<(&'static str, SessionTokens)>,
    kept: SessionTokens,
    snapshot: Snapshot,
}

async fn stack() -> Stack {
    let policy = json!({
        "refreshGraceSeconds": 0,
        "sessionLimit": { "max": 2, "onLimit": "evict_oldest" },
    });
    Stack::builder().with_database().with_policy(policy).with_environments(2).start().await
}

async fn end_in_every_way(stack: &Stack) -> Ended {
    let app = &stack.app;
    warm_up(stack).await;
    let kept = session_with_data(app, "ada").await;
    let ways =
        ["deleted", "deleted by holder", "revoked", "revoked by access token", "user", "evicted", "replayed", "away"];
    let mut sessions = Vec::new();
    for way in ways {
        sessions.push((way, session_with_data(app, way).await));
    }
    let rotated = {
        let replayed = &sessions[6].1;
        app.refresh(&replayed.session_id, &replayed.refresh_token).await.expect(200);
        replayed.clone()
    };
    let snapshot = stack.redis().snapshot().await;
    for (way, session) in &sessions {
        let path = format!("/sessions/{}", session.session_id);
        match *way {
            "deleted" => drop(app.delete(&session.session_id).await.expect(204)),
            "deleted by holder" => {
                let own = app.request("DELETE", &path).bearer(&session.access_token).send().await;
                own.expect(204);
            }
            "revoked" => drop(app.revoke(&session.refresh_token).await.expect(200)),
            "revoked by access token" => drop(app.revoke(&session.access_token).await.expect(200)),
            "user" => drop(app.delete_user_sessions("user").await.expect(204)),
            "evicted" => {
                app.start_session("evicted").await;
                let last = app.create_session(json!({ "userId": "evicted" })).await;
                assert_eq!(last.json()["evicted"], json!([session.session_id]));
            }
            "replayed" => {
                let again = app.refresh(&session.session_id, &rotated.refresh_token).await;
                again.expect_problem(401, "refresh_token_reused");
            }
            _ => {}
        }
    }
    stack.redis().stop().await;
    app.delete(&sessions[7].1.session_id).await.expect(202);
    Ended { sessions, kept, snapshot }
}

#[tokio::test]
async fn f_02_ends_hold_in_an_older_state_whichever_function_comes_first() {
    let stack = stack().await;
    let app = &stack.app;
    let ended = end_in_every_way(&stack).await;
    for first in CHECKS {
        stack.redis().restart_from_snapshot(&ended.snapshot).await;
        for (way, session) in &ended.sessions {
            let response = check(app, session, first).send().await;
            eprintln!("{way}, first asked by {first}");
            expect_dead(first, session, &response);
        }
        assert_eq!(pending(&stack).await, 0);
        let kept = check(app, &ended.kept, "get").on_environment(1).send().await;
        kept.expect(200);
        for (_, session) in &ended.sessions {
            expect_dead("get", session, &check(app, session, "get").on_environment(1).send().await);
        }
        stack.redis().stop().await;
    }
}

#[tokio::test]
async fn f_02_cleanup_brings_an_older_state_up_to_date_by_itself() {
    let stack = stack().await;
    let one_bucket = || json!({ "firstBucket": 0, "lastBucket": 0 });
    stack.run_scheduled("cleanup-sessions", one_bucket()).await;
    let ended = end_in_every_way(&stack).await;
    stack.redis().restart_from_snapshot(&ended.snapshot).await;
    stack.run_scheduled("cleanup-sessions", one_bucket()).await;
    assert_eq!(pending(&stack).await, 0);
    // Tombstones are headers; of the sessions in the snapshot one alone has more.
    let records = stack.redis_keys().await.into_iter().filter(|key| key.name().starts_with("s:"));
    let alive: Vec<String> = records.filter(|key| key.content[0].len() > HEADER_BYTES).map(|key| key.name()).collect();
    assert_eq!(alive.len(), 1, "{alive:?}");
    stack.app.get(&ended.kept.session_id).await.expect(200);
}

#[tokio::test]
async fn f_02_nothing_lives_in_an_empty_redis_and_new_sessions_do() {
    let stack = stack().await;
    let app = &stack.app;
    let ended = end_in_every_way(&stack).await;
    stack.redis().restart().await;
    for name in CHECKS {
        for (_, session) in &ended.sessions {
            expect_dead(name, session, &check(app, session, name).send().await);
        }
        expect_dead(name, &ended.kept, &check(app, &ended.kept, name).send().await);
    }
    assert_eq!(pending(&stack).await, 0);
    // The user's epoch is durable: what begins now lives.
    let new = session_with_data(app, "user").await;
    app.get(&new.session_id).await.expect(200);
    app.refresh(&new.session_id, &new.refresh_token).await.expect(200);
}

/// An acknowledged rotation that Redis forgot: the token is ahead of the record and heals it.
#[tokio::test]
async fn f_02_an_older_state_logs_nobody_out() {
    let stack = stack().await;
    let app = &stack.app;
    let session = session_with_data(app, "ada").await;
    let snapshot = stack.redis().snapshot().await;
    let mut token = session.refresh_token.clone();
    for _ in 0..3 {
        let refreshed = app.refresh(&session.session_id, &token).await.expect(200);
        token = refreshed.json()["refreshToken"].as_str().expect("a token").to_owned();
    }
    stack.redis().restart_from_snapshot(&snapshot).await;
    let healed = app.refresh(&session.session_id, &token).await.expect(200).json();
    let next = healed["refreshToken"].as_str().expect("a token");
    app.refresh(&session.session_id, next).await.expect(200);
    // What is behind the healed record is a replay.
    app.refresh(&session.session_id, &session.refresh_token).await.expect_problem(401, "refresh_token_reused");
}

/// A removed device, and one that was blocked while Redis was away, stay out of an older state and of an empty one.
#[tokio::test]
async fn f_02_a_device_that_was_removed_or_blocked_stays_logged_out() {
    let stack = stack().await;
    let app = &stack.app;
    let on = async |device: &str| {
        let body = json!({ "userId": "ada", "device": { "deviceId": device } });
        SessionTokens::from_created(&app.create_session(body).await)
    };
    let (removed, blocked) = (on("phone").await, on("laptop").await);
    let kept = session_with_data(app, "bob").await;
    let snapshot = stack.redis().snapshot().await;
    let path = |device: &str| format!("/users/ada/devices/{device}");
    app.request("DELETE", &path("phone")).send().await.expect(204);
    stack.redis().stop().await;
    let block = json!({ "trust": "blocked" });
    app.request("PATCH", &path("laptop")).json(&block).send().await.expect(202);
    assert_eq!(pending(&stack).await, 1);
    for first in CHECKS {
        stack.redis().restart_from_snapshot(&snapshot).await;
        for session in [&removed, &blocked] {
            expect_dead(first, session, &check(app, session, first).send().await);
        }
        app.get(&kept.session_id).await.expect(200);
        stack.redis().stop().await;
    }
    assert_eq!(pending(&stack).await, 0);
    stack.redis().restart_from_snapshot(&snapshot).await;
    for (session, reason) in [(&removed, "device_removed"), (&blocked, "device_blocked")] {
        assert_eq!(app.get(&session.session_id).await.expect_problem(404, "session_ended").json()["reason"], reason);
    }
    let again = json!({ "userId": "ada", "device": { "deviceId": "laptop" } });
    app.create_session(again).await.expect_problem(403, "device_blocked");
    let fresh = on("phone").await;
    app.get(&fresh.session_id).await.expect(200);
}

/// Whoever is not the owner can neither end a session nor blur the memory of its end.
#[tokio::test]
async fn f_02_another_application_can_not_undo_an_end() {
    let stack = stack().await;
    let app = &stack.app;
    let other = stack.create_application(json!({ "name": "Other", "scopes": ["sessions:write"] })).await;
    let (ended, kept) = (session_with_data(app, "ada").await, session_with_data(app, "bob").await);
    let snapshot = stack.redis().snapshot().await;
    app.delete(&ended.session_id).await.expect(204);
    other.delete(&ended.session_id).await.expect_problem(404, "not_found");
    other.delete(&kept.session_id).await.expect_problem(404, "not_found");
    stack.redis().restart_from_snapshot(&snapshot).await;
    expect_dead("get", &ended, &check(app, &ended, "get").send().await);
    app.get(&kept.session_id).await.expect(200);
}

/// F-32: the end that a later release wrote in a way of its own may be that of any session, so a store that can not be told of it
/// serves none.
#[tokio::test]
async fn f_32_nothing_is_served_from_an_older_state_while_an_end_can_not_be_read() {
    let stack = stack().await;
    let app = &stack.app;
    let session = session_with_data(app, "ada").await;
    warm_up(&stack).await;
    let snapshot = stack.redis().snapshot().await;
    let (text, number) =
        (|text: &str| AttributeValue::S(text.into()), |value: u64| AttributeValue::N(value.to_string()));
    // An unknown kind, a kind without its fields, and one that has expired, which DynamoDB removes late.
    for (entry, expires_at) in [("q#one", 4_000_000_000), ("u#AAECAwQF", 4_000_000_000), ("q#two", 1)] {
        let told = stack.aws.dynamodb.put_item().table_name(&stack.aws.tables.revocations);
        let told = told.item("scope", text("b000")).item("entry", text(entry));
        told.item("at", number(0)).item("expiresAt", number(expires_at)).send().await.expect("PutItem succeeds");
        stack.redis().restart_from_snapshot(&snapshot).await;
        for name in CHECKS {
            let response = check(app, &session, name).send().await;
            if expires_at == 1 {
                assert!(response.status < 300, "{name}: {response:?}");
            } else {
                expect_away(name, &response);
            }
        }
        let gone = stack.aws.dynamodb.delete_item().table_name(&stack.aws.tables.revocations);
        let gone = gone.key("scope", text("b000")).key("entry", text(entry)).send().await;
        gone.expect("DeleteItem succeeds");
    }
}
