//! The state of a user, the same on all devices. Two devices editing at once lose nothing silently.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use integration_tests::{Request, Stack, Value, eventually, json};

use super::refused_fields;

const PATH: &str = "/users/ada/state";

fn get(stack: &Stack, query: &str) -> Request {
    stack.app.request("GET", &format!("{PATH}{query}"))
}

fn patch(stack: &Stack, if_match: &str, data: Value) -> Request {
    let body = json!({ "data": data }).to_string();
    let request = stack.app.request("PATCH", PATH).header("if-match", if_match);
    request.body("application/merge-patch+json", body.as_bytes())
}

/// Items read from DynamoDB so far.
fn reads(stack: &Stack) -> u64 {
    stack.moto_proxy().targets().get("DynamoDB_20120810.GetItem").copied().unwrap_or_default()
}

/// A poll in a warm environment reads nothing but the version: after the second time it waits.
async fn asked_twice(stack: &Stack, before: u64) {
    eventually("the poll asks again", async || (reads(stack) >= before + 2).then_some(())).await;
}

#[tokio::test]
async fn all_devices_and_applications_of_a_user_share_one_state() {
    let stack = Stack::start().await;
    let phone = stack.app.start_session("ada").await;
    let scopes = ["devices:manage"];
    let sister = json!({ "name": "Sister", "groupId": stack.app.record["groupId"], "scopes": scopes });
    let sister = stack.create_application(sister).await;
    assert_eq!(get(&stack, "").send().await.expect(200).json(), json!({ "version": 0, "data": {} }));
    let by_phone = stack.request("PATCH", PATH).bearer(&phone.access_token).header("if-match", "\"0\"");
    let first = by_phone.json(&json!({ "data": { "theme": "dark" } })).send().await.expect(200);
    assert_eq!(first.header("etag"), "\"1\"");
    let by_sister = sister.request("PATCH", PATH).header("if-match", "\"1\"").json(&json!({ "data": { "page": 7 } }));
    assert_eq!(by_sister.send().await.expect(200).json()["version"], 2);
    let seen = stack.request("GET", PATH).bearer(&phone.access_token).send().await.expect(200);
    assert_eq!(seen.json()["data"], json!({ "theme": "dark", "page": 7 }));
    let eve = stack.app.start_session("eve").await;
    stack.request("GET", PATH).bearer(&eve.access_token).send().await.expect_problem(404, "not_found");
    let stranger = stack.create_application(json!({ "name": "Stranger", "scopes": scopes })).await;
    assert_eq!(stranger.request("GET", PATH).send().await.expect(200).json()["version"], 0);
    // Ending all sessions leaves the state, and the state leaves the epoch.
    stack.app.delete_user_sessions("ada").await.expect(204);
    assert_eq!(get(&stack, "").send().await.expect(200).json()["version"], 2);
}

/// T-69: of writers with one version one wins, and the others hear it; with `*` every patch is there in the end.
#[tokio::test]
async fn t_69_no_edit_is_lost_silently() {
    let stack = Stack::builder().with_environments(4).start().await;
    patch(&stack, "\"0\"", json!({ "start": true })).send().await.expect(200);
    let one = join_all((0..6).map(|writer| patch(&stack, "\"1\"", json!({ "won": writer })).send())).await;
    let winners: Vec<_> = (0..6).filter(|writer| one[*writer].status == 200).collect();
    assert_eq!(winners.len(), 1, "{one:?}");
    for answer in one.into_iter().filter(|answer| answer.status != 200) {
        answer.expect_problem(412, "version_mismatch");
    }
    let mut written = BTreeSet::new();
    let any = join_all((0..4).map(|writer| patch(&stack, "*", json!({ format!("w{writer}"): writer })).send())).await;
    for (writer, answer) in any.iter().enumerate() {
        match answer.status {
            200 => drop(written.insert(format!("w{writer}"))),
            _ => drop(answer.clone().expect_problem(409, "session_changed")),
        }
    }
    let state = get(&stack, "").send().await.expect(200).json();
    let present =
        state["data"].as_object().expect("an object").keys().filter(|key| key.starts_with('w') && *key != "won");
    assert_eq!(present.cloned().collect::<BTreeSet<_>>(), written);
    assert_eq!(state["data"]["won"], winners[0]);
    assert_eq!(state["version"], 2 + written.len());
}

#[tokio::test]
async fn a_long_poll_answers_with_the_next_version() {
    let stack = Stack::builder().with_moto_proxy().with_environments(2).start().await;
    patch(&stack, "\"0\"", json!({ "n": 1 })).on_environment(0).send().await.expect(200);
    assert_eq!(get(&stack, "?after=0").send().await.expect(200).json()["version"], 1);
    assert_eq!(get(&stack, "?after=0&wait=20").send().await.expect(200).json()["version"], 1);
    for query in ["?after=1", "?after=9", "?after=1&wait=1"] {
        let unchanged = get(&stack, query).send().await.expect(304);
        assert_eq!((unchanged.header("etag"), unchanged.body.len()), ("\"1\"", 0), "{query}");
    }
    patch(&stack, "\"1\"", json!({})).on_environment(1).send().await.expect(200);
    let before = reads(&stack);
    let wait = get(&stack, "?after=2&wait=20").on_environment(0).send();
    let write = async {
        asked_twice(&stack, before).await;
        patch(&stack, "\"2\"", json!({ "n": 2 })).on_environment(1).send().await.expect(200)
    };
    let (found, _) = tokio::join!(wait, write);
    let found = found.expect(200);
    assert_eq!((found.header("etag"), &found.json()["data"]), ("\"3\"", &json!({ "n": 2 })));
}

/// The wait ends in time to answer, whatever was asked for.
#[tokio::test]
async fn a_long_poll_keeps_inside_the_deadline_of_its_function() {
    let stack = Stack::start().await;
    get(&stack, "").send().await.expect(200);
    let short = get(&stack, "?after=0&wait=20").timeout(Duration::from_secs(4)).send().await;
    assert_eq!(short.expect(304).function.as_deref(), Some("user-state"));
}

/// A token outlives its session by minutes; a poll of it does not.
#[tokio::test]
async fn i_1_a_session_that_ends_during_a_long_poll_hears_nothing() {
    let stack = Stack::builder().with_moto_proxy().with_environments(2).start().await;
    let session = stack.app.start_session("ada").await;
    let warm = stack.request("GET", PATH).bearer(&session.access_token).on_environment(0).send();
    warm.await.expect(200);
    patch(&stack, "\"0\"", json!({})).on_environment(1).send().await.expect(200);
    let before = reads(&stack);
    let poll = stack.request("GET", &format!("{PATH}?after=1&wait=20")).bearer(&session.access_token);
    let poll = poll.on_environment(0).send();
    let end = async {
        asked_twice(&stack, before).await;
        stack.app.delete(&session.session_id).await.expect(204);
        patch(&stack, "\"1\"", json!({ "secret": 1 })).on_environment(1).send().await.expect(200);
    };
    let (found, ()) = tokio::join!(poll, end);
    found.expect_problem(401, "session_ended");
}

#[tokio::test]
async fn bad_polls_are_refused_by_field() {
    let stack = Stack::start().await;
    for (query, field) in [
        ("?wait=5", "wait"),
        ("?after=1&wait=0", "wait"),
        ("?after=1&wait=21", "wait"),
        ("?after=-1", "after"),
        ("?after=01", "after"),
        ("?after=4294967296", "after"),
        ("?after=1&after=2", "after"),
        ("?since=1", "since"),
    ] {
        assert_eq!(refused_fields(&get(&stack, query).send().await), [field], "{query}");
    }
    let put = stack.app.request("PATCH", &format!("{PATH}?after=1")).header("if-match", "*");
    assert_eq!(refused_fields(&put.json(&json!({ "data": {} })).send().await), ["after"]);
}
