//! Every documented answer of the operations of browsers, given by the real functions.

use integration_tests::{ClientKey, Stack, json};

use super::api::Api;

#[tokio::test]
async fn device_bound_sessions_answer_as_documented() {
    let policy = json!({ "binding": { "deviceBoundCredentials": true } });
    let stack = Stack::builder().with_policy(policy).start().await;
    let api = Api::new(&stack);
    let session = api.session(&stack.app, "alice").await;
    let key = ClientKey::new();
    let offer = session.document["deviceBoundSession"]["registration"].as_str().expect("an offer").to_owned();
    let (registration, refresh) = ("/dbsc/registration", "/dbsc/refresh");
    let proof = key.registration(&offer).sign();
    let with = |request: integration_tests::Request, proof: &str| request.header("secure-session-response", proof);
    let of = |request: integration_tests::Request| request.header("sec-secure-session-id", &session.session_id);
    api.send("POST", registration, |r| with(r, &proof)).await.expect(200);
    api.send("POST", registration, |r| with(r, &proof)).await.expect_problem(403, "device_proof_invalid");
    api.send("POST", registration, |r| with(r, "a b")).await.expect_problem(400, "invalid_request");
    let asked = api.send("POST", refresh, of).await.expect_problem(403, "device_proof_required");
    let answer = key.answer(asked.header("secure-session-challenge")).sign();
    let renewed = api.send("POST", refresh, |r| with(of(r), &answer)).await.expect(200);
    assert_eq!(renewed.cookies.len(), 1);
    api.send("POST", refresh, |r| with(of(r), &proof)).await.expect_problem(403, "device_proof_invalid");
    api.send("POST", &format!("{refresh}?x=1"), of).await.expect_problem(400, "invalid_request");
    api.app("DELETE", &format!("/sessions/{}", session.session_id), |r| r).await.expect(204);
    assert_eq!(api.send("POST", refresh, of).await.expect(200).json()["continue"], false);
    stack.redis().stop().await;
    api.send("POST", refresh, of).await.expect_problem(503, "dependency_unavailable");
    let fresh = ClientKey::new().registration(&offer).sign();
    api.send("POST", registration, |r| with(r, &fresh)).await.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["registerDeviceKey", "renewDeviceCookie"]);
}
