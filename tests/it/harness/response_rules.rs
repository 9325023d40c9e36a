use std::collections::BTreeMap;

use integration_tests::{Response, Value, json, response_rules, secrets};

fn response(status: u16, headers: &[(&str, &str)], body: Value) -> Response {
    let fixed = [
        ("cache-control", "no-store"),
        ("content-type", "application/json; charset=utf-8"),
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
    ];
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in fixed.iter().chain(headers) {
        all.insert((*name).to_owned(), (*value).to_owned());
    }
    all.retain(|_, value| !value.is_empty());
    Response {
        status,
        headers: all,
        cookies: Vec::new(),
        body: body.to_string().into_bytes(),
        function: Some("f".to_owned()),
        failure: None,
    }
}

#[test]
fn a_proper_response_passes() {
    for headers in [&[][..], &[("etag", "\"1\"")], &[("content-type", "application/problem+json")]] {
        assert_eq!(response_rules::violations("/sessions", &response(200, headers, json!({}))), [""; 0]);
    }
}

#[test]
fn each_rule_is_enforced() {
    let broken: [(&str, &str); 6] = [
        ("server", "x"),
        ("cache-control", "max-age=60"),
        ("cache-control", ""),
        ("content-type", "application/json"),
        ("strict-transport-security", ""),
        ("x-content-type-options", ""),
    ];
    for (name, value) in broken {
        let found = response_rules::violations("/sessions", &response(200, &[(name, value)], json!({})));
        assert_eq!(found.len(), 1, "{name}: {value}: {found:?}");
        assert!(found[0].contains(name), "{found:?}");
    }
}

#[test]
fn only_public_documents_may_be_cached() {
    let cached = response(200, &[("cache-control", "public, max-age=300")], json!({}));
    for path in ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert!(response_rules::violations(path, &cached).is_empty());
    }
    assert!(!response_rules::violations("/sessions", &cached).is_empty());
    let failed = response(503, &[("cache-control", "public, max-age=300")], json!({}));
    assert!(!response_rules::violations("/.well-known/jwks.json", &failed).is_empty());
}

#[test]
fn issued_credentials_are_listed_wherever_they_stand() {
    let token = format!("rt_{}", integration_tests::settings::random_hex(16));
    let key = format!("sk_{}", integration_tests::settings::random_hex(16));
    secrets::register_from(&json!({ "items": [{ "refreshToken": token }], "applicationKey": key, "name": "public" }));
    let listed = std::fs::read_to_string(secrets::file()).unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines.contains(&token.as_str()) && lines.contains(&key.as_str()) && !lines.contains(&"public"));
}
