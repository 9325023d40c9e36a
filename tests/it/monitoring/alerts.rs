use super::support::*;
use crate::api::risk::{CHROME, ELSEWHERE, begin, read};
use integration_tests::{Stack, Value, json};
use shared::adapters::dynamodb::applications::Applications;
use shared::adapters::dynamodb::deliveries::Deliveries;
use shared::core::alerts::{Requests, Thresholds};
use shared::core::analytics::report::AlertRow;
use shared::core::time::Timestamp;
use shared::service::alerts::{recent, watch};
use shared::service::receivers::Receivers;

fn now(stack: &Stack) -> Timestamp {
    Timestamp::from_millis((stack.now().unix_timestamp_nanos() / 1_000_000) as i64)
}

/// What an application is shown of the last day.
async fn shown(stack: &Stack, application: &str) -> Vec<AlertRow> {
    let client = stack.database().connect().await;
    let (from, to) = (now(stack).minus_seconds(86_400), now(stack).plus_seconds(1));
    recent(&client, application, from, to).await.expect("alerts can be read")
}

/// Replays of an application reach its people and the operators, once when they begin and once when it is quiet again.
#[tokio::test]
async fn replays_raise_an_alert_that_ends_after_a_quiet_window() {
    let stack = watched(&[("ALERT_REFRESH_REPLAYS", "3")]).start().await;
    let listeners = Listeners::of(&stack).await;
    replay(&stack, 2).await;
    assert_eq!(round(&stack).await["fired"], 0, "two are not three");
    replay(&stack, 1).await;
    let evaluated = round(&stack).await;
    assert_eq!(
        (&evaluated["fired"], &evaluated["firing"], &evaluated["handedOver"]),
        (&json!(1), &json!(1), &json!(2))
    );
    let (operators, application) = listeners.told(&stack).await;
    assert_eq!(application.len(), 1);
    let body = &application[0];
    let alert = &body["data"]["alert"];
    assert_eq!((&body["type"], &body["data"]["applicationId"]), (&json!("alert.fired"), &json!(stack.app.id)));
    assert_eq!(
        (&alert["rule"], &alert["severity"], &alert["state"]),
        (&json!("refresh_reuse"), &json!("critical"), &json!("firing"))
    );
    assert_eq!((&alert["value"], &alert["threshold"]), (&json!(3.0), &json!(3.0)));
    let members: Vec<&String> = body["data"].as_object().expect("an object").keys().collect();
    assert_eq!(members, ["alert", "applicationId", "reason"], "nobody's pseudonym");
    assert_eq!(listeners.application.ids()[0], body["id"]);

    let published = listeners.published_by_now(1).await;
    assert_eq!(operators.len().max(published.len()), 1);
    assert_eq!(message(&published[0]), *body, "operators are told the same");
    let subject = format!("critical alert firing: refresh_reuse of {}", stack.app.id);
    assert_eq!(published[0]["Subject"], subject);

    // It goes on, and nobody is told twice.
    assert_eq!(after(&stack, 60).await["firing"], 1);
    assert_eq!(shown(&stack, &stack.app.id).await[0].state, "firing");
    assert_eq!(after(&stack, 870).await["resolved"], 0, "within the window nothing is over");
    let over = after(&stack, 900).await;
    assert_eq!((&over["resolved"], &over["firing"]), (&json!(1), &json!(0)));
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(kinds(&application), ["alert.fired refresh_reuse", "alert.resolved refresh_reuse"]);
    assert_eq!(application[1]["data"]["alert"]["alertId"], alert["alertId"]);
    let published: Vec<Value> = listeners.published_by_now(2).await.iter().map(message).collect();
    assert_eq!(published, application);
    let rows = shown(&stack, &stack.app.id).await;
    assert_eq!((rows.len(), rows[0].state, rows[0].value), (1, "resolved", 3.0));
    assert!(rows[0].resolved_at.is_some_and(|at| at.millis_since(rows[0].started_at) >= 900_000));
}

/// An application has alerts of its own: neither the count nor the notice is anybody else's.
#[tokio::test]
async fn an_application_hears_and_sees_its_own_alerts_only() {
    let policy = json!({ "sessionLimit": { "max": 1, "onLimit": "evict_oldest" } });
    let stack = watched(&[("ALERT_EVICTIONS", "3")]).with_policy(policy).start().await;
    let listeners = Listeners::of(&stack).await;
    let other = stack.create_application(json!({ "name": "Other", "scopes": ["sessions:create"] })).await;
    for _ in 0..4 {
        stack.app.start_session("ada").await;
        other.start_session("ada").await;
    }
    assert_eq!(round(&stack).await["fired"], 1, "three evictions, all of the first application");
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(kinds(&application), ["alert.fired eviction_burst"]);
    assert_eq!(application[0]["data"]["alert"]["severity"], "warning");
    assert_eq!(shown(&stack, &stack.app.id).await.len(), 1);
    assert_eq!(shown(&stack, &other.id).await, []);
    after(&stack, 300).await;
    assert_eq!(after(&stack, 300).await["resolved"], 1);
}

/// Requests that fail are measured by the environment that failed them, told once it can tell, counted by the drain, and
/// alerted to operators; no application hears of what concerns the stack.
#[tokio::test]
async fn failing_requests_raise_an_alert_of_the_stack() {
    let stack = watched(&[]).with_environments(1).with_redis_proxy().start().await;
    let listeners = Listeners::of(&stack).await;
    let session = stack.app.start_session("ada").await;
    stack.app.get(&session.session_id).await.expect(200);
    assert_eq!(round(&stack).await["fired"], 0);
    stack.redis_proxy().go_offline().await;
    for _ in 0..6 {
        stack.app.get(&session.session_id).await.expect_problem(503, "dependency_unavailable");
    }
    stack.redis_proxy().go_online().await;
    assert_eq!(stack.run_alerts().await["fired"], 0, "nobody could tell of it");
    stack.advance(std::time::Duration::from_secs(61));
    stack.app.get(&session.session_id).await.expect(200);
    let evaluated = round(&stack).await;
    assert_eq!((&evaluated["fired"], &evaluated["handedOver"]), (&json!(1), &json!(1)), "{evaluated}");
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(application, Vec::<Value>::new());
    let told = message(&listeners.published_by_now(1).await[0]);
    let alert = &told["data"]["alert"];
    assert_eq!((&told["type"], &alert["rule"]), (&json!("alert.fired"), &json!("error_rate")));
    assert_eq!((&alert["severity"], &alert["threshold"]), (&json!("critical"), &json!(1.0)));
    // Six of eight requests, and those of the jobs' environments are none.
    assert_eq!(alert["value"], 75.0, "{alert}");
    // Silence is no sign that it is over; answers that succeed are.
    assert_eq!(after(&stack, 360).await["firing"], 1);
    stack.app.get(&session.session_id).await.expect(200);
    stack.advance(std::time::Duration::from_secs(61));
    stack.app.get(&session.session_id).await.expect(200);
    let quiet = round(&stack).await;
    assert_eq!((&quiet["resolved"], &quiet["firing"]), (&json!(1), &json!(0)), "{quiet}");
}

#[tokio::test]
async fn refused_requests_raise_an_alert() {
    let policy = json!({ "binding": { "ip": "prefix" } });
    let stack = watched(&[("ALERT_SECURITY_EVENTS", "4")]).with_policy(policy).start().await;
    let listeners = Listeners::of(&stack).await;
    let session = begin(&stack, "ada").await;
    for _ in 0..4 {
        read(&stack, &session, ELSEWHERE, CHROME).send().await.expect_problem(401, "binding_mismatch");
    }
    assert_eq!(round(&stack).await["fired"], 1);
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(kinds(&application), ["alert.fired security_event_rate"]);
    after(&stack, 300).await;
    assert_eq!(after(&stack, 300).await["resolved"], 1);
}

/// A writer that stopped raises the alert although nothing arrives in the database that could tell of it. It concerns
/// the operators, and applications see it.
#[tokio::test]
async fn an_audit_that_falls_behind_raises_an_alert_of_the_stack() {
    let stack = watched(&[]).start().await;
    let listeners = Listeners::of(&stack).await;
    assert_eq!(stack.run_alerts().await["fired"], 0, "a stack that has never written is not behind");
    round(&stack).await;
    stack.advance(std::time::Duration::from_secs(299));
    assert_eq!(stack.run_alerts().await["fired"], 0);
    stack.advance(std::time::Duration::from_secs(2));
    let evaluated = stack.run_alerts().await;
    assert_eq!(evaluated["fired"], 1);
    assert!(evaluated["auditLagSeconds"].as_i64().is_some_and(|lag| lag >= 300), "{evaluated}");
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(application, Vec::<Value>::new(), "operators only");
    let published = listeners.published_by_now(1).await;
    assert_eq!(kinds(&[message(&published[0])]), ["alert.fired audit_lag"]);
    assert_eq!(published[0]["Subject"], "critical alert firing: audit_lag of the stack");
    assert_eq!(shown(&stack, &stack.app.id).await[0].rule, "audit_lag");
    round(&stack).await;
    assert_eq!(after(&stack, 301).await["resolved"], 1);
}

/// Whoever counts answers gives them to the rule.
#[tokio::test]
async fn failing_answers_raise_an_alert_of_the_stack() {
    let stack = watched(&[]).start().await;
    let listeners = Listeners::of(&stack).await;
    let tables = &stack.aws.tables;
    let applications = Applications::new(stack.aws.dynamodb.clone(), tables.applications.clone());
    let deliveries = Deliveries::new(stack.aws.dynamodb.clone(), tables.deliveries.clone());
    let receivers = Receivers::new(applications, deliveries);
    let mut client = stack.database().connect().await;
    let mut evaluate = async |requests: Option<Requests>, now: Timestamp| {
        watch(&mut client, &receivers, &Thresholds::default(), requests, now).await.expect("an evaluation")
    };
    let begin = now(&stack);
    let answers = |count, failed| Some(Requests { count, failed });
    assert_eq!(evaluate(answers(1000, 9), begin).await.fired, 0);
    assert_eq!(evaluate(answers(1000, 20), begin.plus_seconds(60)).await.fired, 1);
    assert_eq!(evaluate(None, begin.plus_seconds(400)).await.resolved, 0, "what is not known changes nothing");
    let over = evaluate(answers(1000, 0), begin.plus_seconds(401)).await;
    assert_eq!((over.resolved, over.firing), (1, 0));
    stack.advance(std::time::Duration::from_secs(402));
    let (_, application) = listeners.told(&stack).await;
    assert_eq!(application, Vec::<Value>::new());
    let published: Vec<Value> = listeners.published_by_now(2).await.iter().map(message).collect();
    let mut told = kinds(&published);
    told.sort();
    assert_eq!(told, ["alert.fired error_rate", "alert.resolved error_rate"]);
}

/// The rules look at the few events they count, not at the whole audit.
#[tokio::test]
async fn counting_uses_its_own_index() {
    let stack = watched(&[]).start().await;
    replay(&stack, 1).await;
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    client.batch_execute("SET enable_seqscan = off").await.expect("a setting");
    let watched = shared::adapters::postgres::alerts::WATCHED;
    let explain = format!(
        "EXPLAIN SELECT event_type, count(*) FROM audit_events WHERE queued_at >= now() - interval '1 hour' AND {watched} GROUP BY 1"
    );
    let rows = client.query(&explain, &[]).await.expect("a plan");
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let scans: Vec<&String> =
        plan.iter().filter(|line| line.contains(" Scan") && !line.contains("Bitmap Heap")).collect();
    let of_rules = |scan: &&String| scan.contains("_queued_at_event_type_reason_application_id");
    assert!(!scans.is_empty() && scans.iter().all(of_rules), "{plan:#?}");
}
