//! Locks under real concurrency: parallel askers, and a holder that is frozen past the end of its lock. I-12.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use integration_tests::{Request, Response, Stack, Value, json};

use super::tally;

fn ask(stack: &Stack, session: &str, body: &Value) -> Request {
    stack.app.request("POST", &format!("/sessions/{session}/lock")).json(body)
}

fn put(stack: &Stack, session: &str, token: &str, data: &Value) -> Request {
    let request = stack.app.request("PUT", &format!("/sessions/{session}")).header("if-match", "*");
    request.header("session-lock", token).json(&json!({ "data": data }))
}

fn token(response: &Response) -> String {
    response.json()["lockToken"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn i_12_of_parallel_askers_exactly_one_gets_the_lock() {
    let stack = Stack::builder().with_environments(8).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let mut last = 0;
    for round in 0..6 {
        let answers = join_all((0..16).map(|_| ask(&stack, id, &json!({})).send())).await;
        let expected = BTreeMap::from([((201, String::new()), 1), ((423, "session_locked".to_owned()), 15)]);
        assert_eq!(tally(&answers), expected, "round {round}");
        let granted = answers.iter().find(|answer| answer.status == 201).expect("one");
        let fence = granted.json()["fence"].as_u64().expect("a number");
        assert!(fence > last, "round {round}");
        last = fence;
        let request = stack.app.request("DELETE", &format!("/sessions/{id}/lock"));
        request.header("session-lock", &token(granted)).send().await.expect(204);
    }
}

/// Read, add, write, under the lock and without a version: no addition is lost.
#[tokio::test]
async fn i_12_additions_under_the_lock_lose_nothing() {
    let stack = Stack::builder().with_environments(6).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let workers = (0..6).map(|_| {
        let stack = &stack;
        async move {
            let mut added = 0;
            while added < 4 {
                let asked = ask(stack, id, &json!({ "ttlSeconds": 60 })).send().await;
                if asked.status != 201 {
                    asked.expect_problem(423, "session_locked");
                    continue;
                }
                let token = token(&asked);
                let count = stack.app.get(id).await.expect(200).json()["data"]["count"].as_u64().unwrap_or(0);
                put(stack, id, &token, &json!({ "count": count + 1 })).send().await.expect(200);
                added += 1;
                let request = stack.app.request("DELETE", &format!("/sessions/{id}/lock"));
                request.header("session-lock", &token).send().await.expect(204);
            }
        }
    });
    join_all(workers).await;
    assert_eq!(stack.app.get(id).await.json()["data"]["count"], 24);
}

/// T-71: the environment that works for a holder is frozen, as Lambda does, until the lock is over and another holder
/// has written. What it sends when it goes on is refused.
#[tokio::test]
async fn t_71_a_frozen_holders_late_write_is_refused() {
    let stack = Stack::builder().with_clock().with_environments(2).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let old = token(&ask(&stack, id, &json!({ "ttlSeconds": 30 })).send().await.expect(201));
    put(&stack, id, &old, &json!({ "by": "old" })).on_environment(0).send().await.expect(200);

    let frozen = stack.environment("update-session", 0).await;
    frozen.freeze().await;
    let late = put(&stack, id, &old, &json!({ "by": "zombie" })).on_environment(0).send();
    let meanwhile = async {
        stack.advance(Duration::from_secs(31));
        let new = token(&ask(&stack, id, &json!({ "ttlSeconds": 60 })).send().await.expect(201));
        put(&stack, id, &new, &json!({ "by": "new" })).on_environment(1).send().await.expect(200);
        frozen.thaw();
        new
    };
    let (late, new) = tokio::join!(late, meanwhile);
    late.expect_problem(409, "lock_lost");
    assert_eq!(stack.app.get(id).await.json()["data"], json!({ "by": "new" }));
    put(&stack, id, &new, &json!({ "by": "new again" })).on_environment(1).send().await.expect(200);
}
