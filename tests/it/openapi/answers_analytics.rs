//! Every documented answer of recording activities and of reports, given by the real functions.

use integration_tests::{Stack, json};

use super::api::{Api, too_large};

#[tokio::test]
async fn activities_and_reports_answer_as_documented() {
    let stack = Stack::builder().with_redis_proxy().with_database_proxy().start().await;
    let api = Api::new(&stack);
    let session = api.session(&stack.app, "alice").await;
    let ended = api.session(&stack.app, "bob").await;
    let stranger = api.application(&["devices:manage"]).await;
    let path = format!("/sessions/{}/activity", session.session_id);
    let gone = format!("/sessions/{}/activity", ended.session_id);
    let good = json!({ "activities": [{ "name": "page.viewed", "properties": { "page": "/cart" } }] });

    api.app("POST", &path, |r| r.json(&good)).await.expect(202);
    api.send("POST", &path, |r| r.bearer(&session.access_token).json(&good)).await.expect(202);
    api.app("POST", &path, |r| r.json(&json!({}))).await.expect_problem(400, "invalid_request");
    api.app("POST", &path, |r| r.json(&too_large())).await.expect_problem(413, "payload_too_large");
    api.app("POST", &path, |r| r.body("text/plain", b"{}")).await.expect_problem(415, "unsupported_media_type");
    api.send("POST", &path, |r| r.json(&good)).await.expect_problem(401, "credential_missing");
    api.send("POST", &path, |r| r.bearer("no").json(&good)).await.expect_problem(401, "credential_invalid");
    let unable = api.send("POST", &path, |r| r.bearer(&stranger.key).json(&good)).await;
    unable.expect_problem(403, "insufficient_scope");
    let unknown = "/sessions/ses_AAAAAAAAAAAAAAAAAAAAAAAA/activity";
    api.app("POST", unknown, |r| r.json(&good)).await.expect_problem(404, "not_found");
    stack.app.delete(&ended.session_id).await.expect(204);
    api.app("POST", &gone, |r| r.json(&good)).await.expect_problem(404, "session_ended");
    let over = api.send("POST", &gone, |r| r.bearer(&ended.access_token).json(&good)).await;
    over.expect_problem(401, "session_ended");
    stack.redis_proxy().go_offline().await;
    api.app("POST", &path, |r| r.json(&good)).await.expect_problem(503, "dependency_unavailable");
    stack.redis_proxy().go_online().await;

    stack.run_write_audit().await;
    for report in ["activity", "durations", "geography", "devices", "security-events", "performance"] {
        let path = format!("/analytics/{report}");
        api.app("GET", &path, |r| r).await.expect(200);
        api.app("GET", &format!("{path}?format=csv"), |r| r).await.expect(200);
    }
    let path = "/analytics/activity";
    api.app("GET", "/analytics/everything", |r| r).await.expect_problem(404, "not_found");
    api.app("GET", &format!("{path}?interval=year"), |r| r).await.expect_problem(400, "invalid_request");
    api.send("GET", path, |r| r).await.expect_problem(401, "credential_missing");
    api.send("GET", path, |r| r.bearer("no")).await.expect_problem(401, "credential_invalid");
    api.send("GET", path, |r| r.bearer(&stranger.key)).await.expect_problem(403, "insufficient_scope");
    let holder = api.send("GET", path, |r| r.bearer(&session.access_token)).await;
    holder.expect_problem(403, "application_only");
    stack.database_proxy().go_offline().await;
    api.app("GET", path, |r| r).await.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["recordActivity", "queryAnalytics"]);
}
