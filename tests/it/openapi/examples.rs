//! Examples: they are what their schemas say, and the functions take those of requests.

use integration_tests::{Stack, Value, json};

use super::api::Api;
use super::contract::{document, operations, resolve, schema_errors, step};
use super::sharing::{later, related_application};

/// Every named example of a request body: operation, media type, pointer of the media type, name, value.
fn request_examples() -> Vec<(String, String, String, Value)> {
    let mut found = Vec::new();
    for (_, _, operation) in operations() {
        if document().pointer(&format!("{operation}/requestBody")).is_none() {
            continue;
        }
        let (body, request) = resolve(&format!("{operation}/requestBody"));
        for (media_type, media) in request["content"].as_object().expect("content") {
            assert!(media["examples"].is_object(), "{operation} {media_type} has no example");
            for name in media["examples"].as_object().into_iter().flatten().map(|(name, _)| name) {
                let at = format!("{body}/content/{}", step(media_type));
                let (_, example) = resolve(&format!("{at}/examples/{}", step(name)));
                found.push((operation.clone(), media_type.clone(), at, example["value"].clone()));
            }
        }
    }
    found
}

#[test]
fn examples_are_what_their_schemas_say() {
    let mut count = 0;
    let mut check = |schema: &str, value: &Value| {
        count += 1;
        assert_eq!(schema_errors(schema, value), Vec::<String>::new(), "{schema}: {value}");
    };
    for (_, _, media, value) in request_examples() {
        check(&format!("{media}/schema"), &value);
    }
    for (_, _, operation) in operations() {
        let responses = document().pointer(&format!("{operation}/responses")).and_then(Value::as_object);
        for status in responses.expect("responses").keys() {
            let (at, response) = resolve(&format!("{operation}/responses/{status}"));
            for (media_type, media) in response["content"].as_object().into_iter().flatten() {
                let media_at = format!("{at}/content/{}", step(media_type));
                for (name, _) in media["examples"].as_object().into_iter().flatten() {
                    let (_, example) = resolve(&format!("{media_at}/examples/{}", step(name)));
                    check(&format!("{media_at}/schema"), &example["value"]);
                }
            }
        }
    }
    let components = &document()["components"];
    for kind in ["headers", "parameters"] {
        for (name, component) in components[kind].as_object().expect("components") {
            check(&format!("/components/{kind}/{name}/schema"), &component["example"]);
        }
    }
    for (index, parameter) in
        [("get/parameters/0", "limit"), ("get/parameters/1", "cursor"), ("delete/parameters/0", "except")]
    {
        let at = format!("/paths/{}/{index}", step("/sessions/user/{userId}"));
        let (_, found) = resolve(&at);
        assert_eq!(found["name"], parameter);
        check(&format!("{at}/schema"), &found["example"]);
    }
    assert!(count > 150, "{count} examples");
}

/// Tokens and credentials of the examples are replaced by real ones, nothing else.
#[tokio::test]
async fn the_functions_take_the_examples_of_requests() {
    let stack = Stack::start().await;
    let api = Api::new(&stack);
    let related = related_application(&stack).await;
    for (operation, media_type, _, mut body) in request_examples() {
        let session = api.session(&stack.app, "alice").await;
        let share = format!("/sessions/{}/share", session.session_id);
        let shared = api.app("POST", &share, |request| request.json(&json!({ "applicationId": related.id }))).await;
        let code = shared.expect(201).json()["code"].clone();
        for (member, real) in [
            ("refreshToken", &session.refresh_token),
            ("refresh_token", &session.refresh_token),
            ("token", &session.refresh_token),
            ("client_id", &stack.app.id),
            ("client_secret", &stack.app.key),
            ("applicationId", &related.id),
            ("code", &code.as_str().expect("a code").to_owned()),
        ] {
            if body.get(member).is_some() {
                body[member] = json!(real);
            }
        }
        if operation.contains("step-up") {
            // Later than the session, within the leeway.
            body["authTime"] = json!(later(&stack));
        }
        let method = operation.rsplit('/').next().expect("a method").to_ascii_uppercase();
        let path = operation.rsplit_once('/').expect("a path").0.trim_start_matches("/paths/").replace("~1", "/");
        let path = path.replace("{sessionId}", &session.session_id);
        let path = path.replace("{userId}", "alice").replace("{deviceId}", "a1f4");
        if path.contains("/devices/a1f4") {
            let named = json!({ "userId": "alice", "device": { "deviceId": "a1f4" } });
            api.app("POST", "/sessions", |request| request.json(&named)).await.expect(201);
        }
        let etag = if path.starts_with("/users/") { "*" } else { &session.etag };
        let holder_refreshes = path.ends_with("/refresh") && body.get("client").is_none();
        let in_form = body.get("client_secret").is_some();
        let response = api
            .send(&method, &path, |request| {
                let request = match holder_refreshes || in_form {
                    true => request,
                    false if path.ends_with("/redeem") => request.bearer(&related.key),
                    false => request.bearer(&stack.app.key),
                };
                let request = request.header("if-match", etag);
                match media_type.as_str() {
                    "application/x-www-form-urlencoded" => {
                        let fields = body.as_object().expect("a form").iter();
                        let fields: Vec<_> =
                            fields.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
                        request.form(&fields)
                    }
                    _ => request.body(&media_type, body.to_string().as_bytes()),
                }
            })
            .await;
        assert!(response.status < 300, "{method} {path} {media_type}: {response:?}");
    }
}

/// The example token of the document says what its description says.
#[test]
fn the_example_token_carries_the_claims_of_its_session() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (_, example) = resolve("/components/examples/CreatedSession");
    let (_, active) = resolve("/components/examples/ActiveAccessToken");
    let token = example["value"]["accessToken"].as_str().expect("a token");
    let part = |index: usize| -> Value {
        let text = token.split('.').nth(index).expect("three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
    };
    let (_, keys) = resolve("/components/examples/KeySet");
    assert_eq!(part(0), json!({ "typ": "at+jwt", "alg": "ES256", "kid": keys["value"]["keys"][0]["kid"] }));
    for (claim, value) in part(1).as_object().expect("claims") {
        assert_eq!(value, &active["value"][claim], "{claim}");
    }
    assert_eq!(part(1)["sid"], example["value"]["session"]["sessionId"]);
}
