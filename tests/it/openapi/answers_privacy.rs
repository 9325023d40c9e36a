//! Every documented answer of the operations on a person as a whole, given by the real functions.

use std::time::Duration;

use integration_tests::{Stack, Value, eventually, json};

use super::api::{Api, too_large};

fn switches() -> Value {
    json!({ "activityTracking": true, "location": false, "fingerprinting": true, "sharing": true })
}

#[tokio::test]
async fn privacy_export_and_erasure_answer_as_documented() {
    let stack =
        Stack::builder().with_clock().with_database().with_moto_proxy().with_database_proxy().with_redis_proxy();
    let stack = stack.start().await;
    let api = Api::new(&stack);
    let stale = api.session(&stack.app, "alice").await;
    stack.advance(Duration::from_secs(301));
    let (own, ended) = (api.session(&stack.app, "alice").await, api.session(&stack.app, "alice").await);
    api.app("DELETE", &format!("/sessions/{}", ended.session_id), |r| r).await.expect(204);
    let stranger = api.application(&["users:manage"]).await;
    let (body, settings) = (switches(), "/users/alice/privacy");
    for (method, path) in
        [("GET", settings), ("PUT", settings), ("GET", "/users/alice/export"), ("DELETE", "/users/alice")]
    {
        let with = |request: integration_tests::Request| if method == "PUT" { request.json(&body) } else { request };
        api.app(method, &format!("{path}?extra=1"), with).await.expect_problem(400, "invalid_request");
        api.send(method, path, with).await.expect_problem(401, "credential_missing");
        api.send(method, path, |r| with(r.bearer("no"))).await.expect_problem(401, "credential_invalid");
        api.send(method, path, |r| with(r.bearer(&ended.access_token))).await.expect_problem(401, "session_ended");
        api.send(method, path, |r| with(r.bearer(&stranger.key))).await.expect_problem(403, "insufficient_scope");
        let of_bob = path.replace("alice", "bob");
        let other = api.send(method, &of_bob, |r| with(r.bearer(&own.access_token))).await;
        other.expect_problem(404, "not_found");
        stack.moto_proxy().go_offline().await;
        api.app(method, path, with).await.expect_problem(503, "dependency_unavailable");
        stack.moto_proxy().go_online().await;
    }
    for (method, path) in [("GET", "/users/alice/export"), ("DELETE", "/users/alice")] {
        let refused = api.send(method, path, |r| r.bearer(&stale.access_token)).await;
        refused.expect_problem(401, "insufficient_user_authentication");
    }

    // The settings.
    let get = api.app("GET", settings, |r| r).await.expect(200);
    api.send("GET", settings, |r| r.bearer(&own.access_token)).await.expect(200);
    let tag = get.header("etag").to_owned();
    let put = api.app("PUT", settings, |r| r.header("if-match", &tag).json(&body)).await.expect(200);
    assert_eq!(put.json()["location"], false);
    let outdated = api.app("PUT", settings, |r| r.header("if-match", &tag).json(&body)).await;
    outdated.expect_problem(412, "version_mismatch");
    api.app("PUT", settings, |r| r.json(&too_large())).await.expect_problem(413, "payload_too_large");
    let form = api.app("PUT", settings, |r| r.body("text/plain", b"location=off")).await;
    form.expect_problem(415, "unsupported_media_type");
    let mut hold = body.clone();
    hold["legalHold"] = json!(true);
    let holder = api.send("PUT", settings, |r| r.bearer(&own.access_token).json(&hold)).await;
    holder.expect_problem(403, "application_only");
    stack.redis_proxy().go_offline().await;
    api.app("PUT", settings, |r| r.json(&body)).await.expect(202);
    stack.redis_proxy().go_online().await;

    // The export, with something in every section that requests can fill.
    let batch = json!({ "activities": [{ "name": "page.viewed", "properties": { "page": "home" } }] });
    api.app("POST", &format!("/sessions/{}/activity", own.session_id), |r| r.json(&batch)).await.expect(202);
    stack.run_write_audit().await;
    let export = api.app("GET", "/users/alice/export", |r| r).await.expect(200).json();
    assert!(!export["audit"].as_array().expect("rows").is_empty());
    assert_eq!(export["activities"][0]["properties"], json!({ "page": "home" }));
    api.send("GET", "/users/alice/export", |r| r.bearer(&own.access_token)).await.expect(200);
    let wrong = api.app("GET", "/users/alice/export?cursor=no", |r| r).await;
    wrong.expect_problem(400, "invalid_request");

    // The erasure: held up by law, by a drainer until its time is over, and complete.
    api.app("PUT", settings, |r| r.json(&hold)).await.expect(200);
    api.app("DELETE", "/users/alice", |r| r).await.expect_problem(409, "legal_hold");
    hold["legalHold"] = json!(false);
    api.app("PUT", settings, |r| r.json(&hold)).await.expect(200);
    let drainer = stack.database().connect().await;
    drainer.batch_execute("BEGIN; SELECT FROM audit_chain_heads FOR UPDATE").await.expect("the locks of all chains");
    let let_go = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))";
        eventually("the erasure waits", || async {
            let row = drainer.query_one(waits, &[]).await.expect("locks");
            (row.get::<_, i64>(0) > 0).then_some(())
        })
        .await;
        stack.advance(Duration::from_secs(60));
        drainer.batch_execute("ROLLBACK").await.expect("the drainer has come to its end");
    };
    let (running, ()) = tokio::join!(api.app("DELETE", "/users/alice", |r| r), let_go);
    let running = running.expect(202).json();
    let erased = api.app("DELETE", "/users/alice", |r| r).await.expect(200).json();
    assert_eq!(erased["erasureId"], running["erasureId"]);
    assert_eq!(api.app("DELETE", "/users/alice", |r| r).await.expect(200).json(), erased);
    api.app("GET", "/users/alice/export", |r| r).await.expect(200);
    api.assert_complete(&["getPrivacy", "putPrivacy", "exportUser", "eraseUser"]);
}
