//! What sharing and step-up need of a stack.

use integration_tests::{Application, Stack, json};
use time::format_description::well_known::Rfc3339;

/// An application of the same group as the stack's first.
pub async fn related_application(stack: &Stack) -> Application {
    let group = &stack.app.record["groupId"];
    let scopes = ["sessions:create", "sessions:read", "sessions:write"];
    stack.create_application(json!({ "name": "Help desk", "scopes": scopes, "groupId": group })).await
}

/// Some seconds from here on, within the leeway of clocks: later than what has just begun.
pub fn later(stack: &Stack) -> String {
    (stack.now() + time::Duration::seconds(5)).format(&Rfc3339).expect("a time")
}
