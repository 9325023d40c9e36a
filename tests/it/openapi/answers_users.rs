//! Every documented answer of the operations on a user's sessions, given by the real functions.

use integration_tests::{Stack, json};

use super::api::Api;

#[tokio::test]
async fn listing_and_ending_a_users_sessions_answer_as_documented() {
    let stack = Stack::builder().with_moto_proxy().start().await;
    let api = Api::new(&stack);
    let own = api.session(&stack.app, "alice").await;
    let ended = api.session(&stack.app, "alice").await;
    api.app("DELETE", &format!("/sessions/{}", ended.session_id), |r| r).await.expect(204);
    let device = json!({
        "userId": "alice",
        "device": { "deviceId": "a1f4", "name": "Alice's phone", "type": "phone" },
        "client": { "ip": "2001:db8:1:2ff::1", "userAgent": "Shop/5.1" },
        "acr": "aal2", "amr": ["pwd"], "authTime": "2026-03-02T09:29:56+01:00",
    });
    api.app("POST", "/sessions", |r| r.json(&device)).await.expect(201);
    let stranger = api.application(&["devices:manage"]).await;

    let page = api.app("GET", "/sessions/user/alice?limit=1", |r| r).await.expect(200).json();
    let cursor = page["nextCursor"].as_str().expect("a second page");
    let rest = api.app("GET", &format!("/sessions/user/alice?limit=1&cursor={cursor}"), |r| r).await.expect(200).json();
    assert_eq!(rest["sessions"][0]["sessionId"], own.session_id.as_str());
    assert!(rest.get("nextCursor").is_none());
    let mine = api.send("GET", "/sessions/user/alice", |r| r.bearer(&own.access_token)).await.expect(200).json();
    assert_eq!(mine["sessions"][1]["current"], true);
    assert_eq!(api.app("GET", "/sessions/user/nobody", |r| r).await.expect(200).json(), json!({ "sessions": [] }));

    for (method, wrong) in [("GET", "limit=101"), ("DELETE", "except=x")] {
        let path = "/sessions/user/alice";
        api.app(method, &format!("{path}?{wrong}"), |r| r).await.expect_problem(400, "invalid_request");
        api.send(method, path, |r| r).await.expect_problem(401, "credential_missing");
        api.send(method, path, |r| r.bearer("no")).await.expect_problem(401, "credential_invalid");
        let over = api.send(method, path, |r| r.bearer(&ended.access_token)).await;
        assert_eq!(over.expect_problem(401, "session_ended").json()["reason"], "admin");
        api.send(method, path, |r| r.bearer(&stranger.key)).await.expect_problem(403, "insufficient_scope");
        let other = api.send(method, "/sessions/user/bob", |r| r.bearer(&own.access_token)).await;
        other.expect_problem(404, "not_found");
    }
    let long_ago = json!({ "userId": "alice", "authTime": "2026-03-02T09:29:56Z" });
    let stale = api.app("POST", "/sessions", |r| r.json(&long_ago)).await.expect(201).json();
    let stale = stale["accessToken"].as_str().expect("a token");
    let refused = api.send("DELETE", "/sessions/user/alice", |r| r.bearer(stale)).await;
    refused.expect_problem(401, "insufficient_user_authentication");
    api.app("DELETE", "/sessions/user/alice?deviceId=a1f4", |r| r).await.expect(204);
    api.app("DELETE", &format!("/sessions/user/alice?except={}", own.session_id), |r| r).await.expect(204);
    let left = api.app("GET", "/sessions/user/alice", |r| r).await.expect(200).json();
    assert_eq!(left["sessions"].as_array().map(Vec::len), Some(1));

    stack.moto_proxy().go_offline().await;
    api.app("DELETE", "/sessions/user/alice", |r| r).await.expect_problem(503, "dependency_unavailable");
    stack.moto_proxy().go_online().await;
    stack.redis().stop().await;
    api.app("DELETE", "/sessions/user/alice", |r| r).await.expect(202);
    api.app("GET", "/sessions/user/alice", |r| r).await.expect_problem(503, "dependency_unavailable");
    api.assert_complete(&["listUserSessions", "deleteUserSessions"]);
}
