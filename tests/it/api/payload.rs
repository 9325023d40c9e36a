use integration_tests::{Stack, Value, json};

use super::{refused_fields, session_path, text};

const DATA_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 80 * 1024;

/// `{"k":"xxx…"}` of exactly this many bytes.
fn data_of(bytes: usize) -> Value {
    let data = json!({ "k": "x".repeat(bytes - r#"{"k":""}"#.len()) });
    assert_eq!(data.to_string().len(), bytes);
    data
}

#[tokio::test]
async fn data_may_take_64_kib_and_not_one_byte_more() {
    let stack = Stack::start().await;
    let create = |data: Value| stack.app.create_session(json!({ "userId": "ada", "data": data }));
    let document = create(data_of(DATA_BYTES_MAX)).await.expect(201).json();
    let id = text(&document["session"]["sessionId"]);
    assert_eq!(stack.app.get(&id).await.expect(200).json()["data"], data_of(DATA_BYTES_MAX));
    create(data_of(DATA_BYTES_MAX + 1)).await.expect_problem(413, "payload_too_large");
    // White space and escapes count for the body, not for the data.
    let escaped = "\\u0078".repeat(13_000);
    let body = format!("{{ \"userId\" : \"ada\",{}\"data\": {{\"k\":\"{escaped}\"}} }}", " ".repeat(1000));
    let send = |body: String| stack.app.request("POST", "/sessions").body("application/json", body.as_bytes()).send();
    assert!(body.len() < BODY_BYTES_MAX);
    send(body).await.expect(201);
    let padded = |bytes: usize| format!("{{\"userId\":\"ada\"{}}}", " ".repeat(bytes - 16));
    assert_eq!(padded(BODY_BYTES_MAX).len(), BODY_BYTES_MAX);
    send(padded(BODY_BYTES_MAX)).await.expect(201);
    send(padded(BODY_BYTES_MAX + 1)).await.expect_problem(413, "payload_too_large");

    let put = |etag: &str, data: Value| {
        let etag = etag.to_owned();
        let (stack, id) = (&stack, &id);
        async move { stack.app.put(id, &etag, json!({ "data": data })).await }
    };
    put("*", data_of(DATA_BYTES_MAX)).await.expect(200);
    put("*", data_of(DATA_BYTES_MAX + 1)).await.expect_problem(413, "payload_too_large");
    let patch = json!({ "data": { "more": 1 } });
    stack.app.patch(&id, "*", patch).await.expect_problem(413, "payload_too_large");
    assert_eq!(stack.request("GET", &session_path(&id)).bearer(&stack.app.key).send().await.json()["version"], 2);
}

/// T-36: a body is measured before it is read. What is no text comes from API Gateway in base64, and is measured decoded.
#[tokio::test]
async fn t_36_a_body_is_measured_decoded_and_before_it_is_read() {
    let stack = Stack::start().await;
    let send =
        |bytes: usize| stack.app.request("POST", "/sessions").body("application/json", &vec![0xff; bytes]).send();
    assert_eq!(refused_fields(&send(BODY_BYTES_MAX).await).len(), 1);
    send(BODY_BYTES_MAX + 1).await.expect_problem(413, "payload_too_large");
}

#[tokio::test]
async fn only_json_without_coding_is_read() {
    let stack = Stack::start().await;
    let body = json!({ "userId": "ada" }).to_string();
    let send = |content_type: &str| stack.app.request("POST", "/sessions").body(content_type, body.as_bytes());
    for accepted in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
        send(accepted).send().await.expect(201);
    }
    for refused in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "application/merge-patch+json",
        "application/jsonx",
        "json",
    ] {
        send(refused).send().await.expect_problem(415, "unsupported_media_type");
    }
    let coded = send("application/json").header("content-encoding", "gzip").send().await;
    coded.expect_problem(415, "unsupported_media_type");
    let twice = send("application/json").header("content-type", "text/plain").send().await;
    assert_eq!(refused_fields(&twice), ["content-type"]);
    let latin = stack.app.request("POST", "/sessions").body("application/json", b"{\"userId\":\"\xfc\"}").send().await;
    assert_eq!(refused_fields(&latin).len(), 1);
}
