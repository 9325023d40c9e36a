//! What is not yours can not be told from what never existed: equal status, headers and bytes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::application::SessionTokens;
use integration_tests::{Application, Request, Response, Stack, json};

use super::{face, other_application, session_path, user_path};

const OPERATIONS: [&str; 7] = ["get", "put", "put any", "patch", "patch any", "delete", "refresh"];

/// The request of an operation on `id`; whoever asks refreshes with a token of its own.
fn request(stack: &Stack, operation: &str, id: &str, credential: &str, own: &SessionTokens) -> Request {
    let path = session_path(id);
    let tag = if operation.ends_with("any") { "*" } else { "\"1\"" };
    let (method, body) = match operation.split(' ').next().unwrap() {
        "put" => ("PUT", json!({ "data": { "a": 1 } })),
        "patch" => ("PATCH", json!({ "data": { "a": 1 } })),
        "get" => ("GET", json!(null)),
        "delete" => ("DELETE", json!(null)),
        _ => {
            let path = format!("{path}/refresh");
            let body = json!({ "refreshToken": own.refresh_token });
            return stack.request("POST", &path).bearer(credential).json(&body);
        }
    };
    let request = stack.request(method, &path).bearer(credential);
    if body.is_null() { request } else { request.header("if-match", tag).json(&body) }
}

/// Session ids that were never issued: random bytes in the bucket of a real one, in another bucket, and texts that
/// are no session ids at all.
fn never_issued(real: &str) -> Vec<String> {
    let raw = URL_SAFE_NO_PAD.decode(real.strip_prefix("ses_").unwrap()).unwrap();
    let id = |bytes: &[u8]| format!("ses_{}", URL_SAFE_NO_PAD.encode(bytes));
    let mut same_bucket = raw.clone();
    same_bucket[2..].fill(0x5a);
    let mut near = raw.clone();
    near[11] ^= 1;
    let other_bucket = [[0x0f, 0xff].as_slice(), &raw[2..]].concat();
    let no_bucket = [[0xff, 0xff].as_slice(), &raw[2..]].concat();
    let malformed = ["ses_", "x", "ses_!", "SES_AAAA", " ", "%", "ses_ü", "null", "{sessionId}"].map(str::to_owned);
    let mut ids = vec![id(&same_bucket), id(&near), id(&other_bucket), id(&no_bucket)];
    ids.extend([format!("{real}="), format!("{real}A"), real[..27].to_owned(), real.to_uppercase(), "x".repeat(4000)]);
    ids.extend(malformed);
    ids
}

/// A stack whose application may guess as much as it likes.
async fn unwatched() -> Stack {
    Stack::builder().with_policy(json!({ "rateLimits": { "unknownPerMinute": 0 } })).start().await
}

async fn live_and_ended(app: &Application, user: &str) -> [SessionTokens; 2] {
    let sessions = [app.start_session(user).await, app.start_session(user).await];
    app.put(&sessions[0].session_id, "\"1\"", json!({ "data": { "a": 0 } })).await.expect(200);
    app.delete(&sessions[1].session_id).await.expect(204);
    sessions
}

#[tokio::test]
async fn t_57_t_58_an_application_can_not_tell_foreign_sessions_from_none() {
    let stack = unwatched().await;
    let other = other_application(&stack).await;
    let foreign = live_and_ended(&other, "ada").await;
    let own = stack.app.start_session("ada").await;
    for operation in OPERATIONS {
        let ask = |id: String| {
            let request = request(&stack, operation, &id, &stack.app.key, &own);
            async move { request.send().await }
        };
        let unknown = never_issued(&foreign[0].session_id);
        let expected = face(&ask(unknown[0].clone()).await);
        let code = if operation == "refresh" { (401, "refresh_token_invalid") } else { (404, "not_found") };
        assert!(expected.0 == code.0 && expected.2.contains(code.1), "{operation}: {expected:?}");
        for id in foreign.iter().map(|session| session.session_id.clone()).chain(unknown) {
            assert_eq!(face(&ask(id.clone()).await), expected, "{operation} {id}");
        }
    }
    let read = other.get(&foreign[0].session_id).await.expect(200).json();
    assert_eq!((&read["version"], &read["data"]), (&json!(2), &json!({ "a": 0 })));
    stack.app.refresh(&own.session_id, &own.refresh_token).await.expect(200);
}

#[tokio::test]
async fn t_57_t_58_a_holder_can_not_tell_foreign_sessions_from_none() {
    let stack = unwatched().await;
    let other = other_application(&stack).await;
    let [bob, bobs_ended] = live_and_ended(&stack.app, "bob").await;
    let [foreign, foreign_ended] = live_and_ended(&other, "ada").await;
    let own = stack.app.start_session("ada").await;
    for operation in OPERATIONS {
        let ask = |id: String| {
            let request = request(&stack, operation, &id, &own.access_token, &own);
            async move { request.send().await }
        };
        let unknown = never_issued(&bob.session_id);
        let expected = face(&ask(unknown[0].clone()).await);
        let sessions = [&bob, &bobs_ended, &foreign, &foreign_ended];
        for id in sessions.iter().map(|session| session.session_id.clone()).chain(unknown) {
            assert_eq!(face(&ask(id.clone()).await), expected, "{operation} {id}");
        }
    }
    let ask = |method: &'static str, user: &str| stack.request(method, &user_path(user)).bearer(&own.access_token);
    for method in ["GET", "DELETE"] {
        let expected = face(&ask(method, "nobody").send().await);
        assert_eq!(expected.0, 404);
        assert_eq!(face(&ask(method, "bob").send().await), expected);
    }
    stack.app.get(&bob.session_id).await.expect(200);
    other.get(&foreign.session_id).await.expect(200);
}

/// The size of foreign data must not show either, not even through what a warm environment remembers of it.
#[tokio::test]
async fn t_58_a_foreign_patch_can_not_measure_the_data() {
    let stack = Stack::builder().with_environments(1).start().await;
    let other = other_application(&stack).await;
    let body = json!({ "userId": "ada", "data": { "big": "x".repeat(40_000) } });
    let victim = SessionTokens::from_created(&stack.app.create_session(body).await);
    let id = &victim.session_id;
    stack.app.patch(id, "\"1\"", json!({ "data": { "a": 1 } })).await.expect(200);
    stack.app.patch(id, "\"2\"", json!({ "data": { "a": 2 } })).await.expect(200);
    let large = json!({ "data": { "other": "x".repeat(40_000) } });
    let own = other.start_session("ada").await;
    let attacker = |id: &str, tag: &str| {
        let request = stack.request("PATCH", &session_path(id)).bearer(&other.key).header("if-match", tag);
        request.json(&large).send()
    };
    let expected: Response = attacker(&never_issued(id)[0], "\"2\"").await;
    assert_eq!(expected.status, 404);
    for tag in ["\"1\"", "\"2\"", "\"3\"", "*"] {
        assert_eq!(face(&attacker(id, tag).await), face(&expected), "{tag}");
    }
    attacker(&own.session_id, "\"1\"").await.expect(200);
}

/// A stranger who knows a handle must not weaken what its owner has ended: the end survives the loss of Redis.
#[tokio::test]
async fn i_1_a_foreign_delete_does_not_replace_the_record_of_an_end() {
    let stack = Stack::start().await;
    let other = other_application(&stack).await;
    let session = stack.app.start_session("ada").await;
    let snapshot = stack.redis().snapshot().await;
    stack.app.delete(&session.session_id).await.expect(204);
    other.delete(&session.session_id).await.expect_problem(404, "not_found");
    stack.redis().restart_from_snapshot(&snapshot).await;
    super::expect_ended(stack.app.get(&session.session_id).await, "admin");
}
