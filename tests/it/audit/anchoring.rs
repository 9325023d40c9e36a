use futures::future::join_all;
use integration_tests::audit::{self, QueuedEvent};
use integration_tests::auditor::{Auditor, anchors};
use integration_tests::{Stack, Value, json};

use super::drain::spread;

async fn verify(stack: &Stack) -> Value {
    stack.app.request("GET", "/audit/verify").send().await.expect(200).json()
}

/// Every run that wrote anchors, every anchor follows the one before, and none is made for nothing.
#[tokio::test]
async fn drainers_at_once_leave_one_chain_of_anchors() {
    let stack = Stack::builder().with_database().with_environments(5).start().await;
    let mut redis = stack.redis().connection().await;
    assert_eq!(stack.run_write_audit().await.get("anchor"), Some(&json!(1)), "of an empty audit");
    assert_eq!(stack.run_write_audit().await.get("anchor"), None);
    for round in 0..3 {
        audit::queue(&mut redis, &spread(&format!("round-{round}"), 300)).await;
        let runs = join_all((0..5).map(|_| stack.run_write_audit())).await;
        assert!(runs.iter().any(|run| run["anchor"].is_u64()), "{runs:?}");
    }
    stack.run_write_audit().await;
    let names: Vec<String> = anchors(&stack).await.into_iter().map(|(name, _)| name).collect();
    let expected: Vec<String> = (1..=names.len()).map(|number| format!("{number:012}.json")).collect();
    assert_eq!(names, expected);
    let (code, text) = Auditor::of(&stack).await.verify_database().await;
    assert!(code == 0 && text.starts_with("intact: 900 events"), "{text}");
    assert_eq!(verify(&stack).await["anchor"]["events"], 900);
}

/// A run that died behind the store, and a database that forgot what it had anchored, go on from what is there.
#[tokio::test]
async fn an_anchor_that_the_database_does_not_know_is_taken_over() {
    let stack = Stack::builder().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    let client = stack.database().connect().await;
    for number in 1..=3 {
        audit::queue(&mut redis, &[QueuedEvent::new(7, &format!("event-{number}"))]).await;
        assert_eq!(stack.run_write_audit().await["anchor"], number);
    }
    client.execute("DELETE FROM audit_anchors WHERE number > 1", &[]).await.expect("a deletion");
    assert_eq!(stack.run_write_audit().await.get("anchor"), None, "the third one says it all");
    client.execute("DELETE FROM audit_anchors", &[]).await.expect("a deletion");
    audit::queue(&mut redis, &[QueuedEvent::new(7, "event-4")]).await;
    assert_eq!(stack.run_write_audit().await["anchor"], 4);
    let (code, text) = Auditor::of(&stack).await.verify_database().await;
    assert!(code == 0 && text.starts_with("intact: 4 events, 4 anchors"), "{text}");
}

/// While anchors can not be stored, rows are written and acknowledged as ever, every run fails and says why, and the
/// first one that can makes up for it.
#[tokio::test]
async fn rows_do_not_wait_for_anchors() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("anchors");
    std::fs::write(&place, "in the way").expect("a file");
    let location = format!("file://{}", place.display());
    let stack = Stack::builder().with_database().with_variable("AUDIT_ANCHORS", &location).start().await;
    let mut redis = stack.redis().connection().await;
    let client = stack.database().connect().await;
    let run = integration_tests::stack::scheduled_event(json!({}));
    for number in 1..=2 {
        audit::queue(&mut redis, &[QueuedEvent::new(7, &format!("event-{number}"))]).await;
        let failed = stack.invoke("write-audit", &run).await.expect_err("no anchor can be stored").to_string();
        assert!(failed.contains("DependencyUnavailable") && failed.contains("Anchors"), "{failed}");
        assert_eq!(audit::rows(&client).await.len(), number);
        let waiting: usize = redis::cmd("XLEN").arg(audit::outbox(7)).query_async(&mut redis).await.expect("a length");
        assert_eq!(waiting, 0, "acknowledged");
    }
    std::fs::remove_file(&place).expect("a file");
    let made = stack.run_write_audit().await;
    assert_eq!((&made["written"], &made["anchor"]), (&json!(0), &json!(1)));
    assert_eq!(verify(&stack).await["anchor"]["events"], 2);
    assert!(place.join("000000000001.json").exists());
}

/// What retention drops and what an erasure takes away leaves the audit verifiable, online and offline.
#[tokio::test]
async fn retention_and_erasure_keep_the_audit_verifiable() {
    let stack = Stack::builder().with_clock().with_database().start().await;
    let client = stack.database().connect().await;
    stack.app.start_session("ada").await;
    stack.run_write_audit().await;
    stack.advance(std::time::Duration::from_secs(420 * 24 * 3600));
    stack.app.start_session("ada").await;
    stack.app.start_session("bob").await;
    stack.run_write_audit().await;
    let run = stack.run_scheduled("cleanup-sessions", json!({})).await;
    assert!(run["droppedPartitions"].as_u64() >= Some(1), "{run}");
    stack.app.start_session("ada").await;
    stack.run_write_audit().await;
    let table = &stack.aws.tables.subject_keys;
    let keys = stack.aws.dynamodb.scan().table_name(table).send().await.expect("keys");
    for item in keys.items() {
        let subject = item["subject"].clone();
        stack.aws.dynamodb.delete_item().table_name(table).key("subject", subject).send().await.expect("a deletion");
    }
    let found = verify(&stack).await;
    assert_eq!((&found["intact"], &found["complete"]), (&json!(true), &json!(true)), "{found}");
    let auditor = Auditor::of(&stack).await;
    for (code, text) in [auditor.verify_database().await, auditor.verify_dump(&client).await] {
        assert_eq!(code, 0, "{text}");
    }
    // What stands for the dropped rows is part of the chain.
    let forge = "UPDATE audit_chain_anchors SET last_hash = sha256('x')";
    assert!(client.execute(forge, &[]).await.expect("an update") > 0);
    assert_eq!(verify(&stack).await["intact"], false);
    assert_eq!(auditor.verify_dump(&client).await.0, 1);
}

/// One chain, and a place in it: a call checks what it was asked to.
#[tokio::test]
async fn a_verification_goes_on_where_it_stopped() {
    let stack = Stack::builder().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    let client = stack.database().connect().await;
    let events: Vec<_> = (0..2500).map(|number| QueuedEvent::new(130, &format!("event-{number}"))).collect();
    audit::queue(&mut redis, &events).await;
    audit::queue(&mut redis, &[QueuedEvent::new(7, "elsewhere")]).await;
    stack.run_write_audit().await;
    let get = async |query: &str| stack.app.request("GET", &format!("/audit/verify{query}")).send().await;
    let chain = get("?chain=2").await.expect(200).json();
    assert_eq!((&chain["checkedEvents"], &chain["checkedChains"]), (&json!(2500), &json!(1)), "{chain}");
    assert_eq!(get("").await.expect(200).json()["checkedEvents"], 2501);
    let row = client.query_one("SELECT hash FROM audit_events WHERE chain_group = 2 AND sequence = 2000", &[]).await;
    let hash: Vec<u8> = row.expect("a row").get(0);
    let cursor = |hash: &[u8]| {
        let bytes = [&[1_u8, 2][..], &2000_i64.to_be_bytes(), hash].concat();
        shared::core::crypto::encode(&bytes)
    };
    let rest = get(&format!("?cursor={}", cursor(&hash))).await.expect(200).json();
    assert_eq!((&rest["intact"], &rest["checkedEvents"]), (&json!(true), &json!(500)), "{rest}");
    // What was computed before no longer fits: somebody touched what had been checked.
    let other = get(&format!("?chain=2&cursor={}", cursor(&[7; 32]))).await.expect(200).json();
    assert_eq!((&other["intact"], &other["firstBad"]["sequence"]), (&json!(false), &json!(2001)), "{other}");
    for (query, field) in [
        ("?chain=64", "chain"),
        ("?chain=05", "chain"),
        ("?cursor=AAAA", "cursor"),
        ("?extra=1", "extra"),
        (&format!("?chain=3&cursor={}", cursor(&hash)), "cursor"),
    ] {
        let refused = get(query).await.expect_problem(400, "invalid_request").json();
        assert_eq!(refused["errors"][0]["field"], field, "{query}");
    }
}
