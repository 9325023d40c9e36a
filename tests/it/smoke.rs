//! The whole life of a session, once, through every route.

use integration_tests::{Stack, json};

#[tokio::test]
async fn a_session_lives_and_ends() {
    let stack = Stack::start().await;
    let app = &stack.app;
    let created = app.create_session(json!({"userId": "ada", "data": {"cart": [1]}})).await.expect(201);
    let session = created.json()["session"]["sessionId"].as_str().expect("an id").to_owned();
    let refresh = created.json()["refreshToken"].as_str().expect("a token").to_owned();
    let access = created.json()["accessToken"].as_str().expect("a token").to_owned();
    assert_eq!(created.header("location"), format!("/sessions/{session}"));
    assert_eq!(app.get(&session).await.expect(200).json()["data"], json!({"cart": [1]}));
    let updated = app.put(&session, "\"1\"", json!({"data": {"cart": [2]}})).await;
    assert_eq!(updated.expect(200).header("etag"), "\"2\"");
    let patched = app.patch(&session, "\"2\"", json!({"data": {"cart": null, "lang": "en"}})).await;
    assert_eq!(patched.expect(200).json()["data"], json!({"lang": "en"}));
    let own = stack.request("GET", &format!("/sessions/{session}")).bearer(&access).send().await;
    assert_eq!(own.expect(200).json()["current"], true);
    let refreshed = app.refresh(&session, &refresh).await;
    let next = refreshed.expect(200).json()["refreshToken"].as_str().expect("a token").to_owned();
    assert_ne!(next, refresh);
    assert_eq!(app.list("ada").await.expect(200).json()["sessions"][0]["sessionId"], session.as_str());
    assert_eq!(app.introspect(&next).await.expect(200).json()["active"], true);
    app.delete(&session).await.expect(204);
    app.delete(&session).await.expect(204);
    app.get(&session).await.expect_problem(404, "session_ended");
    assert_eq!(app.introspect(&next).await.expect(200).json(), json!({"active": false}));
    app.revoke(&next).await.expect(200);
}
