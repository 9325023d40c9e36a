//! The HTTP API as its callers see it.

mod access_tokens;
mod binding;
mod callers;
mod create;
mod dbsc;
mod delete_user;
mod dependencies;
mod device_data;
mod devices;
mod dpop;
mod dpop_nonce;
mod errors;
mod expiry;
mod fuzz;
mod idempotency;
mod introspection;
mod jwt_attacks;
mod legacy;
mod limits;
mod listing;
mod locks;
mod merge_patch;
mod oauth_clients;
mod payload;
mod policy_rules;
mod probing;
mod rate_limits;
mod refresh;
mod revocation;
pub(crate) mod risk;
mod risk_denials;
mod risk_places;
mod sessions;
mod sharing;
mod step_up;
mod token_endpoint;
mod unknown;
mod update;
mod user_state;

use std::collections::BTreeMap;

use integration_tests::routes::percent_encode;
use integration_tests::{Application, Response, Stack, Value, json};

/// Every scope but `missing`.
fn scopes_without(missing: &str) -> Vec<&'static str> {
    let all = ["sessions:create", "sessions:read", "sessions:write", "users:manage", "devices:manage"];
    all.into_iter().filter(|scope| *scope != missing).collect()
}

/// Another application of the stack, with every scope of this API.
async fn other_application(stack: &Stack) -> Application {
    stack.create_application(json!({ "name": "Other", "scopes": scopes_without("") })).await
}

/// An application of the same group as the stack's first, with every scope of this API.
async fn related_application(stack: &Stack) -> Application {
    let group = &stack.app.record["groupId"];
    stack.create_application(json!({ "name": "Related", "scopes": scopes_without(""), "groupId": group })).await
}

fn session_path(session_id: &str) -> String {
    format!("/sessions/{}", percent_encode(session_id))
}

fn user_path(user_id: &str) -> String {
    format!("/sessions/user/{}", percent_encode(user_id))
}

/// The fields a 400 complains about.
#[track_caller]
fn refused_fields(response: &Response) -> Vec<String> {
    assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"), "{response:?}");
    let document = response.json();
    let errors = document["errors"].as_array().unwrap_or_else(|| panic!("no errors: {response:?}"));
    errors.iter().map(|error| error["field"].as_str().expect("a field").to_owned()).collect()
}

/// All that tells two responses apart, the request's own id and the caller's own count of requests aside.
pub(crate) fn face(response: &Response) -> (u16, BTreeMap<String, String>, String) {
    let mut headers = response.headers.clone();
    for own in ["x-request-id", "ratelimit", "ratelimit-policy"] {
        headers.remove(own);
    }
    (response.status, headers, response.text())
}

/// Asserts that a session is over for the application that owns it, and why.
#[track_caller]
fn expect_ended(response: Response, reason: &str) {
    let document = response.expect_problem(404, "session_ended").json();
    assert_eq!(document["reason"], reason);
}

/// Asserts that a session is over for whoever holds its tokens, and why.
#[track_caller]
fn expect_ended_for_holder(response: Response, reason: &str) {
    let document = response.expect_problem(401, "session_ended").json();
    assert_eq!(document["reason"], reason);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
