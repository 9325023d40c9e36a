//! The data of a device: sealed, versioned, gone with the device.

use integration_tests::{Request, Stack, Value, audit, json};

use super::refused_fields;

fn path(device: &str) -> String {
    format!("/users/ada/devices/{device}/data")
}

fn get(stack: &Stack, device: &str) -> Request {
    stack.app.request("GET", &path(device))
}

fn put(stack: &Stack, device: &str, if_match: &str, data: Value) -> Request {
    stack.app.request("PUT", &path(device)).header("if-match", if_match).json(&json!({ "data": data }))
}

fn patch(stack: &Stack, device: &str, if_match: &str, data: Value) -> Request {
    let body = json!({ "data": data }).to_string();
    let request = stack.app.request("PATCH", &path(device)).header("if-match", if_match);
    request.body("application/merge-patch+json", body.as_bytes())
}

async fn register(stack: &Stack, device: &str) {
    let body = json!({ "userId": "ada", "device": { "deviceId": device } });
    stack.app.create_session(body).await.expect(201);
}

#[tokio::test]
async fn data_have_versions_and_outlive_sessions() {
    let stack = Stack::start().await;
    get(&stack, "phone").send().await.expect_problem(404, "not_found");
    put(&stack, "phone", "\"0\"", json!({})).send().await.expect_problem(404, "not_found");
    put(&stack, "phone", "*", json!({})).send().await.expect_problem(404, "not_found");
    register(&stack, "phone").await;
    let empty = get(&stack, "phone").send().await.expect(200);
    assert_eq!((empty.header("etag"), empty.json()), ("\"0\"", json!({ "version": 0, "data": {} })));

    let first = put(&stack, "phone", "\"0\"", json!({ "a": 1 })).send().await.expect(200);
    assert_eq!((first.header("etag"), first.json()), ("\"1\"", json!({ "version": 1, "data": { "a": 1 } })));
    let late = put(&stack, "phone", "\"0\"", json!({ "b": 2 })).send().await.expect_problem(412, "version_mismatch");
    assert_eq!(late.json()["detail"], "The current version is 1.");
    let merged = patch(&stack, "phone", "\"1\"", json!({ "b": { "c": 2 }, "a": null })).send().await.expect(200);
    assert_eq!(merged.json(), json!({ "version": 2, "data": { "b": { "c": 2 } } }));
    patch(&stack, "phone", "\"1\"", json!({ "x": 1 })).send().await.expect_problem(412, "version_mismatch");
    assert_eq!(patch(&stack, "phone", "*", json!({ "d": 3 })).send().await.expect(200).json()["version"], 3);
    assert_eq!(put(&stack, "phone", "*", json!({ "e": 4 })).send().await.expect(200).json()["version"], 4);
    stack.app.delete_user_sessions("ada").await.expect(204);
    assert_eq!(get(&stack, "phone").send().await.expect(200).json()["data"], json!({ "e": 4 }));

    for (tag, status) in
        [("\"4\"", 304), ("W/\"4\"", 304), ("*", 304), ("\"3\", \"4\"", 304), ("\"3\"", 200), ("x", 200)]
    {
        let answer = get(&stack, "phone").header("if-none-match", tag).send().await.expect(status);
        assert_eq!(answer.header("etag"), "\"4\"", "{tag}");
        assert_eq!(answer.body.is_empty(), status == 304, "{tag}");
    }
}

/// A client that got no answer repeats its change, and hears what the first one made. Each version has one event, whoever
/// told it.
#[tokio::test]
async fn f_24_a_repeated_change_is_the_change_and_is_told_once() {
    let stack = Stack::builder().with_database().start().await;
    register(&stack, "phone").await;
    for _ in 0..3 {
        let answer = put(&stack, "phone", "\"0\"", json!({ "a": 1 })).send().await.expect(200);
        assert_eq!(answer.json(), json!({ "version": 1, "data": { "a": 1 } }));
    }
    for _ in 0..2 {
        let answer = patch(&stack, "phone", "\"1\"", json!({ "a": null, "b": 2 })).send().await.expect(200);
        assert_eq!(answer.json(), json!({ "version": 2, "data": { "b": 2 } }));
    }
    // Other data, and a version that is not the one before: somebody else was there.
    put(&stack, "phone", "\"1\"", json!({ "b": 3 })).send().await.expect_problem(412, "version_mismatch");
    put(&stack, "phone", "\"0\"", json!({ "b": 2 })).send().await.expect_problem(412, "version_mismatch");
    // The same data once more are a version of their own.
    put(&stack, "phone", "\"2\"", json!({ "b": 2 })).send().await.expect(200);
    stack.run_scheduled("write-audit", json!({})).await;
    let rows = audit::rows(&stack.database().connect().await).await;
    let told = rows.iter().filter(|row| row.event.event_type == "device.data_changed").count();
    assert_eq!(told, 3, "versions 1, 2 and 3");
}

#[tokio::test]
async fn data_are_refused_by_field_and_by_size() {
    let stack = Stack::start().await;
    register(&stack, "phone").await;
    let bare = stack.app.request("PUT", &path("phone")).json(&json!({ "data": {} }));
    bare.send().await.expect_problem(428, "if_match_required");
    let put_text = |body: &str| {
        stack
            .app
            .request("PUT", &path("phone"))
            .header("if-match", "*")
            .body("application/json", body.as_bytes())
            .send()
    };
    for (body, field) in [("{}", "data"), ("{\"data\":[]}", "data"), ("{\"data\":{},\"x\":1}", "x"), ("[]", "body")] {
        assert_eq!(refused_fields(&put_text(body).await), [field], "{body}");
    }
    let filler = |bytes: usize| json!({ "f": "x".repeat(bytes) });
    put(&stack, "phone", "*", filler(65_528)).send().await.expect(200);
    put(&stack, "phone", "*", filler(65_529)).send().await.expect_problem(413, "payload_too_large");
    patch(&stack, "phone", "*", json!({ "g": 1 })).send().await.expect_problem(413, "payload_too_large");
    assert_eq!(get(&stack, "phone").send().await.expect(200).json()["version"], 1);
}

/// Nothing of the data is readable in the table, and what was moved to another device does not open.
#[tokio::test]
async fn data_are_sealed_at_their_place() {
    use aws_sdk_dynamodb::types::AttributeValue;
    let stack = Stack::start().await;
    for device in ["phone", "laptop"] {
        register(&stack, device).await;
        put(&stack, device, "\"0\"", json!({ "note": "canary" })).send().await.expect(200);
    }
    let table = &stack.aws.tables.devices;
    let scan = stack.aws.dynamodb.scan().table_name(table).send().await.expect("Scan succeeds");
    let mut sealed = Vec::new();
    for item in scan.items() {
        let bytes = item["data"].as_b().expect("bytes").clone();
        assert!(!bytes.as_ref().windows(6).any(|window| window == b"canary"));
        sealed.push((item["userTag"].clone(), item["deviceId"].clone(), bytes));
    }
    let (user, device, _) = &sealed[0];
    let moved = AttributeValue::B(sealed[1].2.clone());
    let update = stack.aws.dynamodb.update_item().table_name(table);
    let update = update.key("userTag", user.clone()).key("deviceId", device.clone());
    let update = update.update_expression("SET #d = :d").expression_attribute_names("#d", "data");
    update.expression_attribute_values(":d", moved).send().await.expect("UpdateItem succeeds");
    let device = device.as_s().expect("text").clone();
    get(&stack, &device).send().await.expect_problem(503, "dependency_unavailable");
}

#[tokio::test]
async fn data_go_with_their_device() {
    let stack = Stack::start().await;
    register(&stack, "phone").await;
    put(&stack, "phone", "\"0\"", json!({ "note": "old" })).send().await.expect(200);
    stack.app.request("DELETE", "/users/ada/devices/phone").send().await.expect(204);
    get(&stack, "phone").send().await.expect_problem(404, "not_found");
    put(&stack, "phone", "*", json!({ "note": "late" })).send().await.expect_problem(404, "not_found");
    register(&stack, "phone").await;
    assert_eq!(get(&stack, "phone").send().await.expect(200).json()["data"], json!({}));
    // Whoever still holds the version of before does not write over what it never read.
    put(&stack, "phone", "\"1\"", json!({ "note": "stale" })).send().await.expect_problem(412, "version_mismatch");
}
