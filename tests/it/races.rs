//! Races between real function processes: whatever the order in which they reach the stores, the promises hold.

#[path = "races/devices.rs"]
mod devices;
#[path = "races/families.rs"]
mod families;
#[path = "races/limits.rs"]
mod limits;
#[path = "races/locks.rs"]
mod locks;
#[path = "races/refresh.rs"]
mod refresh;
#[path = "races/revocation.rs"]
mod revocation;
#[path = "races/writes.rs"]
mod writes;

use std::collections::BTreeMap;

use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, json};

/// A refresh by the holder itself.
async fn refresh(stack: &Stack, session: &str, token: &str) -> Response {
    let path = format!("/sessions/{session}/refresh");
    stack.request("POST", &path).json(&json!({ "refreshToken": token })).send().await
}

/// The refresh token of a pair.
fn refresh_token(response: &Response) -> String {
    response.json()["refreshToken"].as_str().expect("a refresh token").to_owned()
}

/// How often each status and code was answered.
fn tally(responses: &[Response]) -> BTreeMap<(u16, String), usize> {
    let mut tally = BTreeMap::new();
    for response in responses {
        *tally.entry((response.status, response.code())).or_default() += 1;
    }
    tally
}

/// Nothing of a session works: not its tokens, not its handle.
async fn assert_over(stack: &Stack, session: &SessionTokens, newest: &str) {
    let id = &session.session_id;
    for token in [newest, &session.refresh_token] {
        let answer = refresh(stack, id, token).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    for token in [newest, &session.access_token] {
        let answer = stack.app.introspect(token).await.expect(200);
        assert_eq!(answer.json(), json!({ "active": false }), "{answer:?}");
    }
    stack.app.get(id).await.expect_problem(404, "session_ended");
    let own = stack.request("GET", &format!("/sessions/{id}")).bearer(&session.access_token).send().await;
    own.expect_problem(401, "session_ended");
}
