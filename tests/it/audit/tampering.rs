use integration_tests::audit::{self, QueuedEvent};
use integration_tests::auditor::Auditor;
use integration_tests::{Stack, Value, json};
use shared::core::audit::{GENESIS, Times};
use shared::core::time::Timestamp;
use tokio_postgres::Client;

/// A chain of six events in two anchors, another one beside it, and copies to put back what a touch changed.
struct Victim {
    stack: Stack,
    client: Client,
    auditor: Auditor,
    /// The chain that is touched.
    chain: u16,
    /// The one beside it.
    beside: u16,
}

const TABLES: [&str; 2] = ["audit_events", "audit_chain_heads"];

impl Victim {
    async fn new() -> Self {
        let stack = Stack::builder().with_database().start().await;
        let tokens = stack.app.start_session("ada").await;
        let bucket = audit::bucket_of(&tokens.session_id);
        let beside = (bucket + 64) % 4096;
        for version in 1..6 {
            if version == 4 {
                assert_eq!(stack.run_write_audit().await["anchor"], 1);
            }
            let tag = format!("\"{version}\"");
            stack.app.put(&tokens.session_id, &tag, json!({"data": {"n": version}})).await.expect(200);
        }
        let mut redis = stack.redis().connection().await;
        audit::queue(&mut redis, &[QueuedEvent::new(beside, "beside-1"), QueuedEvent::new(beside, "beside-2")]).await;
        assert_eq!(stack.run_write_audit().await["anchor"], 2);
        let client = stack.database().connect().await;
        for table in TABLES {
            client.batch_execute(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await.expect("a copy");
        }
        let auditor = Auditor::of(&stack).await;
        Self { stack, client, auditor, chain: bucket / 64, beside: beside / 64 }
    }

    async fn put_back(&self) {
        for table in TABLES {
            let statements = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}");
            self.client.batch_execute(&statements).await.expect("what it was");
        }
    }

    async fn touch(&self, statement: &str) {
        let statement = statement.replace("CHAIN", &self.chain.to_string());
        self.client.batch_execute(&statement).await.expect(&statement);
        let mut changed = false;
        for table in TABLES {
            let query = format!(
                "SELECT EXISTS ((TABLE {table} EXCEPT TABLE kept_{table}) UNION ALL (TABLE kept_{table} EXCEPT TABLE {table}))"
            );
            changed |= self.client.query_one(&query, &[]).await.expect("an answer").get::<_, bool>(0);
        }
        assert!(changed, "nothing was touched: {statement}");
    }

    /// What the endpoint finds.
    async fn endpoint(&self) -> Value {
        self.stack.app.request("GET", "/audit/verify").send().await.expect(200).json()
    }

    /// Both name this place and this kind.
    async fn assert_found(&self, chain: u16, sequence: i64, kind: &str, touch: &str) {
        let found = self.endpoint().await;
        let bad = &found["firstBad"];
        assert_eq!(found["intact"], false, "{touch}: {found}");
        assert_eq!(
            (&bad["chain"], &bad["sequence"], &bad["kind"]),
            (&json!(chain), &json!(sequence), &json!(kind)),
            "{touch}"
        );
        self.assert_found_offline(chain, sequence, kind, touch).await;
    }

    async fn assert_found_offline(&self, chain: u16, sequence: i64, kind: &str, touch: &str) {
        let line = format!("not intact: chain {chain}, place {sequence}: {kind}");
        for (code, text) in [self.auditor.verify_database().await, self.auditor.verify_dump(&self.client).await] {
            assert!(code == 1 && text.starts_with(&line), "{touch}: {code} {text}");
        }
    }
}

/// T-88: whoever edits, deletes, moves or adds a row, or cuts the end of a chain, is found, and so is the place.
#[tokio::test]
async fn t_88_every_touch_of_a_row_is_found_and_its_place_named() {
    let victim = Victim::new().await;
    let whole = victim.endpoint().await;
    assert_eq!((&whole["intact"], &whole["complete"]), (&json!(true), &json!(true)), "{whole}");
    assert_eq!((&whole["checkedEvents"], &whole["checkedChains"]), (&json!(8), &json!(64)));
    assert_eq!((&whole["anchor"]["number"], &whole["anchor"]["events"]), (&json!(2), &json!(8)));
    for (code, text) in [victim.auditor.verify_database().await, victim.auditor.verify_dump(&victim.client).await] {
        assert!(
            code == 0 && text.starts_with("intact: 8 events, 2 anchors, the last is number 2 of "),
            "{code} {text}"
        );
    }

    let at = |place: i64| format!("WHERE chain_group = CHAIN AND sequence = {place}");
    let third = at(3);
    let texts = ["event_id", "event_type", "application_id", "subject", "session_id", "actor", "reason", "request_id"];
    let edit = |change: String| (format!("UPDATE audit_events SET {change} {third}"), 3, "edited");
    let mut touches: Vec<(String, i64, &str)> =
        texts.iter().map(|column| edit(format!("{column} = {column} || 'x'"))).collect();
    touches.push(edit("detail = coalesce(detail, '') || 'x'".into()));
    touches.push(edit("sealed = coalesce(sealed, '') || '\\x00'".into()));
    touches.push(edit("hash = sha256('x')".into()));
    for column in ["occurred_at", "queued_at", "recorded_at"] {
        for step in ["1 ms", "1 microsecond"] {
            touches.push(edit(format!("{column} = {column} + interval '{step}'")));
        }
    }
    let shift = "UPDATE audit_events SET sequence = sequence + 1 WHERE chain_group = CHAIN AND sequence >= 3;";
    let copy = |place: i64, event: &str| {
        format!(
            "INSERT INTO audit_events (event_id, queued_at, occurred_at, recorded_at, chain_group, sequence, event_type, \
             application_id, subject, session_id, actor, reason, request_id, hash, detail, sealed) \
             SELECT '{event}', queued_at, occurred_at, recorded_at, chain_group, {place}, event_type, application_id, \
             subject, session_id, actor, reason, request_id, hash, detail, sealed FROM audit_events {};",
            at(2)
        )
    };
    touches.extend([
        (format!("UPDATE audit_events SET sealed = NULL {}", at(1)), 1, "edited"),
        (format!("UPDATE audit_events SET sealed = overlay(sealed PLACING '\\x00' FROM 20) {}", at(1)), 1, "edited"),
        (format!("DELETE FROM audit_events {}", at(1)), 1, "deleted"),
        (format!("DELETE FROM audit_events {third}"), 3, "deleted"),
        (format!("DELETE FROM audit_events {}", at(6)), 6, "tail_cut"),
        ("DELETE FROM audit_events WHERE chain_group = CHAIN".to_owned(), 1, "tail_cut"),
        (
            "UPDATE audit_events SET sequence = 7 - sequence WHERE chain_group = CHAIN AND sequence IN (3, 4)"
                .to_owned(),
            3,
            "reordered",
        ),
        (
            "UPDATE audit_events SET sequence = 7 - sequence WHERE chain_group = CHAIN AND sequence IN (2, 5)"
                .to_owned(),
            2,
            "reordered",
        ),
        (format!("UPDATE audit_events SET sequence = 17 {third}"), 3, "reordered"),
        (format!("{shift} {}", copy(3, "made-up")), 3, "inserted"),
        (copy(3, "zzz-made-up"), 3, "inserted"),
        (copy(7, "made-up"), 7, "inserted"),
        ("UPDATE audit_chain_heads SET sequence = sequence + 1 WHERE chain_group = CHAIN".to_owned(), 7, "tail_cut"),
        ("UPDATE audit_chain_heads SET hash = sha256('x') WHERE chain_group = CHAIN".to_owned(), 6, "edited"),
        ("DELETE FROM audit_chain_heads WHERE chain_group = CHAIN".to_owned(), 1, "edited"),
        // The end and the note of it, together: only the anchor knows better.
        (
            "DELETE FROM audit_events WHERE chain_group = CHAIN AND sequence > 4; UPDATE audit_chain_heads SET \
             (sequence, hash) = (SELECT sequence, hash FROM audit_events WHERE chain_group = CHAIN AND sequence = 4) \
             WHERE chain_group = CHAIN"
                .to_owned(),
            5,
            "tail_cut",
        ),
    ]);
    for (touch, sequence, kind) in touches {
        victim.touch(&touch).await;
        victim.assert_found(victim.chain, sequence, kind, &touch).await;
        victim.put_back().await;
    }

    let all =
        "DELETE FROM audit_events; UPDATE audit_chain_heads SET sequence = 0, hash = decode(repeat('00', 32), 'hex')";
    victim.touch(all).await;
    victim.assert_found(victim.chain.min(victim.beside), 1, "tail_cut", all).await;
    victim.put_back().await;
    assert_eq!(victim.endpoint().await["intact"], true);
}

/// T-88: a chain that was written anew from the middle on, hashes, head and all, is not the one that was anchored; and
/// the writer refuses to anchor it.
#[tokio::test]
async fn t_88_a_rewritten_chain_fits_itself_and_no_anchor() {
    let victim = Victim::new().await;
    let rows = audit::rows(&victim.client).await;
    let mut hash = GENESIS;
    for mut row in rows.into_iter().filter(|row| row.chain_group as u16 == victim.chain) {
        if row.sequence == 3 {
            row.event.reason = "another".into();
        }
        let at = |time: time::OffsetDateTime| Timestamp::from_millis((time.unix_timestamp_nanos() / 1_000_000) as i64);
        let times = Times { queued_at: at(row.queued_at), recorded_at: at(row.recorded_at) };
        hash = row.event.chain_hash(&hash, row.sequence, Some(times));
        let update = "UPDATE audit_events SET reason = $1, hash = $2 WHERE event_id = $3";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&row.event.reason, &hash.as_slice(), &row.event.event_id];
        assert_eq!(victim.client.execute(update, &values).await.expect("an update"), 1);
    }
    let update = "UPDATE audit_chain_heads SET hash = $1 WHERE chain_group = $2";
    let chain = victim.chain as i16;
    assert_eq!(victim.client.execute(update, &[&hash.as_slice(), &chain]).await.expect("an update"), 1);
    audit::verify(&victim.client).await;

    // The endpoint knows the last anchor, an auditor knows all of them.
    let found = victim.endpoint().await;
    let expected = json!({"chain": chain, "sequence": 6, "kind": "anchor_mismatch"});
    assert_eq!(
        (&found["firstBad"]["sequence"], &found["firstBad"]["kind"]),
        (&expected["sequence"], &expected["kind"])
    );
    assert!(found["firstBad"]["eventId"].is_string(), "{found}");
    victim.assert_found_offline(victim.chain, 4, "anchor_mismatch", "written anew").await;

    // What comes is written and acknowledged; it is not anchored, and the run says so.
    let stack = &victim.stack;
    stack.app.start_session("ada").await;
    let run = integration_tests::stack::scheduled_event(json!({}));
    let failed = stack.invoke("write-audit", &run).await.expect_err("nothing to anchor");
    assert!(failed.to_string().contains("DependencyUnavailable"), "{failed}");
    let log = stack.environment("write-audit", 0).await.log_text();
    assert!(log.contains(&format!("chain {chain} does not go on from anchor 2")), "{log}");
    assert_eq!(audit::rows(&victim.client).await.len(), 9);
    assert_eq!(integration_tests::auditor::anchors(stack).await.len(), 2);
}

/// T-88: an anchor that is not what was signed is found, by the endpoint, the offline command and the writer.
#[tokio::test]
async fn t_88_anchors_are_believed_for_their_signature_only() {
    let victim = Victim::new().await;
    let stack = &victim.stack;
    let last = victim.auditor.anchors().join("000000000002.json");
    let signed = std::fs::read_to_string(&last).expect("an anchor");
    for (from, to, problem) in [
        ("\\\"number\\\":2", "\\\"number\\\":3", "it can not be read"),
        ("\"events\\\":8", "\"events\\\":9", "its signature does not hold"),
        ("\"heads\":[\"0:00", "\"heads\":[\"0:01", "its signature does not hold"),
        ("\"statement\"", "\"declaration\"", "it can not be read"),
    ] {
        if !signed.contains(from) {
            // The chain of ada may be the first.
            assert!(from.contains("heads"), "{from} in {signed}");
            continue;
        }
        let forged = signed.replacen(from, to, 1);
        std::fs::write(&last, &forged).expect("a file");
        let expected = (1, format!("not intact: anchor 2: {problem}"));
        assert_eq!(victim.auditor.verify_database().await, expected);
        let put = stack.aws.s3.put_object().bucket(&stack.aws.anchors_bucket).key("anchors/000000000002.json");
        put.body(forged.into_bytes().into()).send().await.expect("the store of a thief");
        let found = victim.endpoint().await;
        let bad = json!({"chain": 0, "sequence": 0, "kind": "anchor_mismatch"});
        assert_eq!((&found["intact"], &found["firstBad"]), (&json!(false), &bad), "{found}");
    }
    // Without the last one, the one before it vouches for less; without any nothing is decided.
    std::fs::remove_file(&last).expect("a file");
    let (code, text) = victim.auditor.verify_database().await;
    assert!(code == 0 && text.contains("1 anchors, the last is number 1"), "{text}");
    std::fs::remove_file(victim.auditor.anchors().join("000000000001.json")).expect("a file");
    let (code, text) = victim.auditor.verify_database().await;
    assert!(code == 2 && text.starts_with("undecided: "), "{text}");
    assert_eq!(victim.auditor.run(&["--dump"]).await.0, 2);
    assert_eq!(victim.auditor.run(&["--dump", "/nowhere"]).await.0, 2);
}
