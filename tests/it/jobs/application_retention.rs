//! Applications that keep less than the stack does: what goes, what a dry run says of it, and that the audit still
//! verifies and still tells tampering from retention.

use std::collections::BTreeMap;
use std::time::Duration;

use integration_tests::audit::{self, Row};
use integration_tests::auditor::Auditor;
use integration_tests::stack::StackBuilder;
use integration_tests::{Application, InvokeError, Stack, Value, json};
use tokio_postgres::Client;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn builder() -> StackBuilder {
    let policy = json!({ "retention": { "auditMonths": 3, "activityDays": 10, "reportMonths": 3 } });
    Stack::builder().with_clock().with_database().with_policy(policy)
}

/// An application of the same group, so that what both do with a user alternates in one chain.
async fn beside(stack: &Stack) -> Application {
    let scopes = ["sessions:create", "sessions:read", "sessions:write"];
    let group = &stack.app.record["groupId"];
    stack.create_application(json!({ "name": "Beside", "scopes": scopes, "groupId": group })).await
}

/// Both applications begin sessions of a user by turns, and record activities.
async fn by_turns(stack: &Stack, applications: [&Application; 2]) {
    for _ in 0..3 {
        for application in applications {
            let session = application.start_session("ada").await;
            let path = format!("/sessions/{}/activity", session.session_id);
            let batch = json!({ "activities": [{ "name": "page.viewed" }, { "name": "page.left" }] });
            application.request("POST", &path).json(&batch).send().await.expect(202);
        }
    }
    stack.run_write_audit().await;
}

async fn cleanup(stack: &Stack, dry: bool) -> Value {
    let run = stack.run_scheduled("cleanup-sessions", if dry { json!({ "dryRun": true }) } else { json!({}) }).await;
    assert_eq!(run["more"], false, "{run}");
    run
}

/// Rows of each application and table.
async fn held(client: &Client) -> BTreeMap<(String, &'static str), i64> {
    let mut held = BTreeMap::new();
    for (class, tables) in [
        ("audit", &["audit_events"][..]),
        ("activity", &["activity"]),
        ("reports", &["rollup_counts", "rollup_distinct", "rollup_spreads"]),
    ] {
        for table in tables {
            let query = format!("SELECT application_id, count(*) FROM {table} GROUP BY 1");
            for row in client.query(&query, &[]).await.expect("counts") {
                *held.entry((row.get(0), class)).or_default() += row.get::<_, i64>(1);
            }
        }
    }
    held
}

async fn expect_intact(stack: &Stack, client: &Client) {
    let found = stack.app.request("GET", "/audit/verify").send().await.expect(200).json();
    assert_eq!((&found["intact"], &found["complete"]), (&json!(true), &json!(true)), "{found}");
    audit::verify(client).await;
    let auditor = Auditor::of(stack).await;
    for (code, text) in [auditor.verify_database().await, auditor.verify_dump(client).await] {
        assert_eq!(code, 0, "{text}");
    }
}

/// What stands for removed rows, as first and last place.
async fn runs(client: &Client) -> Vec<(i64, i64)> {
    let query = "SELECT first_sequence, last_sequence FROM audit_chain_anchors ORDER BY chain_group, first_sequence";
    client.query(query, &[]).await.expect("runs").iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A dry run tells what a run then removes, of each class; another application's rows, which stand between them, stay;
/// what is left verifies for everybody.
#[tokio::test]
async fn what_an_application_no_longer_keeps_goes_and_the_audit_verifies() {
    let stack = builder().start().await;
    let (client, other) = (stack.database().connect().await, beside(&stack).await);
    by_turns(&stack, [&stack.app, &other]).await;
    assert_eq!(cleanup(&stack, true).await["retention"], json!([]));
    assert_eq!(cleanup(&stack, false).await["retention"], json!([]), "nothing is old enough");

    stack.advance(11 * DAY);
    let told = cleanup(&stack, true).await["retention"].clone();
    assert_eq!((told[0]["class"].as_str(), &told[0]["rows"]), (Some("activity"), &json!(6)));
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");

    // Every instant is in a month that is over for more than three months and a day.
    stack.advance(119 * DAY);
    by_turns(&stack, [&stack.app, &other]).await;
    let (before, rows) = (held(&client).await, audit::rows(&client).await);
    let young: Vec<&Row> = rows.iter().filter(|row| row.event.occurred_at.millis() > millis(&stack) - 60_000).collect();
    assert!(young.len() >= 6 && rows.len() >= young.len() + 6, "{rows:?}");

    let dry = cleanup(&stack, true).await["retention"].clone();
    assert_eq!(held(&client).await, before, "a dry run removes nothing");
    assert_eq!(cleanup(&stack, true).await["retention"], dry);
    assert_eq!(cleanup(&stack, false).await["retention"], dry, "what a run removes is what was told");
    let after = held(&client).await;
    let mut gone: BTreeMap<(String, String), i64> = BTreeMap::new();
    for ((application, class), rows) in &before {
        let left = after.get(&(application.clone(), *class)).copied().unwrap_or_default();
        // Minutes of reports are forgotten for everybody.
        if left < *rows && application == &stack.app.id {
            gone.insert((application.clone(), (*class).to_owned()), rows - left);
        } else if *class != "reports" {
            assert_eq!(left, *rows, "{application} {class}");
        }
    }
    let told: BTreeMap<(String, String), i64> = dry
        .as_array()
        .expect("a list")
        .iter()
        .map(|told| {
            let text = |name: &str| told[name].as_str().expect("a text").to_owned();
            ((text("applicationId"), text("class")), told["rows"].as_i64().expect("a number"))
        })
        .collect();
    assert_eq!(told, gone);
    let classes: Vec<&str> = told.keys().map(|(_, class)| class.as_str()).collect();
    assert_eq!(classes, ["activity", "audit", "reports"]);
    assert_eq!(cleanup(&stack, true).await["retention"], json!([]));

    let left = audit::rows(&client).await;
    let own = |row: &&Row| row.event.application_id == stack.app.id;
    assert_eq!(left.iter().filter(own).count(), young.iter().filter(|row| own(row)).count(), "only what is young");
    assert!(runs(&client).await.len() >= 3, "a run for each turn");
    expect_intact(&stack, &client).await;
    // The chain goes on, a row that is missing is missed, and what stands for rows is part of the chain.
    by_turns(&stack, [&stack.app, &other]).await;
    expect_intact(&stack, &client).await;
    for touch in [
        format!("DELETE FROM audit_events WHERE event_id = '{}'", young[1].event.event_id),
        "UPDATE audit_chain_anchors SET last_hash = sha256('x')".to_owned(),
        "DELETE FROM audit_chain_anchors".to_owned(),
    ] {
        client.batch_execute("BEGIN").await.expect("a transaction");
        client.batch_execute(&touch).await.expect(&touch);
        assert!(!audit::violations(&client).await.is_empty(), "{touch}");
        client.batch_execute("ROLLBACK").await.expect("a rollback");
    }

    // When the other one keeps less as well, one anchor stands for all.
    let changes = json!({ "policy": { "retention": { "auditMonths": 3 } } });
    let update = json!({ "action": "update", "applicationId": other.id, "changes": changes });
    stack.invoke("manage-applications", &update).await.expect("an update");
    let told = cleanup(&stack, false).await["retention"].clone();
    assert_eq!((&told[0]["applicationId"], &told[0]["class"]), (&json!(other.id), &json!("audit")), "{told}");
    let (left, rows) = (runs(&client).await, audit::rows(&client).await);
    assert_eq!(left, [(1, rows[0].sequence - 1)]);
    expect_intact(&stack, &client).await;
}

fn millis(stack: &Stack) -> i64 {
    (stack.now().unix_timestamp_nanos() / 1_000_000) as i64
}

/// Whoever takes a row away and writes down that retention did is found, because anchors say how young the row was.
#[tokio::test]
async fn tampering_that_pretends_to_be_retention_is_found() {
    let stack = builder().start().await;
    let (client, other) = (stack.database().connect().await, beside(&stack).await);
    by_turns(&stack, [&stack.app, &other]).await;
    stack.advance(130 * DAY);
    by_turns(&stack, [&stack.app, &other]).await;
    cleanup(&stack, false).await;
    expect_intact(&stack, &client).await;

    let rows = audit::rows(&client).await;
    let last = rows.last().expect("rows");
    let (chain, place) = (last.chain_group, last.sequence - 1);
    let forge = |from: i64, to: i64| {
        format!(
            "INSERT INTO audit_chain_anchors (chain_group, first_sequence, previous_hash, last_sequence, last_hash) \
             SELECT {chain}, {from}, before.hash, {to}, after.hash FROM audit_events AS before, audit_events AS after \
             WHERE before.chain_group = {chain} AND before.sequence = {from} - 1 \
             AND after.chain_group = {chain} AND after.sequence = {to}; \
             DELETE FROM audit_events WHERE chain_group = {chain} AND sequence BETWEEN {from} AND {to}"
        )
    };
    client.batch_execute("CREATE TABLE kept AS TABLE audit_events").await.expect("a copy");
    // A row, and the whole end of the chain: as the links go, both are without fault.
    for (from, to) in [(place, place), (place - 1, last.sequence)] {
        client.batch_execute(&forge(from, to)).await.expect("a forgery");
        audit::verify(&client).await;
        let found = stack.app.request("GET", "/audit/verify").send().await.expect(200).json();
        let bad = &found["firstBad"];
        assert_eq!(
            (&bad["chain"], &bad["sequence"], &bad["kind"]),
            (&json!(chain), &json!(from), &json!("removed_early")),
            "{found}"
        );
        let auditor = Auditor::of(&stack).await;
        for (code, text) in [auditor.verify_database().await, auditor.verify_dump(&client).await] {
            let line = format!("not intact: chain {chain}, place {from}: removed_early");
            assert!(code == 1 && text.starts_with(&line), "{code} {text}");
        }
        // To an auditor who asks for more than the stack keeps, what retention removed is gone too early as well.
        let (code, text) = auditor.run(&["--floor-months", "6"]).await;
        assert!(code == 1 && text.contains("removed_early") && !text.contains(&format!("place {from}:")), "{text}");
        let put_back = format!(
            "DELETE FROM audit_chain_anchors WHERE first_sequence >= {from}; \
             DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM kept"
        );
        client.batch_execute(&put_back).await.expect("what it was");
        expect_intact(&stack, &client).await;
    }
}

/// Error type and message of a refused command.
async fn refused(stack: &Stack, command: &Value) -> String {
    match stack.invoke("manage-applications", command).await {
        Err(InvokeError::Function(error)) => {
            assert_eq!(error["errorType"], "InvalidRequest", "{error}");
            error["errorMessage"].as_str().expect("a text").to_owned()
        }
        other => panic!("{command}: {other:?}"),
    }
}

/// Neither longer than the stack keeps nor, of the audit, shorter than its floor; the error names the field.
#[tokio::test]
async fn what_the_stack_does_not_allow_is_refused() {
    let stack = Stack::builder()
        .with_variable("AUDIT_RETENTION_MONTHS", "12")
        .with_variable("AUDIT_RETENTION_FLOOR_MONTHS", "6")
        .with_variable("ACTIVITY_RETENTION_MONTHS", "2")
        .start()
        .await;
    for (field, value, detail) in [
        ("auditMonths", 5, "must be 6 to 12 in this stack"),
        ("auditMonths", 13, "must be 6 to 12 in this stack"),
        ("auditMonths", 121, "must be"),
        ("activityDays", 63, "must be 1 to 62 in this stack"),
        ("activityDays", 0, "must be 1 to 3660"),
        ("reportMonths", 0, "must be 1 to 120"),
        ("reportMonths", -1, ""),
        ("deviceDays", 3, ""),
    ] {
        let policy = json!({ "retention": { field: value } });
        for dry in [false, true] {
            let new = json!({ "name": "X", "scopes": [], "policy": policy });
            let create = json!({ "action": "create", "application": new, "dryRun": dry });
            let message = refused(&stack, &create).await;
            let named = message.contains(&format!("application.policy.retention.{field}"));
            assert!(named && message.contains(detail), "{field} {value}: {message}");
            let changes = json!({ "policy": policy });
            let update =
                json!({ "action": "update", "applicationId": stack.app.id, "changes": changes, "dryRun": dry });
            let message = refused(&stack, &update).await;
            assert!(message.contains(&format!("changes.policy.retention.{field}")), "{field} {value}: {message}");
        }
    }
    let policy = json!({ "retention": { "auditMonths": 6, "activityDays": 62 } });
    let update = json!({ "action": "update", "applicationId": stack.app.id, "changes": { "policy": policy } });
    let shown = stack.invoke("manage-applications", &update).await.expect("an update");
    assert_eq!(shown["application"]["policy"]["retention"], policy["retention"]);
}
