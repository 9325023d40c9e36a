//! The golden dump: what an auditor was once handed of a stack, with places that retention emptied, and the verdict of the
//! offline command. Dumps and anchors are kept for years, so every later release has to come to the same verdict.
//! `GOLDEN_WRITE=1` makes the folder when it is missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use integration_tests::auditor::{Auditor, dump};
use integration_tests::{Application, Stack, Value, json};
use shared::core::audit_anchor::{Anchor, Draft};
use tokio_postgres::Client;

use super::golden;

fn folder() -> PathBuf {
    golden::fixtures().join("dump-v1")
}

/// Two applications by turns, then half a year later again, when the first keeps its rows of before no longer.
async fn make(folder: &Path) {
    let policy = json!({ "retention": { "auditMonths": 3 } });
    let stack = Stack::builder().with_clock().with_database().with_policy(policy).start().await;
    let scopes = ["sessions:create", "sessions:read", "sessions:write"];
    let group = &stack.app.record["groupId"];
    let other = stack.create_application(json!({ "name": "Beside", "scopes": scopes, "groupId": group })).await;
    let by_turns = async |applications: [&Application; 2]| {
        for application in applications.into_iter().cycle().take(4) {
            let session = application.start_session("ada").await;
            application.delete(&session.session_id).await.expect(204);
        }
        stack.run_write_audit().await;
    };
    by_turns([&stack.app, &other]).await;
    stack.advance(Duration::from_secs(180 * 24 * 3600));
    by_turns([&stack.app, &other]).await;
    stack.run_scheduled("cleanup-sessions", json!({})).await;
    let auditor = Auditor::of(&stack).await;
    let (code, text) = auditor.verify_dump(&stack.database().connect().await).await;
    assert_eq!(code, 0, "{text}");
    auditor.copy_to(folder);
}

/// The anchors in their order.
fn anchors() -> Vec<(Vec<u8>, Anchor)> {
    let entries = std::fs::read_dir(folder().join("anchors")).expect("a folder");
    let documents = entries.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("an anchor"));
    let mut anchors: Vec<(Vec<u8>, Anchor)> =
        documents.map(|document| (document.clone(), Anchor::decode(&document).expect("an anchor"))).collect();
    anchors.sort_by_key(|(_, anchor)| anchor.statement.number);
    anchors
}

fn lines() -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("audit.ndjson")).expect("a dump");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn auditor() -> Auditor {
    Auditor::with_copies(&folder(), &anchors()[0].1.statement.stack)
}

/// F-32: the command finds the dump as intact as it was, and not once something in it is changed.
#[tokio::test]
async fn f_32_a_dump_of_an_earlier_release_is_judged_as_it_was() {
    if !folder().exists() && golden::may_write() {
        make(&folder()).await;
    }
    let lines = lines();
    let rows = lines.iter().filter(|line| line.get("row").is_some()).count();
    assert!(lines.iter().any(|line| line.get("dropped").is_some()), "no place was emptied");
    let (code, text) = auditor().verify_copy().await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with(&format!("intact: {rows} events, 2 anchors, the last is number 2 of ")), "{text}");

    let whole = std::fs::read_to_string(folder().join("audit.ndjson")).expect("a dump");
    for name in ["row", "dropped"] {
        let line = whole.lines().find(|line| line.contains(&format!("\"{name}\""))).expect("a line");
        let at = line.rfind("\"hash\" : \"").expect("a hash") + 10;
        let digit = if line.as_bytes()[at] == b'0' { "1" } else { "0" };
        let mut changed = line.to_owned();
        changed.replace_range(at..=at, digit);
        let auditor = auditor();
        std::fs::write(auditor.dump(), whole.replace(line, &changed)).expect("a file");
        let (code, text) = auditor.verify_copy().await;
        assert!(code == 1 && text.starts_with("not intact: chain "), "{name}: {code} {text}");
    }
    let auditor = auditor();
    for entry in std::fs::read_dir(auditor.anchors()).expect("a folder") {
        let file = entry.expect("an entry").path();
        let document = std::fs::read_to_string(&file).expect("an anchor");
        std::fs::write(&file, document.replacen("\\\"events\\\":", "\\\"events\\\":1", 1)).expect("a file");
    }
    let (code, text) = auditor.verify_copy().await;
    assert!(code == 1 && text.contains("its signature does not hold"), "{code} {text}");
}

/// F-32: what is signed of the same chains, and how an anchor is stored, is the same byte by byte.
#[test]
fn f_32_anchors_are_stated_as_they_were() {
    let mut previous: Option<Anchor> = None;
    for (document, anchor) in anchors() {
        assert_eq!(anchor.encode().as_bytes(), document);
        let signed_at = anchor.signed_at().expect("a time");
        let draft = Draft::new(&anchor.statement.stack, previous.as_ref(), anchor.heads.clone(), signed_at);
        let stored: Value = serde_json::from_slice(&document).expect("JSON");
        assert_eq!(draft.expect("64 chains").text, stored["statement"]);
        previous = Some(anchor);
    }
    assert!(previous.is_some());
}

/// F-32: the view makes the same lines, byte by byte, of the same rows.
#[tokio::test]
async fn f_32_the_same_rows_are_dumped_as_they_were() {
    let stack = Stack::builder().with_database().start().await;
    let client = stack.database().connect().await;
    for line in lines() {
        put(&client, &line).await;
    }
    let text = std::fs::read_to_string(folder().join("audit.ndjson")).expect("a dump");
    assert_eq!(dump(&client).await, text.lines().collect::<Vec<_>>());
}

async fn put(client: &Client, line: &Value) {
    const TIME: &str = "(timestamptz 'epoch' + ($1::text::jsonb->'row'->>'COLUMN')::bigint * interval '1 microsecond')";
    let time = |column: &str| TIME.replace("COLUMN", column);
    let (queued_at, occurred_at, recorded_at) = (time("queuedAt"), time("occurredAt"), time("recordedAt"));
    let statements = if line.get("row").is_some() {
        vec![
            format!("SELECT audit_ensure_partition(date_trunc('month', {queued_at} AT TIME ZONE 'UTC')::date)"),
            format!(
                "INSERT INTO audit_events (event_id, queued_at, occurred_at, recorded_at, chain_group, sequence, \
                 event_type, application_id, subject, session_id, actor, reason, request_id, hash, detail, sealed) \
                 SELECT event->>'eventId', {queued_at}, {occurred_at}, {recorded_at}, chain, \
                 (event->>'sequence')::bigint, event->>'type', event->>'applicationId', event->>'subject', \
                 event->>'sessionId', event->>'actor', event->>'reason', event->>'requestId', \
                 decode(event->>'hash', 'hex'), event->>'detail', decode(event->>'sealed', 'hex') \
                 FROM (SELECT ($1::text::jsonb->>'chain')::smallint, $1::text::jsonb->'row') AS line (chain, event)"
            ),
        ]
    } else if line.get("dropped").is_some() {
        vec![
            "INSERT INTO audit_chain_anchors (chain_group, first_sequence, previous_hash, last_sequence, last_hash) \
             SELECT chain, (run->>'first')::bigint, decode(run->>'previous', 'hex'), (run->>'last')::bigint, \
             decode(run->>'hash', 'hex') \
             FROM (SELECT ($1::text::jsonb->>'chain')::smallint, $1::text::jsonb->'dropped') AS line (chain, run)"
                .to_owned(),
        ]
    } else {
        vec![
            "INSERT INTO audit_chain_heads (chain_group, sequence, hash) \
             SELECT chain, (head->>'sequence')::bigint, decode(head->>'hash', 'hex') \
             FROM (SELECT ($1::text::jsonb->>'chain')::smallint, $1::text::jsonb->'head') AS line (chain, head) \
             ON CONFLICT (chain_group) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash"
                .to_owned(),
        ]
    };
    for statement in statements {
        client.query(&statement, &[&line.to_string()]).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}
