use integration_tests::{Stack, json};

use super::{expect_ended, expect_ended_for_holder, refused_fields, session_path, text};

#[tokio::test]
async fn reading_gives_the_session_with_its_data_and_version() {
    let stack = Stack::start().await;
    let session = stack.app.create_session(json!({ "userId": "ada", "data": { "a": 1 } })).await.expect(201);
    let id = text(&session.json()["session"]["sessionId"]);
    let read = stack.app.get(&id).await.expect(200);
    assert_eq!(read.header("etag"), "\"1\"");
    // An application has no session of its own, so nothing is marked as current.
    assert_eq!(read.json(), session.json()["session"]);
}

#[tokio::test]
async fn a_holder_sees_which_session_is_its_own() {
    let stack = Stack::start().await;
    let (one, two) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let get = |id: &str| stack.request("GET", &session_path(id)).bearer(&one.access_token).send();
    assert_eq!(get(&one.session_id).await.expect(200).json()["current"], true);
    assert_eq!(get(&two.session_id).await.expect(200).json()["current"], false);
}

#[tokio::test]
async fn ending_is_idempotent_and_final() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    for _ in 0..3 {
        let ended = stack.app.delete(id).await.expect(204);
        assert!(ended.body.is_empty());
    }
    expect_ended(stack.app.get(id).await, "admin");
    expect_ended(stack.app.put(id, "\"1\"", json!({ "data": {} })).await, "admin");
    expect_ended(stack.app.put(id, "*", json!({ "data": {} })).await, "admin");
    expect_ended(stack.app.patch(id, "\"1\"", json!({ "data": {} })).await, "admin");
    expect_ended_for_holder(stack.app.refresh(id, &session.refresh_token).await, "admin");
    let holder = |method: &str| stack.request(method, &session_path(id)).bearer(&session.access_token);
    expect_ended_for_holder(holder("GET").send().await, "admin");
    let put = holder("PUT").header("if-match", "*").json(&json!({ "data": {} }));
    expect_ended_for_holder(put.send().await, "admin");
    // Whoever ends a session again, its own holder included, has what it wanted.
    holder("DELETE").send().await.expect(204);
    expect_ended(stack.app.get(id).await, "admin");
    assert_eq!(stack.app.list("ada").await.json()["sessions"], json!([]));
}

#[tokio::test]
async fn a_holder_may_end_its_own_sessions_and_is_told_who_ended_them() {
    let stack = Stack::start().await;
    let (one, two) = (stack.app.start_session("ada").await, stack.app.start_session("ada").await);
    let by_one = |id: &str| stack.request("DELETE", &session_path(id)).bearer(&one.access_token).send();
    by_one(&two.session_id).await.expect(204);
    by_one(&two.session_id).await.expect(204);
    let other = stack.request("GET", &session_path(&two.session_id)).bearer(&two.access_token).send().await;
    expect_ended_for_holder(other, "user");
    by_one(&one.session_id).await.expect(204);
    // The token lives on for minutes; its power ends with the session.
    let three = stack.app.start_session("ada").await;
    for method in ["GET", "DELETE"] {
        let late = stack.request(method, &session_path(&three.session_id)).bearer(&one.access_token).send().await;
        expect_ended_for_holder(late, "user");
    }
    let list = stack.request("GET", "/sessions/user/ada").bearer(&one.access_token).send().await;
    expect_ended_for_holder(list, "user");
    let all = stack.request("DELETE", "/sessions/user/ada").bearer(&one.access_token).send().await;
    expect_ended_for_holder(all, "user");
    stack.app.get(&three.session_id).await.expect(200);
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let path = session_path(&session.session_id);
    let routes = [
        ("POST", "/sessions".to_owned()),
        ("GET", path.clone()),
        ("PUT", path.clone()),
        ("PATCH", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/refresh")),
        ("GET", "/sessions/user/ada".to_owned()),
        ("DELETE", "/sessions/user/ada".to_owned()),
        ("POST", "/introspect".to_owned()),
        ("POST", "/revoke".to_owned()),
    ];
    for (method, path) in &routes {
        let form = path == "/introspect" || path == "/revoke";
        let complete = |path: &str| {
            let request = stack.app.request(method, path).header("if-match", "\"1\"");
            match (form, *method) {
                (true, _) => request.form(&[("token", &session.refresh_token)]),
                (false, "GET" | "DELETE") => request,
                (false, _) => request.json(&json!({})),
            }
        };
        let twice = complete(path).header("authorization", &format!("Bearer {}", stack.app.key)).send().await;
        let unknown = complete(&format!("{path}?surprise=1")).send().await;
        let token = complete(&format!("{path}?access_token=x")).send().await;
        if form {
            for answer in [&twice, &unknown, &token] {
                assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")), "{answer:?}");
            }
        } else {
            assert_eq!(refused_fields(&twice), ["authorization"], "{method} {path}");
            assert_eq!(refused_fields(&unknown), ["surprise"], "{method} {path}");
            assert_eq!(refused_fields(&token), ["access_token"], "{method} {path}");
        }
    }
    assert_eq!(stack.app.get(&session.session_id).await.expect(200).json()["version"], 1);
}

/// T-40, T-43: no header names another method, and nothing of one comes back, not even a request id.
#[tokio::test]
async fn t_40_t_43_headers_name_no_method_and_are_not_reflected() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let methods = ["x-http-method-override", "x-http-method", "x-method-override"];
    let others = ["x-request-id", "x-correlation-id", "x-amzn-trace-id", "traceparent", "origin", "accept-language"];
    for path in [session_path(&session.session_id), session_path("none")] {
        let request = stack.app.request("GET", &path).user_agent("canary-7391");
        let request = methods.into_iter().fold(request, |request, name| request.header(name, "DELETE"));
        let answer = others.into_iter().fold(request, |request, name| request.header(name, "canary-7391")).send().await;
        assert!([200, 404].contains(&answer.status), "{answer:?}");
        assert!(!format!("{answer:?}").contains("canary-7391"), "{answer:?}");
    }
    stack.app.get(&session.session_id).await.expect(200);
}
