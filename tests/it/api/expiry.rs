//! Sliding and absolute expiry, under a clock of the test's own.

use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{expect_ended, expect_ended_for_holder, session_path, text};

fn moment(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().expect("a time"), &Rfc3339).expect("RFC 3339")
}

/// Turns the clock to a moment.
fn turn(stack: &Stack, to: OffsetDateTime) {
    stack.clock().shift(to - stack.now());
}

async fn start(stack: &Stack, idle: u32, absolute: u32) -> SessionTokens {
    let body = json!({ "userId": "ada", "idleTimeoutSeconds": idle, "absoluteTimeoutSeconds": absolute });
    SessionTokens::from_created(&stack.app.create_session(body).await)
}

fn holder_get(stack: &Stack, session: &SessionTokens) -> impl Future<Output = Response> {
    stack.request("GET", &session_path(&session.session_id)).bearer(&session.access_token).send()
}

/// One second before a limit a look at a fresh session finds it alive.
async fn alive_until(stack: &Stack, limit: &str, look: impl AsyncFn(&SessionTokens) -> Response) {
    let session = start(stack, 120, if limit == "absoluteExpiresAt" { 120 } else { 3600 }).await;
    turn(stack, moment(&session.document["session"][limit]) - Duration::SECOND);
    look(&session).await.expect(200);
}

#[tokio::test]
async fn a_session_lives_until_its_limit_and_not_a_moment_longer() {
    let stack = Stack::builder().with_clock().start().await;
    stack.clock().freeze();
    for (limit, reason) in [("idleExpiresAt", "idle"), ("absoluteExpiresAt", "absolute")] {
        alive_until(&stack, limit, async |session| stack.app.get(&session.session_id).await).await;
        alive_until(&stack, limit, async |session| holder_get(&stack, session).await).await;
        alive_until(&stack, limit, async |session| {
            stack.app.refresh(&session.session_id, &session.refresh_token).await
        })
        .await;
        alive_until(&stack, limit, async |session| {
            stack.app.put(&session.session_id, "\"1\"", json!({ "data": {} })).await
        })
        .await;
        stack.app.delete_user_sessions("ada").await.expect(204);

        let absolute = if reason == "absolute" { 120 } else { 3600 };
        let mut sessions = Vec::new();
        for _ in 0..4 {
            sessions.push(start(&stack, 120, absolute).await);
        }
        turn(&stack, moment(&sessions[3].document["session"][limit]));
        let [read, refreshed, changed, deleted] = [0, 1, 2, 3].map(|index| &sessions[index]);
        for token in [&read.access_token, &read.refresh_token] {
            assert_eq!(stack.app.introspect(token).await.json(), json!({ "active": false }));
        }
        assert_eq!(stack.app.list("ada").await.json(), json!({ "sessions": [] }));
        expect_ended(stack.app.get(&read.session_id).await, reason);
        expect_ended_for_holder(holder_get(&stack, read).await, reason);
        let refresh = stack.app.refresh(&refreshed.session_id, &refreshed.refresh_token).await;
        expect_ended_for_holder(refresh, reason);
        expect_ended(stack.app.put(&changed.session_id, "\"1\"", json!({ "data": {} })).await, reason);
        expect_ended(stack.app.patch(&changed.session_id, "*", json!({ "data": {} })).await, reason);
        stack.app.delete(&deleted.session_id).await.expect(204);
        // The reason is why it ended first, whoever came later.
        for session in &sessions {
            expect_ended(stack.app.get(&session.session_id).await, reason);
        }
    }
}

#[tokio::test]
async fn reads_refreshes_and_changes_slide_the_idle_timeout_and_introspection_does_not() {
    let stack = Stack::builder().with_clock().start().await;
    let slides: [(&str, bool); 6] = [
        ("get", true),
        ("get by holder", true),
        ("refresh", true),
        ("put", true),
        ("introspect", false),
        ("list", false),
    ];
    for (operation, expected) in slides {
        let session = start(&stack, 240, 3600).await;
        let id = &session.session_id;
        let first_end = moment(&session.document["session"]["idleExpiresAt"]);
        turn(&stack, first_end - Duration::seconds(100));
        let at = stack.now();
        let answer = match operation {
            "get" => stack.app.get(id).await,
            "get by holder" => holder_get(&stack, &session).await,
            "refresh" => stack.app.refresh(id, &session.refresh_token).await,
            "put" => stack.app.put(id, "\"1\"", json!({ "data": {} })).await,
            "introspect" => {
                stack.app.introspect(&session.access_token).await.expect(200);
                stack.app.introspect(&session.refresh_token).await
            }
            _ => stack.app.list("ada").await,
        };
        let document = answer.expect(200).json();
        if expected {
            let view = if operation == "refresh" { &document["session"] } else { &document };
            assert!(moment(&view["lastActivityAt"]) >= at - Duration::MILLISECOND, "{operation}: {view}");
            let new_end = moment(&view["idleExpiresAt"]);
            assert_eq!(new_end - moment(&view["lastActivityAt"]), Duration::seconds(240), "{operation}");
            turn(&stack, first_end + Duration::SECOND);
            let read = stack.app.get(id).await.expect(200).json();
            assert!(moment(&read["idleExpiresAt"]) > new_end, "{operation}");
        } else {
            turn(&stack, first_end);
            expect_ended(stack.app.get(id).await, "idle");
        }
    }
}

#[tokio::test]
async fn activity_never_moves_the_absolute_end() {
    let stack = Stack::builder().with_clock().start().await;
    let session = start(&stack, 120, 600).await;
    let id = &session.session_id;
    let end = moment(&session.document["session"]["absoluteExpiresAt"]);
    let mut refresh_token = session.refresh_token.clone();
    for version in 1..=5 {
        stack.clock().shift(Duration::seconds(100));
        let read = stack.app.get(id).await.expect(200).json();
        assert_eq!(moment(&read["absoluteExpiresAt"]), end);
        assert!(moment(&read["idleExpiresAt"]) <= end, "the idle end is never told beyond the absolute one");
        stack.app.put(id, &format!("\"{version}\""), json!({ "data": {} })).await.expect(200);
        let next = stack.app.refresh(id, &refresh_token).await.expect(200).json();
        assert_eq!(moment(&next["session"]["absoluteExpiresAt"]), end);
        refresh_token = text(&next["refreshToken"]);
    }
    turn(&stack, end);
    expect_ended(stack.app.get(id).await, "absolute");
    expect_ended_for_holder(stack.app.refresh(id, &refresh_token).await, "absolute");
    expect_ended(stack.app.get(id).await, "absolute");
}

#[tokio::test]
async fn a_clock_that_steps_back_revives_nothing() {
    let stack = Stack::builder().with_clock().start().await;
    let session = start(&stack, 120, 3600).await;
    turn(&stack, moment(&session.document["session"]["idleExpiresAt"]) + Duration::SECOND);
    expect_ended_for_holder(stack.app.refresh(&session.session_id, &session.refresh_token).await, "idle");
    stack.clock().shift(Duration::seconds(-60));
    expect_ended(stack.app.get(&session.session_id).await, "idle");
    expect_ended_for_holder(stack.app.refresh(&session.session_id, &session.refresh_token).await, "idle");
}

#[tokio::test]
async fn an_access_token_expires_by_itself_while_its_session_lives() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    stack.clock().shift(Duration::seconds(300));
    // Clocks of verifiers may differ by half a minute.
    holder_get(&stack, &session).await.expect(200);
    stack.clock().shift(Duration::seconds(30));
    holder_get(&stack, &session).await.expect_problem(401, "credential_invalid");
    let next = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
    let path = session_path(&session.session_id);
    stack.request("GET", &path).bearer(&text(&next["accessToken"])).send().await.expect(200);
}
