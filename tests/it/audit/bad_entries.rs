use integration_tests::audit::{self, QueuedEvent};
use integration_tests::{Stack, json};
use redis::aio::MultiplexedConnection;
use redis::cmd;

const BUCKET: u16 = 77;

async fn queue_fields(connection: &mut MultiplexedConnection, fields: &[(&str, &[u8])]) {
    let mut command = cmd("XADD");
    command.arg(audit::outbox(BUCKET)).arg("*");
    for (name, value) in fields {
        command.arg(*name).arg(*value);
    }
    command.exec_async(connection).await.expect("XADD succeeds");
}

async fn waiting(connection: &mut MultiplexedConnection) -> usize {
    cmd("XLEN").arg(audit::outbox(BUCKET)).query_async(connection).await.expect("XLEN succeeds")
}

/// Entries that this release can not read neither stop a run nor keep it busy, and they are not thrown away.
#[tokio::test]
async fn unreadable_entries_stay_and_hold_up_nothing() {
    let stack = Stack::builder().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    // More than a batch of one bucket, twice over, in front of what can be read.
    let mut pipeline = redis::pipe();
    for number in 0..2500 {
        pipeline.cmd("XADD").arg(audit::outbox(BUCKET)).arg("*").arg("v2").arg(number).ignore();
    }
    pipeline.exec_async(&mut redis).await.expect("entries can be queued");
    let good: Vec<_> = (0..30).map(|number| QueuedEvent::new(BUCKET, &format!("good-{number}"))).collect();
    audit::queue(&mut redis, &good).await;
    let expected = json!({"taken": 30, "written": 30, "skippedChains": 0, "unreadable": 2500, "handedOver": 0, "more": false, "anchor": 1});
    assert_eq!(stack.run_write_audit().await, expected);
    assert_eq!(waiting(&mut redis).await, 2500);
    let again =
        json!({"taken": 0, "written": 0, "skippedChains": 0, "unreadable": 2500, "handedOver": 0, "more": false});
    assert_eq!(stack.run_write_audit().await, again);
    audit::queue(&mut redis, &[QueuedEvent::new(BUCKET, "late"), QueuedEvent::new(BUCKET + 1, "beside")]).await;
    assert_eq!(stack.run_write_audit().await["written"], 2);
    let client = stack.database().connect().await;
    audit::verify(&client).await;
    assert_eq!(audit::rows(&client).await.len(), 32);
}

/// Whatever an entry is made of, the events around it are written.
#[tokio::test]
async fn no_entry_poisons_its_batch() {
    let stack = Stack::builder().with_database().start().await;
    let mut redis = stack.redis().connection().await;
    let common = br#"{"actor":"service","requestId":"r","at":1700000000000}"#.as_slice();
    let whole: [(&str, &[u8]); 7] = [
        ("i", b"id"),
        ("t", b"session.updated"),
        ("r", b""),
        ("s", b"AAAAAAAAAAAAAAAAAAAAAA"),
        ("u", b"AAAAAAAA"),
        ("a", b"demo"),
        ("c", common),
    ];
    let mut bad: Vec<Vec<(&str, &[u8])>> = Vec::new();
    for missing in 0..whole.len() {
        bad.push(whole.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, field)| *field).collect());
    }
    let others: [(usize, &[u8]); 12] = [
        (0, b"nul\0nul"),
        (0, b"not utf-8 \xff"),
        (1, b"\0"),
        (2, b"\xc0\x80"),
        (3, b"not a session"),
        (5, b"\0demo"),
        (6, b"not json"),
        (6, b"[]"),
        (6, br#"{"actor":"service","requestId":"r"}"#),
        (6, br#"{"actor":"service","requestId":"r","at":"now"}"#),
        (6, br#"{"actor":"service","requestId":"\u0000","at":1}"#),
        (6, br#"{"actor":"service","requestId":"r","at":9223372036854775807}"#),
    ];
    for (at, value) in others {
        let mut entry = whole.to_vec();
        entry[at].1 = value;
        bad.push(entry);
    }
    for (number, entry) in bad.iter().enumerate() {
        queue_fields(&mut redis, entry).await;
        audit::queue(&mut redis, &[QueuedEvent::new(BUCKET, &format!("good-{number}"))]).await;
    }
    let drained = stack.run_write_audit().await;
    assert_eq!((&drained["written"], &drained["unreadable"]), (&json!(bad.len()), &json!(bad.len())));
    assert_eq!(waiting(&mut redis).await, bad.len());
    audit::verify(&stack.database().connect().await).await;
}
