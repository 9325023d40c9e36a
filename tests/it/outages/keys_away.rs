//! F-17 to F-19: KMS can not be reached or refuses.

use std::time::Duration;

use integration_tests::{Request, Stack, json};

use super::support::*;

const KMS: &[u8] = b"TrentService.";

async fn stack() -> Stack {
    Stack::builder().with_clock().with_moto_proxy().with_environments(2).start().await
}

#[tokio::test]
async fn f_18_without_kms_warm_paths_serve_and_ends_need_no_key() {
    let stack = stack().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let (sealed, other) = (session_with_data(app, "ada").await, session_with_data(app, "ada").await);
    let plain = app.start_session("ada").await;
    stack.moto_proxy().intercept(KMS, b"");

    app.get(&sealed.session_id).await.expect(200);
    let refreshed = app.refresh(&sealed.session_id, &sealed.refresh_token).await.expect(200).json();
    app.put(&sealed.session_id, "\"1\"", json!({ "data": { "note": "canary" } })).await.expect(200);
    app.introspect(refreshed["refreshToken"].as_str().expect("a token")).await.expect(200);
    app.list("ada").await.expect(200);
    app.start_session("ada").await;

    let cold = |name: &str| check(app, &sealed, name).on_environment(1);
    let delete = |id: &str| app.request("DELETE", &format!("/sessions/{id}")).on_environment(1);
    delete(&other.session_id).send().await.expect(204);
    delete(&plain.session_id).bearer(&sealed.access_token).send().await.expect(204);
    let read = cold("get").send().await;
    expect_away("get", &read);
    assert!(!read.text().contains("canary"));
    expect_away("put", &cold("put").send().await);
    expect_away("refresh", &cold("refresh").send().await);
    let create = app.request("POST", "/sessions").json(&json!({ "userId": "ada" })).on_environment(1);
    expect_away("create", &create.clone().send().await);
    // Life and public keys need no KMS.
    let by_token = cold("introspect").send().await.expect(200);
    assert_eq!(by_token.json()["active"], true);

    stack.moto_proxy().go_online().await;
    let read = cold("get").send().await.expect(200);
    assert_eq!(read.json()["data"], json!({ "note": "canary" }));
    create.send().await.expect(201);
}

#[tokio::test]
async fn f_18_a_session_without_data_is_read_without_kms() {
    let stack = stack().await;
    let session = stack.app.start_session("ada").await;
    stack.moto_proxy().intercept(KMS, b"");
    check(&stack.app, &session, "get").send().await.expect(200);
}

/// A key that was disabled is a kill switch: it takes effect everywhere, in what has been opened before as well.
#[tokio::test]
async fn f_18_rings_serve_on_for_fifteen_minutes_and_no_longer() {
    let stack = stack().await;
    let app = &stack.app;
    let long = json!({ "userId": "ada", "data": { "note": "canary" } });
    let created = app.create_session(long).await;
    let session = integration_tests::application::SessionTokens::from_created(&created);
    let create = || app.request("POST", "/sessions").json(&json!({ "userId": "bob" }));
    let put = |tag: &str| {
        let put = app.request("PUT", &format!("/sessions/{}", session.session_id));
        put.header("if-match", tag).json(&json!({ "data": { "note": "canary" } }))
    };
    app.get(&session.session_id).await.expect(200);
    put("\"1\"").send().await.expect(200);
    let mut token = session.refresh_token.clone();
    let refresh = |token: &str| -> Request {
        let body = json!({ "refreshToken": token });
        app.request("POST", &format!("/sessions/{}/refresh", session.session_id)).json(&body)
    };
    let rotated = refresh(&token).send().await.expect(200).json();
    token = rotated["refreshToken"].as_str().expect("a token").to_owned();
    stack.moto_proxy().intercept(KMS, b"");
    // Within the five minutes nobody asks; after them everybody asks in vain, and the old rings serve.
    for minutes in [4, 6, 14] {
        let elapsed = Duration::from_secs(minutes * 60);
        stack.clock().shift((elapsed - passed(&stack)).try_into().expect("a duration"));
        app.get(&session.session_id).await.expect(200);
        create().send().await.expect(201);
        let tag = app.get(&session.session_id).await.header("etag").to_owned();
        put(&tag).send().await.expect(200);
        // From here on the environment that reads knows the plaintext.
        app.get(&session.session_id).await.expect(200);
        let rotated = refresh(&token).send().await.expect(200).json();
        token = rotated["refreshToken"].as_str().expect("a token").to_owned();
    }
    stack.advance(Duration::from_secs(900) - passed(&stack));
    for (what, request) in
        [("get", check(app, &session, "get")), ("create", create()), ("put", put("*")), ("refresh", refresh(&token))]
    {
        let response = request.send().await;
        expect_away(what, &response);
        assert!(!response.text().contains("canary"), "{what}");
    }
    let delete = app.request("DELETE", &format!("/sessions/{}", session.session_id));
    stack.moto_proxy().go_online().await;
    let read = app.get(&session.session_id).await.expect(200);
    assert_eq!(read.json()["data"], json!({ "note": "canary" }));
    refresh(&token).send().await.expect(200);
    stack.moto_proxy().intercept(KMS, b"");
    delete.send().await.expect(204);
}

/// How far the clock of the stack is ahead.
fn passed(stack: &Stack) -> Duration {
    (stack.now() - time::OffsetDateTime::now_utc()).try_into().unwrap_or_default()
}

/// F-17: an outage of KMS is no storm on KMS.
#[tokio::test]
async fn f_17_a_ring_that_could_not_be_read_again_is_not_asked_for_at_every_request() {
    let stack = stack().await;
    let app = &stack.app;
    let session = session_with_data(app, "ada").await;
    app.get(&session.session_id).await.expect(200);
    let throttled = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
    let reply = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n{throttled}",
        throttled.len()
    );
    stack.moto_proxy().intercept(KMS, reply.as_bytes());
    stack.advance(Duration::from_secs(301));
    let before = stack.moto_proxy().calls("TrentService.Decrypt");
    for _ in 0..10 {
        app.get(&session.session_id).await.expect(200);
    }
    let asked = stack.moto_proxy().calls("TrentService.Decrypt") - before;
    assert!((1..=2).contains(&asked), "one look, of at most two attempts, for ten requests: {asked}");
    stack.advance(Duration::from_secs(31));
    app.get(&session.session_id).await.expect(200);
    assert!(stack.moto_proxy().calls("TrentService.Decrypt") - before > asked, "another look after half a minute");
}
