//! What every HTTP response of a function must look like. Checked on each response unless a test opts out.

use crate::response::Response;

/// Headers a response may carry. Anything else leaks something or was never decided on.
pub const ALLOWED_HEADERS: [&str; 18] = [
    "allow",
    "cache-control",
    "content-disposition",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "dpop-nonce",
    "etag",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "referrer-policy",
    "retry-after",
    "secure-session-challenge",
    "strict-transport-security",
    "www-authenticate",
    "x-content-type-options",
    "x-request-id",
];

/// The only resources that caches may keep.
const CACHEABLE: [&str; 2] = ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"];

/// Everything wrong with a response to a request for `path`, one sentence each.
pub fn violations(path: &str, response: &Response) -> Vec<String> {
    let mut found = Vec::new();
    for name in response.headers.keys() {
        if !ALLOWED_HEADERS.contains(&name.as_str()) {
            found.push(format!("header {name} is not in the list of allowed headers"));
        }
    }
    let cacheable = path.split('?').next().is_some_and(|path| CACHEABLE.contains(&path)) && response.status == 200;
    match response.header("cache-control") {
        "" => found.push("cache-control is missing".to_owned()),
        value if !cacheable && value != "no-store" => found.push(format!("cache-control is {value}, not no-store")),
        _ => {}
    }
    let content_type = response.header("content-type");
    if !response.body.is_empty() && !names_its_encoding(content_type) {
        found.push(format!("content-type {content_type:?} leaves the encoding open"));
    }
    if response.header("strict-transport-security").is_empty() {
        found.push("strict-transport-security is missing".to_owned());
    }
    if response.header("x-content-type-options") != "nosniff" {
        found.push("x-content-type-options is not nosniff".to_owned());
    }
    for cookie in &response.cookies {
        // ASVS 3.3.1 to 3.3.5: only browsers with a key get a cookie, and it goes nowhere else.
        let rest = cookie.split_once("; ").map_or("", |(_, rest)| rest);
        let exact = rest.starts_with("Max-Age=") && rest.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax");
        if !path.starts_with("/dbsc/") || !cookie.starts_with("__Host-session=") || !exact || cookie.len() > 4096 {
            found.push(format!("the cookie {cookie} is not one that this path sets"));
        }
    }
    found
}

/// Panics on the first response that breaks a rule. Responses of API Gateway itself are not ours to check.
#[track_caller]
pub fn check(method: &str, path: &str, response: &Response) {
    if response.function.is_none() {
        return;
    }
    let found = violations(path, response);
    assert!(found.is_empty(), "{method} {path}: {}\n{response:?}", found.join("; "));
}

/// A charset parameter, or a JSON type whose definition fixes UTF-8.
fn names_its_encoding(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let essence = lower.split(';').next().unwrap_or_default().trim();
    lower.contains("charset=utf-8") || matches!(essence, "application/problem+json" | "application/jwk-set+json")
}
