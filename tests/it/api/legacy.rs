//! Sessions of a system that an application is leaving, exchanged for sessions of this service.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::{Application, Response, Stack, Value, audit, json, secrets};

use super::{expect_ended, other_application, refused_fields, text};

/// As a store of express-session knows it.
const LEGACY: &str = "vYx1QmT0f3xw-8kRr_J2bN5uZ7aLcDpe";

async fn exchange(app: &Application, user: &str, id: &str) -> Response {
    app.create_session(json!({ "userId": user, "legacySession": id })).await
}

async fn live(app: &Application, user: &str) -> usize {
    app.list(user).await.expect(200).json()["sessions"].as_array().map_or(0, Vec::len)
}

/// The whole road of a browser: its requests of one moment all become one session, which goes on by itself; the legacy session
/// is worth nothing afterwards, whatever becomes of the one that was made.
#[tokio::test]
async fn a_browser_moves_over_once_and_for_good() {
    let stack = Stack::builder().with_clock().with_database().with_environments(4).start().await;
    let app = &stack.app;
    secrets::register(LEGACY);
    // Requests of one browser differ in what they say of the moment.
    let calls = (0..50).map(|at| {
        let body = json!({ "userId": "ada", "legacySession": LEGACY, "data": { "cart": [at] }, "amr": ["pwd"] });
        app.create_session(body)
    });
    let answers: Vec<Value> = join_all(calls).await.into_iter().map(|answer| answer.expect(201).json()).collect();
    let distinct =
        |member: &dyn Fn(&Value) -> &Value| answers.iter().map(|a| member(a).to_string()).collect::<BTreeSet<_>>();
    assert_eq!(distinct(&|answer| &answer["session"]).len(), 1);
    assert_eq!(distinct(&|answer| &answer["refreshToken"]).len(), 1);
    assert_eq!(live(app, "ada").await, 1);
    let (id, refresh) = (text(&answers[0]["session"]["sessionId"]), text(&answers[0]["refreshToken"]));
    for answer in &answers {
        let read = stack.request("GET", &format!("/sessions/{id}")).bearer(&text(&answer["accessToken"]));
        assert_eq!(read.send().await.expect(200).json()["data"], answers[0]["session"]["data"]);
    }

    // Until the minute is over, also after the session has gone on.
    let next = text(&app.refresh(&id, &refresh).await.expect(200).json()["refreshToken"]);
    stack.advance(Duration::from_secs(50));
    assert_eq!(exchange(app, "ada", LEGACY).await.expect(201).json()["refreshToken"], refresh);
    stack.advance(Duration::from_secs(10));
    for _ in 0..2 {
        exchange(app, "ada", LEGACY).await.expect_problem(409, "legacy_session_exchanged");
    }
    app.refresh(&id, &next).await.expect(200);
    app.delete(&id).await.expect(204);
    exchange(app, "ada", LEGACY).await.expect_problem(409, "legacy_session_exchanged");
    assert_eq!(live(app, "ada").await, 0);

    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let rows = audit::rows(&client).await;
    let created: Vec<_> = rows.iter().filter(|row| row.event.event_type == "session.created").collect();
    assert_eq!(created.len(), 1, "{created:?}");
    assert_eq!((created[0].event.session_id.as_str(), created[0].event.detail.as_str()), (id.as_str(), "legacy"));
    assert!(!audit::everything(&client).await.contains(LEGACY));
}

/// It is remembered for thirty days, although the session that it became may live a minute only.
#[tokio::test]
async fn an_exchange_is_remembered_for_thirty_days() {
    let stack = Stack::builder().with_clock().start().await;
    let short = || {
        let body =
            json!({ "userId": "ada", "legacySession": LEGACY, "absoluteTimeoutSeconds": 60, "idleTimeoutSeconds": 60 });
        stack.app.create_session(body)
    };
    short().await.expect(201);
    stack.advance(Duration::from_secs(30 * 24 * 3600 - 60));
    short().await.expect_problem(409, "legacy_session_exchanged");
    stack.advance(Duration::from_secs(120));
    short().await.expect(201);
}

/// Whose it is and of which application is part of what a legacy session is. An id of 512 characters is one.
#[tokio::test]
async fn a_legacy_session_is_of_one_user_of_one_application() {
    let stack = Stack::start().await;
    let foreign = other_application(&stack).await;
    let related = super::related_application(&stack).await;
    let mut sessions = BTreeSet::new();
    for app in [&stack.app, &foreign, &related] {
        for (user, id) in [("ada", LEGACY), ("bob", LEGACY), ("ada", "another"), ("ada", &"x".repeat(512))] {
            sessions.insert(text(&exchange(app, user, id).await.expect(201).json()["session"]["sessionId"]));
        }
    }
    assert_eq!(sessions.len(), 12);
}

/// What is not made uses nothing up; what was made and is over is not handed out again.
#[tokio::test]
async fn only_a_creation_uses_a_legacy_session_up() {
    let policy = json!({ "sessionLimit": { "max": 1, "onLimit": "reject" } });
    let stack = Stack::builder().with_policy(policy).with_redis_proxy().start().await;
    let app = &stack.app;
    let first = app.start_session("ada").await;
    exchange(app, "ada", LEGACY).await.expect_problem(409, "session_limit_reached");
    app.delete(&first.session_id).await.expect(204);
    stack.redis_proxy().go_offline().await;
    exchange(app, "ada", LEGACY).await.expect_problem(503, "dependency_unavailable");
    stack.redis_proxy().go_online().await;
    let made = SessionTokens::from_created(&exchange(app, "ada", LEGACY).await.expect(201));
    app.delete(&made.session_id).await.expect(204);
    expect_ended(exchange(app, "ada", LEGACY).await, "admin");
}

#[tokio::test]
async fn a_bad_legacy_session_is_refused_by_its_name() {
    let stack = Stack::start().await;
    for bad in [json!(""), json!("x".repeat(513)), json!("a b"), json!("a\tb"), json!("ü"), json!(7)] {
        let refused = stack.app.create_session(json!({ "userId": "ada", "legacySession": bad })).await;
        assert_eq!(refused_fields(&refused), ["legacySession"], "{bad}");
        assert!(bad.as_str().is_none_or(|bad| bad.len() < 3 || !refused.text().contains(bad)));
    }
    let body = json!({ "userId": "ada", "legacySession": LEGACY });
    let both = stack.app.request("POST", "/sessions").header("idempotency-key", "one").json(&body).send().await;
    assert_eq!(refused_fields(&both), ["legacySession"]);
    assert!(!both.text().contains(LEGACY));
    assert_eq!(live(&stack.app, "ada").await, 0);
}
