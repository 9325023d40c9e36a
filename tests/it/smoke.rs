//! The whole life of a session, once, through every route.

use integration_tests::{Stack, journey};

#[tokio::test]
async fn a_session_lives_and_ends() {
    let stack = Stack::start().await;
    journey::whole_life(&stack, "ada").await;
}
