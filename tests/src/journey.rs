//! The whole life of a session, through every route that applications and holders use.

use serde_json::json;

use crate::application::SessionTokens;
use crate::stack::Stack;

/// Creates, reads, changes, refreshes, lists, introspects, revokes and ends sessions of `user`.
pub async fn whole_life(stack: &Stack, user: &str) {
    let app = &stack.app;
    let created = app.create_session(json!({ "userId": user, "data": { "cart": [1] } })).await;
    let SessionTokens { session_id: session, access_token, refresh_token, .. } = SessionTokens::from_created(&created);
    assert_eq!(created.header("location"), format!("/sessions/{session}"));
    assert_eq!(app.get(&session).await.expect(200).json()["data"], json!({ "cart": [1] }));
    let updated = app.put(&session, "\"1\"", json!({ "data": { "cart": [2] } })).await;
    assert_eq!(updated.expect(200).header("etag"), "\"2\"");
    let patched = app.patch(&session, "\"2\"", json!({ "data": { "cart": null, "lang": "en" } })).await;
    assert_eq!(patched.expect(200).json()["data"], json!({ "lang": "en" }));
    let own = stack.request("GET", &format!("/sessions/{session}")).bearer(&access_token).send().await;
    assert_eq!(own.expect(200).json()["current"], true);
    let refreshed = app.refresh(&session, &refresh_token).await.expect(200).json();
    let next = refreshed["refreshToken"].as_str().expect("a token");
    assert_ne!(next, refresh_token);
    assert_eq!(app.list(user).await.expect(200).json()["sessions"][0]["sessionId"], session.as_str());
    assert_eq!(app.introspect(next).await.expect(200).json()["active"], true);
    app.delete(&session).await.expect(204);
    app.delete(&session).await.expect(204);
    app.get(&session).await.expect_problem(404, "session_ended");
    assert_eq!(app.introspect(next).await.expect(200).json(), json!({ "active": false }));
    app.revoke(next).await.expect(200);

    let revoked = app.start_session(user).await;
    app.revoke(&revoked.refresh_token).await.expect(200);
    app.get(&revoked.session_id).await.expect_problem(404, "session_ended");
    let last = app.start_session(user).await;
    app.delete_user_sessions(user).await.expect(204);
    app.get(&last.session_id).await.expect_problem(404, "session_ended");
}
