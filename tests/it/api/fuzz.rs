//! Nothing a client can send gives a 500, and everything is answered.

use integration_tests::application::SessionTokens;
use integration_tests::routes::percent_encode;
use integration_tests::{Request, Stack};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Cases of each route and kind; the seed is fixed, so a failure is found again by its number.
const CASES: usize = 60;
const SEED: [u8; 32] = *b"sessions: every byte is answered";

const ROUTES: [(&str, &str); 27] = [
    ("POST", "/sessions"),
    ("GET", "/sessions/{id}"),
    ("PUT", "/sessions/{id}"),
    ("PATCH", "/sessions/{id}"),
    ("DELETE", "/sessions/{id}"),
    ("POST", "/sessions/{id}/refresh"),
    ("POST", "/sessions/{id}/share"),
    ("DELETE", "/sessions/{id}/share"),
    ("POST", "/sessions/{id}/step-up"),
    ("POST", "/sessions/redeem"),
    ("POST", "/sessions/{id}/lock"),
    ("DELETE", "/sessions/{id}/lock"),
    ("GET", "/sessions/user/{user}"),
    ("DELETE", "/sessions/user/{user}"),
    ("POST", "/introspect"),
    ("POST", "/revoke"),
    ("POST", "/token"),
    ("POST", "/dbsc/registration"),
    ("POST", "/dbsc/refresh"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/health"),
    ("GET", "/openapi.json"),
    ("GET", "/console"),
    ("GET", "/console/{id}"),
    ("GET", "/account"),
    ("GET", "/account/{id}"),
];

/// What one case changes of an otherwise good request.
#[derive(Clone, Debug)]
enum Change {
    Body(String, Vec<u8>),
    Headers(Vec<(String, String)>),
    Segment(String),
    Query(String),
    Everything(Vec<u8>, Vec<(String, String)>, String, String),
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| format!("{value:?}")),
        Just("1e999".to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a text")),
        Just("\"\\ud800\"".to_owned()),
    ];
    let name = prop_oneof![
        "userId|data|device|client|amr|acr|authTime|refreshToken|deviceId|type|ip|idleTimeoutSeconds|code|scopes|applicationId|ttlSeconds|lockToken|__proto__",
        any::<String>(),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(name, value)| format!("{}:{value}", serde_json::to_string(&name).expect("a text")))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => json_text().prop_map(String::into_bytes),
        2 => json_text().prop_map(|value| format!("{{\"data\":{value}}}").into_bytes()),
        2 => json_text().prop_map(|value| format!("{{\"userId\":\"ada\",\"data\":{value}}}").into_bytes()),
        1 => (1_usize..400).prop_map(|depth| format!("{{\"data\":{}", "{\"a\":".repeat(depth)).into_bytes()),
        1 => (1_usize..200).prop_map(|depth| {
            format!("{{\"data\":{}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes()
        }),
        1 => "(token|client_id|client_secret|token_type_hint|grant_type|refresh_token)=[ -~]{0,40}(&[a-z_]{0,9}=[%+&=A-Za-z0-9]{0,20}){0,4}"
            .prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = "authorization|if-match|idempotency-key|content-type|content-encoding|content-length|user-agent|cookie\
        |x-forwarded-for|x-forwarded-proto|expect|transfer-encoding|accept|x-[a-z]{1,8}|host|range|dpop|secure-session-response|sec-secure-session-id|sec-fetch-site";
    // What HTTP lets through: visible characters, spaces, and bytes beyond ASCII.
    let value = prop_oneof![
        "[ -~]{0,60}",
        "(Bearer|Basic|bearer|DPoP) [ -~]{0,60}",
        "\"?[0-9*,W/]{0,12}\"?",
        "[ -~\u{a0}-\u{ff}]{0,20}",
        "\\PC{0,10}",
    ];
    proptest::collection::vec((name, value), 1..4)
}

fn change() -> impl Strategy<Value = Change> {
    let content_type = prop_oneof![
        5 => Just("application/json".to_owned()),
        2 => Just("application/merge-patch+json".to_owned()),
        2 => Just("application/x-www-form-urlencoded".to_owned()),
        1 => "[ -~]{0,30}",
    ];
    let segment = prop_oneof![
        any::<String>(),
        "ses_[A-Za-z0-9_-]{24}",
        "(ses_)?[A-Za-z0-9_=%./?#+-]{0,60}",
        "[\\x00-\\x20\\x7f]{1,4}",
    ];
    let query = "(limit|cursor|except|deviceId|[a-z]{1,5})=[A-Za-z0-9%_.+-]{0,20}(&[a-zA-Z%]{0,8}(=[ -~]{0,8})?){0,3}";
    prop_oneof![
        4 => (content_type, body()).prop_map(|(content_type, body)| Change::Body(content_type, body)),
        3 => headers().prop_map(Change::Headers),
        2 => segment.clone().prop_map(Change::Segment),
        2 => query.prop_map(Change::Query),
        1 => (body(), headers(), segment, query)
            .prop_map(|(body, headers, segment, query)| Change::Everything(body, headers, segment, query)),
    ]
}

/// A request that would be served, before it is changed.
fn good(stack: &Stack, (method, route): (&str, &str), session: &SessionTokens, change: &Change) -> Request {
    let (mut segment, mut query) = (None, String::new());
    if let Change::Segment(text) | Change::Everything(_, _, text, _) = change {
        segment = Some(percent_encode(text)).filter(|text| !text.is_empty());
    }
    if let Change::Query(text) | Change::Everything(_, _, _, text) = change {
        // A client escapes what a request line can not carry.
        query = format!("?{}", text.replace(' ', "%20").replace('"', "%22").replace(['<', '>', '#'], ""));
    }
    let path = route
        .replace("{id}", segment.as_deref().unwrap_or(&session.session_id))
        .replace("{user}", segment.as_deref().unwrap_or("ada"));
    let request = stack.request(method, &format!("{path}{query}")).bearer(&stack.app.key);
    match (method, route) {
        ("POST", "/sessions") => request.json(&serde_json::json!({ "userId": "ada" })),
        ("PUT" | "PATCH", _) => request.header("if-match", "*").json(&serde_json::json!({ "data": {} })),
        ("POST", "/sessions/{id}/lock") => request.json(&serde_json::json!({ "ttlSeconds": 1 })),
        ("DELETE", "/sessions/{id}/lock") => request.header("session-lock", "lk_AAAAAAAAAAAAAAAAAAAAAA"),
        ("POST", "/token") => request.anonymous().form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &stack.app.id),
            ("refresh_token", &session.refresh_token),
        ]),
        ("POST", "/dbsc/registration" | "/dbsc/refresh") => {
            request.header("sec-secure-session-id", &session.session_id)
        }
        ("POST", "/introspect" | "/revoke") => request.form(&[("token", "rt_x")]),
        ("POST", "/sessions/{id}/share") => request.json(&serde_json::json!({ "applicationId": "help-desk" })),
        ("POST", "/sessions/{id}/step-up") => request.json(&serde_json::json!({ "authTime": "2026-11-24T03:15:40Z" })),
        ("POST", "/sessions/redeem") => request.json(&serde_json::json!({ "code": "sc_x" })),
        ("POST", _) => request.json(&serde_json::json!({ "refreshToken": session.refresh_token })),
        _ => request,
    }
}

fn changed(request: Request, change: &Change) -> Request {
    match change {
        Change::Body(content_type, body) => request.body(content_type, body),
        Change::Headers(headers) => with(request, headers),
        Change::Segment(_) | Change::Query(_) => request,
        Change::Everything(body, headers, ..) => with(request.body("application/json", body), headers),
    }
}

fn with(request: Request, headers: &[(String, String)]) -> Request {
    let request = if headers.iter().any(|(name, _)| name == "authorization") { request.anonymous() } else { request };
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

#[tokio::test]
async fn every_request_is_answered_and_none_with_a_server_error() {
    let stack = Stack::builder().with_environments(1).start().await;
    let mut runner = TestRunner::new_with_rng(
        Config { failure_persistence: None, ..Config::default() },
        TestRng::from_seed(RngAlgorithm::ChaCha, &SEED),
    );
    let mut session = stack.app.start_session("ada").await;
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    let mut failures = Vec::new();
    for route in ROUTES {
        for case in 0..CASES {
            let change = change().new_tree(&mut runner).expect("a case").current();
            let answer = changed(good(&stack, route, &session, &change), &change).unchecked().send().await;
            *statuses.entry(answer.status).or_default() += 1;
            let ours = answer.function.is_some();
            if answer.status >= 500 || (!ours && answer.status != 404) {
                failures.push(format!("{route:?} case {case}: {change:?}\n  {answer:?}"));
            } else {
                integration_tests::response_rules::check(route.0, route.1, &answer);
            }
            // The case may have ended or evicted the session; the next one starts from a good request again.
            let ends = !matches!(route.0, "GET" | "PUT" | "PATCH") && route.1 != "/introspect";
            if ends && answer.status < 300 {
                session = stack.app.start_session("ada").await;
            }
        }
    }
    assert!(failures.is_empty(), "seed {SEED:?}, {} failures:\n{}", failures.len(), failures.join("\n"));
    for expected in [200, 400, 401, 404] {
        assert!(statuses.contains_key(&expected), "the cases are of many kinds: {statuses:?}");
    }
}
