//! F-30: the clock of one environment is off. Whatever it would judge by it is refused until it is right again.

use std::time::Duration;

use integration_tests::{Stack, json};
use time::Duration as Span;

use super::support::*;

async fn stack() -> Stack {
    let policy = json!({ "idleTimeoutSeconds": 1800, "absoluteTimeoutSeconds": 7200 });
    Stack::builder().with_clock().with_database().with_environments(1).with_policy(policy).start().await
}

/// I-16: an hour ahead every session would seem idle and every token expired; an hour behind neither would ever be.
#[tokio::test]
async fn t_98_i_16_f_30_an_hour_off_nothing_is_judged_and_nothing_issued() {
    let stack = stack().await;
    let app = &stack.app;
    let session = session_with_data(app, "ada").await;
    app.get(&session.session_id).await.expect(200);
    let by_holder = || stack.request("GET", &format!("/sessions/{}", session.session_id)).bearer(&session.access_token);
    by_holder().send().await.expect(200);
    assert_eq!(app.introspect(&session.access_token).await.json()["active"], true);
    for hours in [1, -1] {
        for function in ["get-session/0", "refresh-session/0", "create-session/0", "introspect/0"] {
            stack.clock().skew(function, Span::hours(hours));
        }
        expect_away("read", &app.get(&session.session_id).await);
        expect_away("read by holder", &by_holder().send().await);
        expect_away("refresh", &app.refresh(&session.session_id, &session.refresh_token).await);
        let create = app.request("POST", "/sessions").json(&json!({ "userId": "bob" }));
        expect_away("create", &create.send().await);
        // Inactive would be an answer, and a wrong one: the application would sign the user out.
        let introspected = app.introspect(&session.access_token).await;
        assert_eq!((introspected.status, introspected.header("retry-after")), (503, "1"), "{introspected:?}");
        for function in ["get-session/0", "refresh-session/0", "create-session/0", "introspect/0"] {
            stack.clock().skew(function, Span::ZERO);
        }
        // Nothing has happened to the session, and the token has not been used up.
        app.get(&session.session_id).await.expect(200);
        by_holder().send().await.expect(200);
        assert_eq!(app.introspect(&session.access_token).await.json()["active"], true);
    }
    app.refresh(&session.session_id, &session.refresh_token).await.expect(200);
    app.start_session("bob").await;
}

#[tokio::test]
async fn f_30_what_clocks_may_differ_by_is_served() {
    let stack = stack().await;
    let session = session_with_data(&stack.app, "ada").await;
    for millis in [1500, -1500] {
        stack.clock().skew("get-session/0", Span::milliseconds(millis));
        stack.app.get(&session.session_id).await.expect(200);
    }
}

/// An end needs no clock. It is durable at once, and applied by somebody whose clock is right.
#[tokio::test]
async fn i_1_f_30_an_end_is_accepted_whatever_the_clock() {
    let stack = stack().await;
    let session = session_with_data(&stack.app, "ada").await;
    stack.clock().skew("delete-session/0", Span::hours(1));
    stack.app.delete(&session.session_id).await.expect(202);
    stack.run_cleanup().await;
    stack.app.get(&session.session_id).await.expect(404);
}

/// A clock that all share moves on: no environment takes the time that passed for an error.
#[tokio::test]
async fn f_30_time_that_passes_for_all_is_no_jump() {
    let stack = stack().await;
    let session = session_with_data(&stack.app, "ada").await;
    stack.app.get(&session.session_id).await.expect(200);
    stack.advance(Duration::from_secs(1000));
    stack.app.get(&session.session_id).await.expect(200);
    stack.advance(Duration::from_secs(1700));
    stack.app.get(&session.session_id).await.expect(200);
    stack.advance(Duration::from_secs(1801));
    stack.app.get(&session.session_id).await.expect(404);
}
