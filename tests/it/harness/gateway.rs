use std::sync::Arc;

use integration_tests::environment::EnvironmentSpec;
use integration_tests::gateway::{self, GatewayRequest};
use integration_tests::routes::{RouteMatch, RouteTable};
use integration_tests::{Fleet, Gateway, Response, Value, json};
use time::macros::datetime;

use super::probe;

fn request(method: &str, path: &str) -> GatewayRequest {
    GatewayRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        source_ip: "198.51.100.7".to_owned(),
        user_agent: "agent/2".to_owned(),
    }
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn event(request: &GatewayRequest) -> Value {
    let route = RouteMatch {
        function: "f".to_owned(),
        route_key: "GET /sessions/{sessionId}".to_owned(),
        parameters: [("sessionId".to_owned(), "a b".to_owned())].into(),
    };
    gateway::event(request, &route, "api.sessions.test", datetime!(2026-03-04 05:06:07 UTC))
}

#[test]
fn the_event_has_the_shape_of_format_2() {
    let mut request = request("GET", "/sessions/a%20b?tag=x&tag=y%2Fz&empty=");
    request.headers =
        headers(&[("X-Many", "1"), ("x-many", "2"), ("Cookie", "a=1; b=2"), ("X-Forwarded-For", "10.0.0.1")]);
    let event = event(&request);
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "GET /sessions/{sessionId}");
    assert_eq!(event["rawPath"], "/sessions/a b");
    assert_eq!(event["rawQueryString"], "tag=x&tag=y%2Fz&empty=");
    assert_eq!(event["queryStringParameters"], json!({ "tag": "x,y/z", "empty": "" }));
    assert_eq!(event["pathParameters"], json!({ "sessionId": "a b" }));
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(event["headers"]["x-many"], "1,2");
    assert_eq!(event["headers"]["cookie"], Value::Null);
    assert_eq!(event["headers"]["host"], "api.sessions.test");
    assert_eq!(event["headers"]["x-forwarded-for"], "10.0.0.1,198.51.100.7");
    let context = &event["requestContext"];
    assert_eq!(context["http"]["sourceIp"], "198.51.100.7");
    assert_eq!(context["http"]["userAgent"], "agent/2");
    assert_eq!(context["http"]["method"], "GET");
    assert_eq!(context["time"], "04/Mar/2026:05:06:07 +0000");
    assert_eq!(context["timeEpoch"], 1_772_600_767_000_i64);
    assert!(!context["requestId"].as_str().unwrap().is_empty());
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&Value::Null, &json!(false)));
}

#[test]
fn bodies_are_text_only_where_aws_sends_text() {
    let cases: [(&str, &[u8], &str, bool); 6] = [
        ("application/json", b"{}", "{}", false),
        ("application/json; charset=utf-8", b"{}", "{}", false),
        ("application/json", b"\xff", "/w==", true),
        ("application/x-www-form-urlencoded", b"a=1", "YT0x", true),
        ("application/merge-patch+json", b"{}", "e30=", true),
        ("", b"{}", "e30=", true),
    ];
    for (content_type, body, expected, encoded) in cases {
        let mut request = request("POST", "/sessions");
        request.headers = headers(&[("content-type", content_type)]);
        request.body = body.to_vec();
        let event = event(&request);
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!(expected), &json!(encoded)), "{content_type}");
    }
}

fn gateway() -> Arc<Gateway> {
    let mut routes = RouteTable::default();
    routes.add("POST", "/echo", "harness-probe");
    let fleet = Fleet::new(1, |_, _| EnvironmentSpec { timeout: std::time::Duration::from_secs(5), ..probe() });
    Arc::new(Gateway::new(routes, Arc::new(fleet), "api.sessions.test", None))
}

/// What the gateway makes of a document the function returns.
async fn answer(document: Value) -> Response {
    let gateway = gateway();
    let result = gateway.fleet().invoke("harness-probe", &json!({ "respond": document })).await;
    Response::of_invocation("harness-probe", result)
}

#[tokio::test]
async fn a_response_document_becomes_a_response() {
    let response = answer(json!({
        "statusCode": 201,
        "headers": { "ETag": "\"1\"", "Content-Type": "application/json; charset=utf-8" },
        "multiValueHeaders": { "x-ignored": ["1"] },
        "body": "eyJhIjoxfQ==",
        "isBase64Encoded": true,
    }))
    .await;
    assert_eq!((response.status, response.header("etag"), response.header("x-ignored")), (201, "\"1\"", ""));
    assert_eq!(response.json(), json!({ "a": 1 }));
}

#[tokio::test]
async fn any_other_document_becomes_the_body_of_a_success() {
    let response = answer(json!({ "a": 1 })).await;
    assert_eq!((response.status, response.json()), (200, json!({ "a": 1 })));
}

#[tokio::test]
async fn the_gateway_answers_itself_for_routes_it_does_not_know() {
    let response = gateway().send(&request("GET", "/echo"), None, None).await;
    assert_eq!((response.status, response.json()), (404, json!({ "message": "Not Found" })));
    assert!(response.function.is_none());
}

#[tokio::test]
async fn a_routed_request_reaches_the_function() {
    let mut request = request("POST", "/echo");
    request.headers = headers(&[("content-type", "application/json")]);
    request.body = b"{}".to_vec();
    let seen = gateway().send(&request, None, None).await.json();
    assert_eq!(seen["event"]["routeKey"], "POST /echo");
    assert_eq!(seen["event"]["body"], "{}");
}
