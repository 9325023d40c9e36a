use std::time::Duration;

use integration_tests::{Response, Stack, json};

use super::{expect_ended_for_holder, refused_fields, session_path, text};

#[tokio::test]
async fn a_refresh_gives_the_next_pair_and_no_data() {
    let stack = Stack::start().await;
    let created = stack.app.create_session(json!({ "userId": "ada", "data": { "a": 1 } })).await.expect(201).json();
    let id = text(&created["session"]["sessionId"]);
    let refreshed = stack.app.refresh(&id, &text(&created["refreshToken"])).await.expect(200);
    assert_eq!(refreshed.header("etag"), "\"1\"");
    let document = refreshed.json();
    let members: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(members, ["accessToken", "expiresIn", "refreshToken", "session", "tokenType"]);
    assert_eq!((&document["tokenType"], &document["expiresIn"]), (&json!("Bearer"), &json!(300)));
    let mut expected = created["session"].clone();
    expected.as_object_mut().unwrap().remove("data");
    for sliding in ["lastActivityAt", "idleExpiresAt"] {
        expected[sliding] = document["session"][sliding].clone();
    }
    assert_eq!(document["session"], expected);
    assert_ne!(document["refreshToken"], created["refreshToken"]);
    assert_ne!(document["accessToken"], created["accessToken"]);
}

#[tokio::test]
async fn a_holder_needs_nothing_but_the_refresh_token() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let path = format!("{}/refresh", session_path(&session.session_id));
    let body = json!({ "refreshToken": session.refresh_token });
    let direct = stack.request("POST", &path).json(&body).send().await.expect(200).json();
    assert_eq!(direct["session"]["current"], true);
    // The old access token sent along out of habit decides nothing.
    let body = json!({ "refreshToken": direct["refreshToken"] });
    stack.request("POST", &path).bearer(&session.access_token).json(&body).send().await.expect(200);
}

#[tokio::test]
async fn bad_bodies_are_refused_by_field_and_use_up_nothing() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let path = format!("{}/refresh", session_path(&session.session_id));
    let token = &session.refresh_token;
    for (body, field) in [
        ("".to_owned(), "body"),
        ("{}".to_owned(), "refreshToken"),
        ("{\"refreshToken\":null}".to_owned(), "refreshToken"),
        ("{\"refreshToken\":7}".to_owned(), "refreshToken"),
        (format!("{{\"refreshToken\":\"{token}\",\"refreshToken\":\"{token}\"}}"), "refreshToken"),
        (format!("{{\"refreshToken\":\"{token}\",\"surprise\":1}}"), "surprise"),
        (format!("{{\"refreshToken\":\"{token}\",\"client\":{{\"ip\":\"x\"}}}}"), "client.ip"),
    ] {
        let refused = stack.app.request("POST", &path).body("application/json", body.as_bytes()).send().await;
        assert_eq!(refused_fields(&refused), [field], "{body}");
    }
    // Only an application may speak for a client.
    let body = json!({ "refreshToken": token, "client": { "ip": "198.51.100.1" } });
    assert_eq!(refused_fields(&stack.request("POST", &path).json(&body).send().await), ["client"]);
    let answer = stack.app.introspect(token).await.expect(200).json();
    assert_eq!(answer["active"], true, "the token is still the current one");
    stack.app.request("POST", &path).json(&body).send().await.expect(200);
}

#[tokio::test]
async fn what_is_no_refresh_token_of_the_session_is_refused() {
    let stack = Stack::start().await;
    let (one, two) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let token = &one.refresh_token;
    let flipped = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { 'Q' } else { 'A' });
    for refused in [
        "",
        "rt_",
        "x",
        &one.access_token,
        &stack.app.key,
        &two.refresh_token,
        &flipped,
        &token[1..],
        &format!("{token}="),
        &format!(" {token}"),
        &"r".repeat(70_000),
    ] {
        stack.app.refresh(&one.session_id, refused).await.expect_problem(401, "refresh_token_invalid");
    }
    stack.app.refresh(&one.session_id, token).await.expect(200);
    stack.app.refresh(&two.session_id, &two.refresh_token).await.expect(200);
}

#[tokio::test]
async fn replay_after_the_grace_window_ends_the_session() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let first = stack.app.refresh(id, &session.refresh_token).await.expect(200).json();
    let within = stack.app.refresh(id, &session.refresh_token).await.expect(200).json();
    assert_eq!(within["refreshToken"], first["refreshToken"], "a lost response is harmless");
    stack.advance(Duration::from_secs(11));
    stack.app.refresh(id, &session.refresh_token).await.expect_problem(401, "refresh_token_reused");
    let honest = stack.app.refresh(id, &text(&first["refreshToken"])).await;
    expect_ended_for_holder(honest, "reuse");
    let own = stack.request("GET", &session_path(id)).bearer(&session.access_token).send().await;
    expect_ended_for_holder(own, "reuse");
}

/// An outage of the application's own making is no proof of theft: whoever was refused while the application was
/// disabled still has its session when it is served again.
#[tokio::test]
async fn a_refresh_refused_for_a_disabled_application_uses_up_nothing() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let path = format!("{}/refresh", session_path(&session.session_id));
    let refresh = || stack.request("POST", &path).json(&json!({ "refreshToken": session.refresh_token })).send();
    let switch = async |action: &str| {
        let event = json!({ "action": action, "applicationId": stack.app.id });
        stack.invoke("manage-applications", &event).await.expect("a change");
        stack.advance(Duration::from_secs(61));
    };
    switch("disable").await;
    for _ in 0..2 {
        let refused: Response = refresh().await;
        refused.expect_problem(401, "credential_invalid");
        stack.advance(Duration::from_secs(60));
    }
    switch("enable").await;
    refresh().await.expect(200);
}
