use integration_tests::{Stack, audit, json};

/// T-88: whoever edits, deletes, moves or adds a row can not do it unseen.
#[tokio::test]
async fn t_88_every_touch_of_a_row_is_found_by_recomputation() {
    let stack = Stack::builder().with_database().start().await;
    let tokens = stack.app.start_session("ada").await;
    for version in 1..6 {
        let tag = format!("\"{version}\"");
        stack.app.put(&tokens.session_id, &tag, json!({"data": {"n": version}})).await.expect(200);
    }
    stack.app.start_session("bob").await;
    stack.run_write_audit().await;
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    assert_eq!(audit::rows(&client).await.len(), 7);

    let of_ada = format!("session_id = '{}'", tokens.session_id);
    let third = format!("{of_ada} AND sequence = 3");
    let mut touches: Vec<String> =
        ["event_id", "event_type", "application_id", "subject", "session_id", "actor", "reason", "request_id"]
            .iter()
            .map(|column| format!("UPDATE audit_events SET {column} = {column} || 'x' WHERE {third}"))
            .collect();
    touches.extend([
        format!("UPDATE audit_events SET occurred_at = occurred_at + interval '1 ms' WHERE {third}"),
        format!("UPDATE audit_events SET hash = sha256('x') WHERE {third}"),
        format!("UPDATE audit_events SET chain_group = (chain_group + 1) % 64 WHERE {third}"),
        format!("UPDATE audit_events SET sequence = 7 - sequence WHERE {of_ada} AND sequence IN (3, 4)"),
        format!("UPDATE audit_events SET sequence = 17 WHERE {third}"),
        format!("DELETE FROM audit_events WHERE {of_ada} AND sequence = 1"),
        format!("DELETE FROM audit_events WHERE {third}"),
        format!("DELETE FROM audit_events WHERE {of_ada} AND sequence = 6"),
        format!("DELETE FROM audit_events WHERE {of_ada}"),
        "UPDATE audit_chain_heads SET sequence = sequence + 1 WHERE sequence > 0".to_owned(),
        format!(
            "INSERT INTO audit_events SELECT event_id, queued_at + interval '1 s', occurred_at, recorded_at, \
             chain_group, 7, event_type, application_id, subject, session_id, actor, reason, request_id, hash \
             FROM audit_events WHERE {third}"
        ),
    ]);
    for touch in touches {
        client.batch_execute("BEGIN").await.expect("a transaction");
        assert!(client.execute(&touch, &[]).await.expect(&touch) > 0, "{touch}");
        let found = audit::violations(&client).await;
        client.batch_execute("ROLLBACK").await.expect("a rollback");
        assert!(!found.is_empty(), "not found: {touch}");
    }
    audit::verify(&client).await;
}
