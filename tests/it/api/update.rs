use futures::future::join_all;
use integration_tests::{Stack, Value, eventually, json};

use super::{refused_fields, session_path};

#[tokio::test]
async fn a_change_needs_the_current_version() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let body = json!({ "data": { "a": 1 } });
    for method in ["PUT", "PATCH"] {
        let with = |tag: Option<&str>| {
            let request = stack.app.request(method, &session_path(id)).json(&body);
            match tag {
                Some(tag) => request.header("if-match", tag),
                None => request,
            }
        };
        with(None).send().await.expect_problem(428, "if_match_required");
        for malformed in [
            "",
            "1",
            "\"\"",
            "\"a\"",
            "\"-1\"",
            "\"+1\"",
            "\"01\"",
            "W/\"1\"",
            "\"1\" ,\"2\"",
            "\"1",
            "**",
            "\"4294967296\"",
            "\"*\"",
        ] {
            let refused = with(Some(malformed)).send().await;
            assert_eq!(refused_fields(&refused)[0].to_ascii_lowercase(), "if-match", "{malformed}");
        }
        for stale in ["\"0\"", "\"7\"", "\"4294967295\""] {
            let refused = with(Some(stale)).send().await.expect_problem(412, "version_mismatch").json();
            assert_eq!(refused["detail"], "The current version is 1.");
        }
    }
    assert_eq!(stack.app.get(id).await.json()["data"], json!({}));
    let put = stack.app.put(id, "\"1\"", body.clone()).await.expect(200);
    assert_eq!((put.header("etag"), &put.json()["version"]), ("\"2\"", &json!(2)));
    stack.app.put(id, "\"1\"", body.clone()).await.expect_problem(412, "version_mismatch");
    stack.app.patch(id, "\"1\"", body.clone()).await.expect_problem(412, "version_mismatch");
    let any = stack.app.put(id, "*", json!({ "data": { "b": 2 } })).await.expect(200);
    assert_eq!((any.header("etag"), &any.json()["data"]), ("\"3\"", &json!({ "b": 2 })));
    let any = stack.app.patch(id, "*", json!({ "data": { "c": 3 } })).await.expect(200);
    assert_eq!((any.header("etag"), &any.json()["data"]), ("\"4\"", &json!({ "b": 2, "c": 3 })));
}

#[tokio::test]
async fn a_change_touches_the_data_alone() {
    let stack = Stack::start().await;
    let body = json!({ "userId": "ada", "device": { "deviceId": "d" }, "acr": "aal2", "data": { "a": 1 } });
    let created = stack.app.create_session(body).await.expect(201).json()["session"].clone();
    let id = created["sessionId"].as_str().expect("an id");
    let changed = stack.app.put(id, "\"1\"", json!({ "data": {} })).await.expect(200).json();
    let mut expected = created.clone();
    for changing in ["version", "data", "lastActivityAt", "idleExpiresAt"] {
        expected[changing] = changed[changing].clone();
    }
    assert_eq!(changed, expected);
    assert_eq!(stack.app.get(id).await.json(), changed);
    assert_eq!((&changed["version"], &changed["data"]), (&json!(2), &json!({})));
}

#[tokio::test]
async fn a_holder_changes_its_own_session_only() {
    let stack = Stack::start().await;
    let (one, two) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let put = |id: &str| {
        let request = stack.request("PUT", &session_path(id)).bearer(&one.access_token);
        request.header("if-match", "\"1\"").json(&json!({ "data": { "a": 1 } })).send()
    };
    assert_eq!(put(&one.session_id).await.expect(200).json()["current"], true);
    put(&two.session_id).await.expect_problem(404, "not_found");
    assert_eq!(stack.app.get(&two.session_id).await.json()["version"], 1);
}

#[tokio::test]
async fn bad_bodies_are_refused_by_field() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    for method in ["PUT", "PATCH"] {
        for (body, field) in [
            ("", "body"),
            ("null", "body"),
            ("{}", "data"),
            ("[]", "body"),
            ("{\"data\":null}", "data"),
            ("{\"data\":[]}", "data"),
            ("{\"data\":\"x\"}", "data"),
            ("{\"data\":{},\"userId\":\"eve\"}", "userId"),
            ("{\"data\":{\"a\":1,\"a\":2}}", "data"),
            ("{\"data\":{},\"data\":{}}", "data"),
        ] {
            let request = stack.app.request(method, &session_path(&session.session_id)).header("if-match", "\"1\"");
            let refused = request.body("application/json", body.as_bytes()).send().await;
            assert_eq!(refused_fields(&refused), [field], "{method} {body}");
        }
    }
    let put = stack.app.request("PUT", &session_path(&session.session_id)).header("if-match", "\"1\"");
    let put = put.body("application/merge-patch+json", b"{\"data\":{}}").send().await;
    put.expect_problem(415, "unsupported_media_type");
    assert_eq!(stack.app.get(&session.session_id).await.json()["version"], 1);
}

/// T-69: of concurrent changes to one version exactly one wins.
#[tokio::test]
async fn t_69_no_update_is_lost() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    for round in 1..=5 {
        let tag = format!("\"{round}\"");
        let calls = (0..8).map(|writer| {
            let (app, tag) = (&stack.app, &tag);
            async move { (writer, app.put(id, tag, json!({ "data": { "writer": writer } })).await) }
        });
        let answers = join_all(calls).await;
        let winners: Vec<i32> = answers.iter().filter(|(_, a)| a.status == 200).map(|(writer, _)| *writer).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(_, a)| a.status == 200 || a.code() == "version_mismatch"), "{answers:?}");
        assert_eq!(stack.app.get(id).await.json()["data"], json!({ "writer": winners[0] }));
    }
}

/// `*` waives the caller's version, not the guard against a concurrent change: every acknowledged patch is in the
/// data, and whoever came too late is told to try again.
#[tokio::test]
async fn t_69_no_patch_under_any_version_is_lost() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let round = std::cell::Cell::new(0);
    let acknowledged = std::cell::RefCell::new(Vec::new());
    eventually("two changes meet", || async {
        round.set(round.get() + 1);
        let calls = (0..8).map(|writer| {
            let member = format!("r{}w{writer}", round.get());
            let app = &stack.app;
            async move { (member.clone(), app.patch(id, "*", json!({ "data": { member: 1 } })).await) }
        });
        let mut met = None;
        for (member, answer) in join_all(calls).await {
            match answer.status {
                200 => acknowledged.borrow_mut().push(member),
                _ => {
                    let problem = answer.expect_problem(409, "session_changed").json();
                    assert_eq!(problem["retryable"], true);
                    met = Some(());
                }
            }
        }
        met
    })
    .await;
    let read = stack.app.get(id).await.expect(200).json();
    let acknowledged = acknowledged.into_inner();
    assert_eq!(read["version"], json!(acknowledged.len() + 1));
    let expected: serde_json::Map<String, Value> = acknowledged.into_iter().map(|member| (member, json!(1))).collect();
    assert_eq!(read["data"], Value::Object(expected));
}
