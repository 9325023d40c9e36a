use super::reports::report;
use integration_tests::audit::outbox;
use integration_tests::{Stack, Value, audit, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn path(session: &str) -> String {
    format!("/sessions/{session}/activity")
}

/// The total of a column of the activity report over the last days.
async fn total(stack: &Stack, column: &str) -> i64 {
    let told = report(&stack.app, "activity").await;
    told["rows"].as_array().expect("rows").iter().map(|row| row[column].as_i64().expect("a number")).sum()
}

#[tokio::test]
async fn activities_are_sealed_counted_and_touch_their_session() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let session = stack.app.start_session("ada").await;
    stack.advance(Duration::from_secs(10));
    let before = stack.now() - time::Duration::SECOND;
    let at = (stack.now() - time::Duration::seconds(5)).format(&Rfc3339);
    let batch = json!({ "activities": [
        { "name": "page.viewed" },
        { "name": "cart.filled", "at": at.expect("a time"), "properties": { "item": "a secret book" } },
    ] });
    let recorded = stack.app.request("POST", &path(&session.session_id)).json(&batch).send().await.expect(202);
    assert_eq!(recorded.json(), json!({ "recorded": 2 }));
    let holder = stack.request("POST", &path(&session.session_id)).bearer(&session.access_token);
    holder.json(&json!({ "activities": [{ "name": "logout.considered" }] })).send().await.expect(202);
    assert!(last_activity(&stack, &session.session_id).await >= before);

    let run = stack.run_write_audit().await;
    assert_eq!((&run["taken"], &run["written"]), (&json!(3), &json!(1)), "activities are no part of the chain");
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    let stored = audit::everything(&client).await;
    assert!(stored.contains("cart.filled") && !stored.contains("secret book"));
    let row = client.query_one("SELECT count(*), count(sealed), count(DISTINCT subject) FROM activity", &[]).await;
    let row = row.expect("a row");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (3, 1, 1));
    assert_eq!((total(&stack, "activities").await, total(&stack, "activeUsers").await), (3, 1));
}

/// The user's wish counts from its mirror on: nothing is queued, and the session is used all the same.
#[tokio::test]
async fn who_has_opted_out_is_not_recorded() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let session = stack.app.start_session("ada").await;
    let bucket = audit::bucket_of(&session.session_id);
    let mut redis = stack.redis().connection().await;
    let keys = stack.redis_keys().await;
    let index = keys.iter().find(|key| key.name().starts_with("u:{")).expect("the user's index").name();
    let privacy = index.replacen("u:", "v:", 1);
    for (bits, expected) in [(&[1_u8][..], 0), (&[3], 0), (&[14], 1), (&[0], 1)] {
        let set: redis::RedisResult<()> = redis::cmd("SET").arg(&privacy).arg(bits).query_async(&mut redis).await;
        set.expect("the mirror is written");
        let before = length(&mut redis, bucket).await;
        stack.advance(Duration::from_secs(30));
        let now = stack.now() - time::Duration::SECOND;
        let request = stack.app.request("POST", &path(&session.session_id));
        let answer = request.json(&json!({ "activities": [{ "name": "a" }] })).send().await.expect(202).json();
        assert_eq!((answer, length(&mut redis, bucket).await - before), (json!({ "recorded": expected }), expected));
        assert!(last_activity(&stack, &session.session_id).await >= now);
    }
}

/// Reading slides it too, but not within a minute.
async fn last_activity(stack: &Stack, session: &str) -> OffsetDateTime {
    let seen = stack.app.get(session).await.expect(200).json();
    OffsetDateTime::parse(seen["lastActivityAt"].as_str().expect("a time"), &Rfc3339).expect("RFC 3339")
}

async fn length(redis: &mut redis::aio::MultiplexedConnection, bucket: u16) -> usize {
    redis::cmd("XLEN").arg(outbox(bucket)).query_async(redis).await.expect("a length")
}

#[tokio::test]
async fn what_can_not_be_recorded_is_refused_and_others_sessions_do_not_exist() {
    let stack = Stack::builder().with_clock().start().await;
    let session = stack.app.start_session("ada").await;
    let second = stack.app.start_session("ada").await;
    let good = json!({ "activities": [{ "name": "a" }] });
    let at = |seconds: i64| {
        let at = stack.now() + time::Duration::seconds(seconds);
        at.format(&Rfc3339).expect("a time")
    };
    let many = vec![json!({ "name": "a" }); 101];
    let refused: [(Value, &str); 9] = [
        (json!({}), "activities"),
        (json!({ "activities": [] }), "activities"),
        (json!({ "activities": many }), "activities"),
        (json!({ "activities": [{ "name": "A b" }] }), "activities[0].name"),
        (json!({ "activities": [{ "name": "a" }, { "name": "b", "at": "soon" }] }), "activities[1].at"),
        (json!({ "activities": [{ "name": "b", "at": at(120) }] }), "activities[0].at"),
        (json!({ "activities": [{ "name": "b", "at": at(-120) }] }), "activities"),
        (
            json!({ "activities": [{ "name": "b", "properties": { "x": "y".repeat(1024) } }] }),
            "activities[0].properties",
        ),
        (json!({ "activities": [{ "name": "b", "userId": "ada" }] }), "activities[0].userId"),
    ];
    for (body, field) in refused {
        let answer = stack.app.request("POST", &path(&session.session_id)).json(&body).send().await;
        assert_eq!(answer.expect_problem(400, "invalid_request").json()["errors"][0]["field"], field, "{body}");
    }
    let stranger = stack.create_application(json!({ "name": "Stranger", "scopes": ["sessions:write"] })).await;
    let unknown = "ses_AAAAAAAAAAAAAAAAAAAAAAAA";
    let theirs = stranger.request("POST", &path(&session.session_id)).json(&good).send().await;
    let nobodys = stranger.request("POST", &path(unknown)).json(&good).send().await;
    assert_eq!(crate::api::face(&theirs), crate::api::face(&nobodys));
    let beside = stack.request("POST", &path(&second.session_id)).bearer(&session.access_token).json(&good);
    beside.send().await.expect_problem(404, "not_found");
    let reader = stack.create_application(json!({ "name": "Reader", "scopes": ["sessions:read"] })).await;
    let unable = reader.request("POST", &path(&session.session_id)).json(&good).send().await;
    unable.expect_problem(403, "insufficient_scope");
    stack.app.delete(&session.session_id).await.expect(204);
    let over = stack.app.request("POST", &path(&session.session_id)).json(&good).send().await;
    over.expect_problem(404, "session_ended");
    let over = stack.request("POST", &path(&session.session_id)).bearer(&session.access_token).json(&good).send().await;
    over.expect_problem(401, "session_ended");
}

/// An application that shares a session records for itself, when it may write.
#[tokio::test]
async fn an_application_that_shares_a_session_records_for_itself() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let group = &stack.app.record["groupId"];
    let session = stack.app.start_session("ada").await;
    for (scopes, status) in [(["sessions:create", "sessions:read"], 403), (["sessions:create", "sessions:write"], 202)]
    {
        let related = json!({ "name": "Related", "scopes": scopes, "groupId": group });
        let related = stack.create_application(related).await;
        let share = stack.app.request("POST", &format!("/sessions/{}/share", session.session_id));
        let share = share.json(&json!({ "applicationId": related.id })).send().await.expect(201).json();
        let redeem = related.request("POST", "/sessions/redeem").json(&json!({ "code": share["code"] }));
        let redeemed = redeem.send().await.expect(201).json();
        let token = redeemed["accessToken"].as_str().expect("a token");
        let request = stack.request("POST", &path(&session.session_id)).bearer(token);
        let answer = request.json(&json!({ "activities": [{ "name": "a" }] })).send().await;
        answer.expect(status);
        stack.run_write_audit().await;
        let client = stack.database().connect().await;
        let rows = client.query("SELECT application_id FROM activity", &[]).await.expect("rows");
        let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(rows, vec![related.id.clone(); usize::from(status == 202)]);
    }
}
