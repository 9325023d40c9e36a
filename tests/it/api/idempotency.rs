use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use integration_tests::{Application, Response, Stack, Value, json};

use super::{expect_ended, other_application, refused_fields, text};

async fn create(app: &Application, key: &str, body: &Value) -> Response {
    app.request("POST", "/sessions").header("idempotency-key", key).json(body).send().await
}

#[tokio::test]
async fn the_same_key_and_payload_give_the_same_session_and_refresh_token() {
    let stack = Stack::start().await;
    let body = json!({ "userId": "ada", "data": { "cart": [1] } });
    let first = create(&stack.app, "k-1", &body).await.expect(201);
    let again = create(&stack.app, "k-1", &body).await.expect(201);
    for header in ["location", "etag"] {
        assert_eq!(first.header(header), again.header(header));
    }
    let (first, again) = (first.json(), again.json());
    for member in ["session", "refreshToken", "tokenType", "evicted"] {
        assert_eq!(first[member], again[member], "{member}");
    }
    let id = text(&first["session"]["sessionId"]);
    for document in [&first, &again] {
        let request = stack.request("GET", &format!("/sessions/{id}")).bearer(&text(&document["accessToken"]));
        request.send().await.expect(200);
    }
    // The answer stays that of the first call, whatever has been refreshed since.
    stack.app.refresh(&id, &text(&first["refreshToken"])).await.expect(200);
    let later = create(&stack.app, "k-1", &body).await.expect(201).json();
    assert_eq!(later["refreshToken"], first["refreshToken"]);
    assert_eq!(stack.app.list("ada").await.json()["sessions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn another_payload_under_the_key_is_refused() {
    let stack = Stack::start().await;
    create(&stack.app, "k-1", &json!({ "userId": "ada" })).await.expect(201);
    for other in [json!({ "userId": "ada", "data": {} }), json!({ "userId": "ada", "acr": "aal1" })] {
        create(&stack.app, "k-1", &other).await.expect_problem(422, "idempotency_key_reused");
    }
    create(&stack.app, "k-2", &json!({ "userId": "ada", "data": {} })).await.expect(201);
    assert_eq!(stack.app.list("ada").await.json()["sessions"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn keys_belong_to_an_application_and_a_user() {
    let stack = Stack::start().await;
    let group = json!({ "name": "A", "scopes": ["sessions:create"], "groupId": "family" });
    let (one, two) = (stack.create_application(group.clone()).await, stack.create_application(group).await);
    let foreign = other_application(&stack).await;
    let mut sessions = BTreeSet::new();
    for app in [&stack.app, &foreign, &one, &two] {
        for user in ["ada", "bob"] {
            let created = create(app, "same", &json!({ "userId": user })).await.expect(201).json();
            sessions.insert(text(&created["session"]["sessionId"]));
        }
    }
    assert_eq!(sessions.len(), 8);
}

#[tokio::test]
async fn twenty_parallel_calls_with_one_key_give_one_session() {
    let stack = Stack::builder().with_environments(5).start().await;
    let body = json!({ "userId": "ada" });
    let calls = (0..20).map(|_| create(&stack.app, "k-1", &body));
    let answers: Vec<Value> = join_all(calls).await.into_iter().map(|answer| answer.expect(201).json()).collect();
    let distinct = |member: &dyn Fn(&Value) -> String| answers.iter().map(member).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(&|answer| text(&answer["session"]["sessionId"])), 1);
    assert_eq!(distinct(&|answer| text(&answer["refreshToken"])), 1);
    assert_eq!(stack.app.list("ada").await.json()["sessions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_repeated_call_names_the_victims_of_the_first() {
    let policy = json!({ "sessionLimit": { "max": 1, "onLimit": "evict_oldest" } });
    let stack = Stack::builder().with_policy(policy).start().await;
    let victim = stack.app.start_session("ada").await;
    let body = json!({ "userId": "ada" });
    for _ in 0..2 {
        let answer = create(&stack.app, "k-1", &body).await.expect(201).json();
        assert_eq!(answer["evicted"], json!([victim.session_id]));
    }
}

/// A session that is over is never handed out again with tokens, whichever way it ended.
#[tokio::test]
async fn a_repeated_call_for_an_ended_session_says_why_it_ended() {
    let stack = Stack::builder().with_clock().start().await;
    let body = |user: &str| json!({ "userId": user, "idleTimeoutSeconds": 60, "absoluteTimeoutSeconds": 7200 });
    let ended = create(&stack.app, "k-1", &body("ada")).await.expect(201).json();
    stack.app.delete(&text(&ended["session"]["sessionId"])).await.expect(204);
    expect_ended(create(&stack.app, "k-1", &body("ada")).await, "admin");

    create(&stack.app, "k-1", &body("bob")).await.expect(201);
    create(&stack.app, "k-1", &body("eve")).await.expect(201);
    stack.app.delete_user_sessions("eve").await.expect(204);
    expect_ended(create(&stack.app, "k-1", &body("eve")).await, "revoke_all");
    stack.advance(Duration::from_secs(61));
    expect_ended(create(&stack.app, "k-1", &body("bob")).await, "idle");
    stack.advance(Duration::from_secs(24 * 3600));
    create(&stack.app, "k-1", &body("bob")).await.expect(201);
}

#[tokio::test]
async fn keys_are_one_to_255_visible_bytes() {
    let stack = Stack::start().await;
    let body = json!({ "userId": "ada" });
    create(&stack.app, &"k".repeat(255), &body).await.expect(201);
    for bad in ["", &"k".repeat(256), "a,b", "a\u{fc}b"] {
        let refused = create(&stack.app, bad, &body).await;
        assert_eq!(refused_fields(&refused)[0].to_ascii_lowercase(), "idempotency-key", "{bad}");
    }
    let twice = stack.app.request("POST", "/sessions").header("idempotency-key", "a").header("idempotency-key", "b");
    assert_eq!(refused_fields(&twice.json(&body).send().await)[0].to_ascii_lowercase(), "idempotency-key");
}
