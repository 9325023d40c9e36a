//! What holders hear of a quarantine and of a binding, by every operation that takes their token and has a session to
//! judge: as documented.

use integration_tests::application::SessionTokens;
use integration_tests::request::Request;
use integration_tests::{Stack, json};

use super::api::Api;

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Firefox/133.0";

async fn session(api: &Api<'_>) -> SessionTokens {
    let client = json!({ "ip": "203.0.113.10", "userAgent": AGENT });
    let body = json!({ "userId": "alice", "client": client });
    SessionTokens::from_created(&api.app("POST", "/sessions", |r| r.json(&body)).await)
}

/// Sends each operation as a holder elsewhere, the session being new each time.
async fn every_operation(stack: &Stack, elsewhere: impl Fn(Request) -> Request, code: &str) {
    let api = Api::new(stack);
    let change = json!({ "data": { "a": 1 } });
    for operation in ["get", "put", "patch", "delete another", "list", "end all", "refresh"] {
        let (own, other) = (session(&api).await, session(&api).await);
        let path = format!("/sessions/{}", own.session_id);
        let by = |r: Request| elsewhere(r.bearer(&own.access_token));
        let with_data = |r: Request| by(r).header("if-match", "*").json(&change);
        let refused = match operation {
            "get" => api.send("GET", &path, by).await,
            "put" => api.send("PUT", &path, with_data).await,
            "patch" => api.send("PATCH", &path, with_data).await,
            "delete another" => api.send("DELETE", &format!("/sessions/{}", other.session_id), by).await,
            "list" => api.send("GET", "/sessions/user/alice", by).await,
            "end all" => api.send("DELETE", "/sessions/user/alice", by).await,
            _ => {
                let body = json!({ "refreshToken": own.refresh_token });
                api.send("POST", &format!("{path}/refresh"), |r| elsewhere(r).json(&body)).await
            }
        };
        refused.expect_problem(401, code);
        // Nothing was done for whoever that was.
        assert_eq!(stack.app.get(&other.session_id).await.expect(200).json()["version"], 1, "{operation}");
        assert_eq!(stack.app.get(&own.session_id).await.expect(200).json()["data"], json!({}), "{operation}");
        stack.app.delete_user_sessions("alice").await.expect(204);
    }
}

/// T-01, T-74, 8.2.4: whatever a thief tries first is judged first.
#[tokio::test]
async fn t_01_t_74_every_operation_refuses_a_quarantined_holder_as_documented() {
    let stack = Stack::start().await;
    every_operation(&stack, |r| r.source_ip("198.51.100.66").user_agent("curl/8.5"), "session_quarantined").await;
}

#[tokio::test]
async fn every_operation_refuses_a_holder_of_another_network_as_documented() {
    let stack = Stack::builder().with_policy(json!({ "binding": { "ip": "prefix" } })).start().await;
    every_operation(&stack, |r| r.source_ip("198.51.100.66").user_agent(AGENT), "binding_mismatch").await;
}
