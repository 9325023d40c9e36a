//! The error table: each code that a caller can meet, brought about for real.

use std::time::Duration;

use integration_tests::{Response, Stack, eventually, json};

use super::{other_application, session_path};

/// Status, code, retryable and, for ended sessions, the reason.
type Row = (u16, &'static str, bool, Option<&'static str>);

#[track_caller]
fn check(response: &Response, (status, code, retryable, reason): Row) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{response:?}");
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert_eq!(response.header("www-authenticate").is_empty(), status != 401, "{response:?}");
    assert_eq!(response.header("retry-after").is_empty(), status != 503, "{response:?}");
    assert!(response.header("location").is_empty() && response.header("etag").is_empty());
    assert!(!response.header("x-request-id").is_empty());
    let document = response.json();
    let allowed = ["type", "title", "status", "detail", "code", "retryable", "errors", "reason"];
    for member in document.as_object().expect("an object").keys() {
        assert!(allowed.contains(&member.as_str()), "{member}");
    }
    assert_eq!(document["type"], format!("urn:session-service:problem:{code}"));
    assert_eq!((&document["status"], &document["retryable"]), (&json!(status), &json!(retryable)));
    assert_eq!(document["reason"].as_str(), reason);
    assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert_eq!(document["errors"].is_null(), code != "invalid_request");
}

#[tokio::test]
async fn every_error_has_its_status_code_and_headers() {
    let policy = json!({ "sessionLimit": { "max": 9, "onLimit": "reject" } });
    let stack = Stack::builder().with_clock().with_redis_proxy().with_policy(policy).start().await;
    let app = &stack.app;
    let session = app.start_session("ada").await;
    let id = session.session_id.clone();
    let path = session_path(&id);
    let empty = json!({ "data": {} });

    check(&app.create_session(json!({})).await, (400, "invalid_request", false, None));
    check(&stack.request("GET", &path).send().await, (401, "credential_missing", false, None));
    check(&stack.request("GET", &path).bearer("x").send().await, (401, "credential_invalid", false, None));
    check(&app.refresh(&id, "rt_x").await, (401, "refresh_token_invalid", false, None));
    let holder = stack.request("POST", "/sessions").bearer(&session.access_token).json(&json!({ "userId": "ada" }));
    check(&holder.send().await, (403, "application_only", false, None));
    let narrow = stack.create_application(json!({ "name": "N", "scopes": ["sessions:create"] })).await;
    let refused = narrow.get(&id).await;
    check(&refused, (403, "insufficient_scope", false, None));
    assert_eq!(refused.json()["detail"], "The scope sessions:read is required.");
    check(&other_application(&stack).await.get(&id).await, (404, "not_found", false, None));
    check(&app.put(&id, "\"9\"", empty.clone()).await, (412, "version_mismatch", false, None));
    let large = json!({ "userId": "ada", "data": { "k": "x".repeat(66_000) } });
    check(&app.create_session(large).await, (413, "payload_too_large", false, None));
    let text = app.request("POST", "/sessions").body("text/plain", b"{}").send().await;
    check(&text, (415, "unsupported_media_type", false, None));
    let keyed = |data: i32| {
        app.request("POST", "/sessions")
            .header("idempotency-key", "k")
            .json(&json!({ "userId": "eve", "data": { "n": data } }))
            .send()
    };
    keyed(1).await.expect(201);
    check(&keyed(2).await, (422, "idempotency_key_reused", false, None));
    check(&app.put(&id, "", empty.clone()).await, (428, "if_match_required", false, None));

    for _ in 0..9 {
        app.start_session("max").await;
    }
    let one_more = app.create_session(json!({ "userId": "max" })).await;
    check(&one_more, (409, "session_limit_reached", false, None));

    let legacy = || app.create_session(json!({ "userId": "ida", "legacySession": "s%3Aone" }));
    legacy().await.expect(201);
    stack.advance(Duration::from_secs(60));
    check(&legacy().await, (409, "legacy_session_exchanged", false, None));

    let changed = eventually("two changes meet", || async {
        let answers = futures::future::join_all((0..8).map(|_| app.put(&id, "*", empty.clone()))).await;
        answers.into_iter().find(|answer| answer.status != 200)
    })
    .await;
    check(&changed, (409, "session_changed", true, None));

    app.refresh(&id, &session.refresh_token).await.expect(200);
    stack.advance(Duration::from_secs(31));
    check(&app.refresh(&id, &session.refresh_token).await, (401, "refresh_token_reused", false, None));
    check(&app.get(&id).await, (404, "session_ended", false, Some("reuse")));
    let own = stack.request("GET", &path).bearer(&session.access_token).send().await;
    check(&own, (401, "session_ended", false, Some("reuse")));

    stack.redis_proxy().go_offline().await;
    let away = app.get(&id).await;
    check(&away, (503, "dependency_unavailable", true, None));
    assert_eq!(away.header("retry-after"), "1");
}

/// The OAuth endpoints speak RFC 6749 §5.2 and add the stable code.
#[tokio::test]
async fn oauth_errors_have_the_shape_of_their_standard() {
    let stack = Stack::builder().with_redis_proxy().start().await;
    let session = stack.app.start_session("ada").await;
    let narrow = stack.create_application(json!({ "name": "N", "scopes": ["sessions:create"] })).await;
    let check = |response: &Response, status: u16, error: &str, code: &str, retryable: bool| {
        assert_eq!((response.status, response.code().as_str()), (status, code), "{response:?}");
        let document = response.json();
        let members: Vec<&String> = document.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["code", "error", "error_description", "retryable"]);
        assert_eq!((&document["error"], &document["retryable"]), (&json!(error), &json!(retryable)));
        assert_eq!(response.header("content-type"), "application/json; charset=utf-8");
        let challenge = if status == 401 { "Basic realm=\"sessions\", charset=\"UTF-8\"" } else { "" };
        assert_eq!(response.header("www-authenticate"), challenge);
        assert_eq!(response.header("retry-after").is_empty(), status != 503);
    };
    let form = [("token", session.refresh_token.as_str())];
    for path in ["/introspect", "/revoke"] {
        let by = |key: &str| stack.request("POST", path).bearer(key);
        let post = stack.request("POST", path).form(&form).send().await;
        check(&post, 401, "invalid_client", "credential_missing", false);
        check(&by("x").form(&form).send().await, 401, "invalid_client", "credential_invalid", false);
        check(&by(&narrow.key).form(&form).send().await, 403, "insufficient_scope", "insufficient_scope", false);
        let key = &stack.app.key;
        for bad in ["", "token=", "token=a&token=b", "token_type_hint=access_token", "tokén=x", "%FF=1"] {
            let answer = by(key).body("application/x-www-form-urlencoded", bad.as_bytes()).send().await;
            check(&answer, 400, "invalid_request", "invalid_request", false);
        }
        let answer = by(key).json(&json!({ "token": "x" })).send().await;
        check(&answer, 415, "invalid_request", "unsupported_media_type", false);
        let answer = by(key).form(&[("token", &"x".repeat(8 * 1024))]).send().await;
        check(&answer, 413, "invalid_request", "payload_too_large", false);
    }
    stack.redis_proxy().go_offline().await;
    let answer = stack.app.introspect(&session.refresh_token).await;
    check(&answer, 503, "temporarily_unavailable", "dependency_unavailable", true);
}
