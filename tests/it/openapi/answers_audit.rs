//! Every documented answer of the operations on the audit, given by the real functions.

use integration_tests::{Stack, json};

use super::api::Api;

#[tokio::test]
async fn the_audit_answers_as_documented() {
    let stack = Stack::builder().with_database_proxy().start().await;
    let api = Api::new(&stack);
    let described = json!({ "userId": "alice", "device": { "deviceId": "a1f4", "name": "Phone", "type": "phone" }, "client": { "ip": "203.0.113.9" } });
    let created = api.app("POST", "/sessions", |r| r.json(&described)).await.expect(201).json();
    let session = api.session(&stack.app, "alice").await;
    api.app("DELETE", &format!("/sessions/{}", session.session_id), |r| r).await.expect(204);
    assert!(created["session"].is_object());
    stack.run_write_audit().await;
    let stranger = api.application(&["users:manage"]).await;
    for path in ["/audit/events", "/audit/verify"] {
        api.app("GET", path, |r| r).await.expect(200);
        api.app("GET", &format!("{path}?extra=1"), |r| r).await.expect_problem(400, "invalid_request");
        api.send("GET", path, |r| r).await.expect_problem(401, "credential_missing");
        api.send("GET", path, |r| r.bearer("no")).await.expect_problem(401, "credential_invalid");
        api.send("GET", path, |r| r.bearer(&stranger.key)).await.expect_problem(403, "insufficient_scope");
        let holder = api.send("GET", path, |r| r.bearer(&session.access_token)).await;
        holder.expect_problem(403, "application_only");
        stack.database_proxy().go_offline().await;
        api.app("GET", path, |r| r).await.expect_problem(503, "dependency_unavailable");
        stack.database_proxy().go_online().await;
    }
    let page = api.app("GET", "/audit/events?limit=1", |r| r).await.expect(200).json();
    let next = page["next"].as_str().expect("a cursor");
    api.app("GET", &format!("/audit/events?limit=1&cursor={next}"), |r| r).await.expect(200);
    // Neither a person that was forgotten nor a row that was touched is outside the document.
    let (table, dynamodb) = (&stack.aws.tables.subject_keys, &stack.aws.dynamodb);
    for item in dynamodb.scan().table_name(table).send().await.expect("keys").items() {
        let subject = item["subject"].clone();
        dynamodb.delete_item().table_name(table).key("subject", subject).send().await.expect("a deletion");
    }
    let erased = api.app("GET", "/audit/events", |r| r).await.expect(200).text();
    assert!(erased.contains("\"erased\":true"), "{erased}");
    let client = stack.database().connect().await;
    client.execute("UPDATE audit_events SET reason = 'x'", &[]).await.expect("an update");
    assert_eq!(api.app("GET", "/audit/verify", |r| r).await.expect(200).json()["intact"], false);
    api.assert_complete(&["queryAudit", "verifyAudit"]);
}
