use std::collections::BTreeSet;

use integration_tests::audit::{self, QueuedEvent};
use integration_tests::routes::percent_encode;
use integration_tests::{Application, Stack, Value, json};

async fn page(app: &Application, query: &str) -> Value {
    app.request("GET", &format!("/audit/events{query}")).send().await.expect(200).json()
}

fn of<'a>(page: &'a Value, member: &str) -> Vec<&'a str> {
    let events = page["events"].as_array().expect("events");
    events.iter().map(|event| event[member].as_str().unwrap_or_default()).collect()
}

/// Every filter alone and together, and what an event says.
#[tokio::test]
async fn filters_narrow_each_other_down() {
    let stack = Stack::builder().with_database().start().await;
    let app = &stack.app;
    let named = json!({"userId": "ada", "device": {"deviceId": "laptop", "name": "Ada's laptop"}, "client": {"ip": "203.0.113.9"}});
    let created = app.create_session(named).await.expect(201);
    let first = created.json()["session"]["sessionId"].as_str().expect("an id").to_owned();
    let second = app.start_session("ada").await;
    let other = app.start_session("bob").await;
    app.put(&first, "\"1\"", json!({"data": {"a": 1}})).await.expect(200);
    app.delete(&second.session_id).await.expect(204);
    stack.run_write_audit().await;

    let all = page(app, "").await;
    let newest = of(&all, "type");
    assert_eq!(newest.len(), 6, "{all}");
    assert_eq!((newest[0], newest[1]), ("session.ended", "session.updated"));
    assert_eq!(page(app, "?userId=bob").await["events"][0]["sessionId"], other.session_id.as_str());
    assert_eq!(of(&page(app, "?userId=ada").await, "type").len(), 5);
    assert_eq!(of(&page(app, &format!("?sessionId={first}")).await, "type"), ["session.updated", "session.created"]);
    assert_eq!(of(&page(app, "?type=session.ended").await, "reason"), ["admin"]);
    assert_eq!(of(&page(app, "?type=device.registered").await, "type"), ["device.registered"]);
    assert_eq!(of(&page(app, "?type=session.ended,session.updated&userId=ada").await, "type").len(), 2);
    assert_eq!(of(&page(app, "?userId=bob&type=session.ended").await, "type").len(), 0);
    assert_eq!(of(&page(app, "?userId=nobody").await, "type").len(), 0);
    assert_eq!(of(&page(app, "?to=2020-01-01T00:00:00Z").await, "type").len(), 0);
    assert_eq!(of(&page(app, "?from=2020-01-01T00:00:00%2B02:00").await, "type").len(), 6);

    let events = page(app, &format!("?sessionId={first}&type=session.created")).await;
    let event = &events["events"][0];
    let personal =
        json!({"userId": "ada", "network": "203.0.113.0/24", "deviceId": "laptop", "deviceName": "Ada's laptop"});
    assert_eq!(event["personal"], personal);
    assert_eq!((&event["applicationId"], &event["actor"]), (&json!(app.id), &json!("application")));
    assert_eq!(event["requestId"], created.header("x-request-id"));
    assert_eq!(event["chain"]["group"], audit::bucket_of(&first) / 64);
    assert!(event["erased"].is_null() && event["reason"].is_null() && event["detail"].is_null(), "{event}");

    // Forgotten with the key of the person; whether there was something is still told.
    let (table, subject) = (&stack.aws.tables.subject_keys, event["subject"].as_str().expect("a pseudonym"));
    let key = aws_sdk_dynamodb::types::AttributeValue::S(subject.to_owned());
    stack.aws.dynamodb.delete_item().table_name(table).key("subject", key).send().await.expect("a deletion");
    let events = page(app, &format!("?sessionId={first}")).await;
    assert!(events["events"][1]["personal"].is_null() && events["events"][1]["erased"] == true, "{events}");
    assert!(events["events"][0]["erased"].is_null(), "an update holds nothing personal");
}

/// Pages put together are everything once, newest first, also while rows arrive.
#[tokio::test]
async fn pages_are_stable_while_rows_arrive() {
    let stack = Stack::builder().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    // An application of the fleet by the name that queued events have.
    let app = &stack.app;
    let mut expected = Vec::new();
    for number in 0..13 {
        let tokens = app.start_session(&format!("user-{}", number % 3)).await;
        expected.push(tokens.session_id);
    }
    stack.run_write_audit().await;
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let found = page(app, &format!("?limit=4{cursor}")).await;
        seen.extend(of(&found, "sessionId").into_iter().map(str::to_owned));
        pages += 1;
        let Some(next) = found["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
        app.start_session("late").await;
        audit::queue(&mut redis, &[QueuedEvent::new(9, &format!("foreign-{pages}"))]).await;
        stack.run_write_audit().await;
    }
    assert_eq!((pages, seen.len()), (4, 13));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>(), expected.iter().collect::<BTreeSet<_>>());
    let whole = page(app, "?limit=200").await;
    let places: Vec<_> = of(&whole, "sessionId").into_iter().filter(|id| seen.iter().any(|seen| seen == id)).collect();
    assert_eq!(places, seen, "in one order");
    assert!(!of(&whole, "eventId").iter().any(|id| id.starts_with("foreign")), "another application's");
    assert_eq!(page(app, "?limit=200").await["next"], Value::Null);
}

/// T-65: the audit of another application, and of a user in its hands, does not exist; holders have none to read.
#[tokio::test]
async fn t_65_the_audit_of_another_application_does_not_exist() {
    let stack = Stack::builder().with_database().start().await;
    // Of the same group: they share users, not audits.
    let related =
        json!({"name": "Related", "scopes": ["audit:read", "sessions:create"], "groupId": stack.app.record["groupId"]});
    let related = stack.create_application(related).await;
    let stranger =
        stack.create_application(json!({"name": "Other", "scopes": ["audit:read", "sessions:create"]})).await;
    let tokens = stack.app.start_session("ada").await;
    for _ in 0..3 {
        stack.app.start_session("ada").await;
    }
    stack.run_write_audit().await;
    let own = page(&stack.app, "?userId=ada&limit=2").await;
    let cursor = own["next"].as_str().expect("a cursor");
    for app in [&related, &stranger] {
        let nothing = page(app, "?userId=nobody").await;
        assert_eq!(nothing, json!({"events": []}));
        for query in ["", "?userId=ada", &format!("?sessionId={}", tokens.session_id), "?type=session.created"] {
            assert_eq!(page(app, query).await, nothing, "{query}");
        }
        let borrowed = app.request("GET", &format!("/audit/events?userId=ada&cursor={cursor}")).send().await;
        borrowed.expect_problem(400, "invalid_request");
    }
    let own_session = related.start_session("ada").await;
    stack.run_write_audit().await;
    assert_eq!(of(&page(&related, "?userId=ada").await, "sessionId"), [own_session.session_id.as_str()]);
    for path in ["/audit/events", "/audit/verify"] {
        let holder = stack.request("GET", path).bearer(&tokens.access_token).send().await;
        holder.expect_problem(403, "application_only");
        let unscoped = stack.create_application(json!({"name": "Unscoped", "scopes": ["sessions:read"]})).await;
        unscoped.request("GET", path).send().await.expect_problem(403, "insufficient_scope");
        stack.request("GET", path).send().await.expect_problem(401, "credential_missing");
    }
    // Verification tells of a place of another application's, and not which event it is.
    let client = stack.database().connect().await;
    let touch = "UPDATE audit_events SET reason = 'x' WHERE session_id = $1";
    assert_eq!(client.execute(touch, &[&tokens.session_id]).await.expect("an update"), 1);
    let found = stranger.request("GET", "/audit/verify").send().await.expect(200).json();
    assert_eq!((&found["intact"], &found["firstBad"]["eventId"]), (&json!(false), &Value::Null), "{found}");
    let found = stack.app.request("GET", "/audit/verify").send().await.expect(200).json();
    assert!(found["firstBad"]["eventId"].is_string(), "{found}");
}

/// T-47: user ids that look like parts of a statement are people like any other, written and found as they are.
#[tokio::test]
async fn t_47_hostile_user_ids_are_written_and_found_as_they_are() {
    let stack = Stack::builder().with_database().start().await;
    let users = ["'; DROP TABLE audit_events; --", "ada' OR '1'='1", "$1", "%", "_", "ada\\"];
    for user in users {
        stack.app.start_session(user).await;
    }
    stack.run_write_audit().await;
    for user in users {
        let found = page(&stack.app, &format!("?userId={}", percent_encode(user))).await;
        assert_eq!(of(&found, "type"), ["session.created"], "{user}");
        assert_eq!(found["events"][0]["personal"]["userId"], user);
    }
    assert_eq!(of(&page(&stack.app, "").await, "type").len(), users.len());
}

/// What can not be read as meant is refused by name.
#[tokio::test]
async fn wrong_questions_are_refused_by_name() {
    let stack = Stack::builder().with_database().start().await;
    for (query, field) in [
        ("user=ada", "user"),
        ("userId=", "userId"),
        ("sessionId=none", "sessionId"),
        ("type=session.opened", "type"),
        ("type=session.created,", "type"),
        ("from=yesterday", "from"),
        ("to=2026-01-01", "to"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=07", "limit"),
        ("cursor=AAAA", "cursor"),
        ("limit=5&limit=6", "limit"),
    ] {
        let answer = stack.app.request("GET", &format!("/audit/events?{query}")).send().await;
        let answer = answer.expect_problem(400, "invalid_request").json();
        assert_eq!(answer["errors"][0]["field"], field, "{query}: {answer}");
    }
}

/// F-20: the audit is away while PostgreSQL is, and back with it, over a connection made anew.
#[tokio::test]
async fn f_20_the_audit_is_away_while_postgres_is() {
    let stack = Stack::builder().with_database_proxy().with_environments(1).start().await;
    stack.app.start_session("ada").await;
    stack.run_write_audit().await;
    for path in ["/audit/events", "/audit/verify"] {
        stack.app.request("GET", path).send().await.expect(200);
        stack.database_proxy().go_offline().await;
        let away = stack.app.request("GET", path).send().await.expect_problem(503, "dependency_unavailable");
        assert_eq!(away.header("retry-after"), "1");
        stack.database_proxy().go_online().await;
        stack.app.request("GET", path).send().await.expect(200);
    }
}
