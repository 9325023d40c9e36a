//! A client that holds every response against the document and remembers which documented answers it has seen.

use std::cell::RefCell;
use std::collections::BTreeSet;

use integration_tests::application::SessionTokens;
use integration_tests::request::Request;
use integration_tests::{Application, Response, Stack, Value, json};

use super::contract::{documented_answers, operations, violations};

/// Documented answers that no test provokes.
fn unprovoked(status: u16, code: &str) -> bool {
    match (status, code) {
        // API Gateway's own.
        (429, "") => true,
        // `answers_rates.rs` gives it for every operation that documents it.
        (429, "rate_limited") => true,
        // A defect: there is none to provoke.
        (500, "internal_error") => true,
        // Two writers have to meet inside one request; the services' own tests make them.
        (409, "session_changed") => true,
        // Holders of sessions whose risk was judged: answers_risk.rs provokes them for every operation that takes a
        // holder's token and has a session to judge.
        (401, "session_quarantined" | "binding_mismatch") => true,
        // Every operation of holders gives them: see the module proofs.
        (401, "dpop_proof_invalid" | "use_dpop_nonce") => true,
        _ => false,
    }
}

/// The client.
pub struct Api<'a> {
    pub stack: &'a Stack,
    seen: RefCell<BTreeSet<(String, u16, String)>>,
}

impl<'a> Api<'a> {
    pub fn new(stack: &'a Stack) -> Self {
        Self { stack, seen: RefCell::default() }
    }

    /// Sends a request without credential, changed by `with`; panics when the response is not what the document says.
    pub async fn send(&self, method: &str, path: &str, with: impl FnOnce(Request) -> Request) -> Response {
        let response = with(self.stack.request(method, path)).send().await;
        let route = self.stack.gateway.routes().find(method, path.split('?').next().unwrap_or_default());
        let route = route.unwrap_or_else(|| panic!("{method} {path} is no route"));
        let operation =
            operations().into_iter().find(|(method, path, _)| format!("{method} {path}") == route.route_key);
        let (_, _, pointer) = operation.unwrap_or_else(|| panic!("{} is not documented", route.route_key));
        let found = violations(&pointer, &response);
        assert!(found.is_empty(), "{method} {path}: {}\n{response:?}", found.join("; "));
        self.seen.borrow_mut().insert((pointer, response.status, response.code()));
        response
    }

    /// [`Api::send`] with the key of the stack's first application.
    pub async fn app(&self, method: &str, path: &str, with: impl FnOnce(Request) -> Request) -> Response {
        self.send(method, path, |request| with(request.bearer(&self.stack.app.key))).await
    }

    /// A new session of a user with an application.
    pub async fn session(&self, app: &Application, user: &str) -> SessionTokens {
        let created = self.send("POST", "/sessions", |r| r.bearer(&app.key).json(&json!({ "userId": user }))).await;
        SessionTokens::from_created(&created)
    }

    /// An application with these scopes.
    pub async fn application(&self, scopes: &[&str]) -> Application {
        self.stack.create_application(json!({ "name": "Other", "scopes": scopes })).await
    }

    /// Panics unless every documented answer of these operations was given.
    pub fn assert_complete(&self, operation_ids: &[&str]) {
        let mut missing = Vec::new();
        for (method, path, pointer) in operations() {
            let operation = super::contract::document().pointer(&pointer).expect("an operation");
            if !operation_ids.contains(&operation["operationId"].as_str().expect("an operationId")) {
                continue;
            }
            for (status, code) in documented_answers(&pointer) {
                let given = self.seen.borrow().contains(&(pointer.clone(), status, code.clone()));
                if !given && !unprovoked(status, &code) {
                    missing.push(format!("{method} {path}: {status} {code}"));
                }
            }
        }
        assert!(missing.is_empty(), "documented, and never seen:\n{}", missing.join("\n"));
    }
}

/// JSON that is larger than any body may be.
pub fn too_large() -> Value {
    json!({ "data": { "filler": "x".repeat(90_000) } })
}
