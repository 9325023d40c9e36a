//! `make bench-audit`: how fast the audit is drained, against a bare COPY of the same rows in the same run.
//!
//! The drain is what is deployed: the release binary, one run per quarter of the buckets at once, with sealing, chain,
//! de-duplication and acknowledgement. The floor is the same rows, from memory, into a table of the same columns and
//! indexes: by one client and by four. Rounds of floor and drain alternate.
//!
//! Environment: what the test services print, `BENCH_EVENTS` (1,000,000), `BENCH_ROUNDS` (3), `BENCH_BINARY`.

use std::path::PathBuf;
use std::time::Instant;

use futures::future::join_all;
use integration_tests::audit;
use integration_tests::environment::{Environment, EnvironmentSpec};
use integration_tests::stack::scheduled_event;
use integration_tests::{Stack, json, settings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::core::attributes::Attributes;
use shared::core::crypto;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

const SEED: u64 = 7;
const USERS: u32 = 2_000;
const QUARTERS: [(u16, u16); 4] = [(0, 1023), (1024, 2047), (2048, 3071), (3072, 4095)];
const COLUMNS: &str = "event_id, queued_at, occurred_at, recorded_at, chain_group, sequence, event_type, application_id, \
    subject, session_id, actor, reason, request_id, hash, detail, sealed";

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (events, rounds) = (setting("BENCH_EVENTS", 1_000_000), setting("BENCH_ROUNDS", 3));
    let stack = Stack::builder().with_database().start().await;
    let client = stack.database().connect().await;
    let mut random = StdRng::seed_from_u64(SEED);
    let drainers = join_all((0..QUARTERS.len()).map(|_| drainer(&stack))).await;
    println!("| round | rows | bare COPY, 1 client | bare COPY, 4 clients | drain, 4 runs | drain / best COPY |");
    println!("|---|---|---|---|---|---|");
    // The key of a subject is made with its first event, once, by a write to DynamoDB: its local stand-in is no measure.
    queue(&stack, &mut random, 0, USERS as usize * 20).await;
    for (first, last) in QUARTERS {
        stack.run_scheduled("write-audit", json!({"firstBucket": first, "lastBucket": last})).await;
    }
    let share = events / rounds;
    for round in 1..=rounds {
        queue(&stack, &mut random, round, share).await;
        let before = count(&client).await;
        let begun = Instant::now();
        let runs = drainers.iter().zip(QUARTERS).map(async |(drainer, (first, last))| {
            let event = scheduled_event(json!({"firstBucket": first, "lastBucket": last}));
            drainer.invoke(&event).await.expect("a drain")
        });
        let drained = join_all(runs).await;
        let drain = share as f64 / begun.elapsed().as_secs_f64();
        let written: u64 = drained.iter().map(|run| run["written"].as_u64().unwrap_or_default()).sum();
        assert_eq!((written, count(&client).await - before), (share as u64, share as i64), "{drained:?}");
        let rows = client
            .query(&format!("SELECT {COLUMNS} FROM audit_events ORDER BY recorded_at DESC LIMIT {share}"), &[])
            .await
            .expect("the rows");
        let one = floor(&stack, &client, &rows, 1).await;
        let four = floor(&stack, &client, &rows, 4).await;
        let ratio = drain / one.max(four);
        println!("| {round} | {share} | {one:.0}/s | {four:.0}/s | {drain:.0}/s | {ratio:.2} |");
    }
    let found = audit::violations(&client).await;
    assert!(found.is_empty(), "{found:#?}");
    println!("\nEvery chain verifies; every event has exactly one row.");
}

/// The release binary as it is deployed; its variables are those of the template.
async fn drainer(stack: &Stack) -> Environment {
    let spec = EnvironmentSpec::new("write-audit");
    let binary = std::env::var_os("BENCH_BINARY").map_or(spec.binary.clone(), PathBuf::from);
    let mut variables = stack.aws.variables(&settings::moto_url());
    let tables = &stack.aws.tables;
    let values = [
        ("STACK_NAME", stack.name.clone()),
        ("MIMALLOC_ALLOW_THP", "0".to_owned()),
        ("REDIS_URL", stack.redis().url()),
        ("REDIS_CLUSTER", "false".to_owned()),
        ("DATABASE_URL", stack.database().url()),
        ("KMS_KEY_ID", stack.aws.kms_key_id.clone()),
        ("AUDIT_ANCHORS", format!("s3://{}/anchors", stack.aws.anchors_bucket)),
        ("AUDIT_ANCHOR_KEY_ID", stack.aws.anchor_key_id.clone()),
        ("APPLICATIONS_TABLE", tables.applications.clone()),
        ("DELIVERIES_TABLE", tables.deliveries.clone()),
        ("KEYS_TABLE", tables.keys.clone()),
        ("SUBJECT_KEYS_TABLE", tables.subject_keys.clone()),
    ];
    variables.extend(values.map(|(name, value)| (name.to_owned(), value)));
    Environment::spawn(EnvironmentSpec { binary, variables, timeout: std::time::Duration::from_secs(600), ..spec })
        .await
}

async fn count(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM audit_events", &[]).await.expect("a count").get(0)
}

/// Events as the scripts queue them: of a hundred, eight beginnings with all a record tells, eight ends, the rest
/// refreshes and changes.
async fn queue(stack: &Stack, random: &mut StdRng, round: usize, count: usize) {
    let mut redis = stack.redis().connection().await;
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";
    let mut number = 0;
    while number < count {
        let mut pipeline = redis::pipe();
        for _ in 0..2000.min(count - number) {
            number += 1;
            let user = random.random_range(0..USERS);
            let digest = crypto::hash(&[&user.to_be_bytes()]);
            let bucket = u16::from_be_bytes([digest[0], digest[1]]) % 4096;
            let session: [u8; 16] = random.random();
            let now = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
            let common = json!({"actor": "application", "requestId": crypto::encode(&session), "at": now}).to_string();
            let (kind, reason) = match random.random_range(0..100) {
                0..=7 => ("session.created", ""),
                8..=15 => ("session.ended", "user"),
                16..=69 => ("session.refreshed", ""),
                _ => ("session.updated", ""),
            };
            let mut command = redis::cmd("XADD");
            command
                .arg(audit::outbox(bucket))
                .arg("*")
                .arg("i")
                .arg(format!("{round}-{number}-{}", crypto::encode(&digest[..8])));
            command.arg("t").arg(kind).arg("r").arg(reason).arg("s").arg(crypto::encode(&session));
            command.arg("u").arg(crypto::encode(&digest[2..8])).arg("a").arg("demo").arg("c").arg(common);
            if kind == "session.created" {
                let attributes = Attributes {
                    user_id: format!("user-{user}"),
                    application_id: "demo".to_owned(),
                    device_type: Some("desktop".to_owned()),
                    device_name: Some("Laptop".to_owned()),
                    address_prefix: Some("203.0.113.0/24".to_owned()),
                    user_agent: Some(agent.to_owned()),
                    ..Attributes::default()
                };
                command.arg("p").arg(attributes.encode());
            }
            if kind == "session.ended" {
                let attributes = Attributes { device_type: Some("desktop".to_owned()), ..Attributes::default() };
                command.arg("p").arg(attributes.encode()).arg("b").arg(now - 600_000);
            }
            pipeline.add_command(command).ignore();
        }
        pipeline.exec_async(&mut redis).await.expect("events can be queued");
    }
}

/// Rows per second of a bare COPY by so many clients into a table of the same shape.
async fn floor(stack: &Stack, client: &Client, rows: &[Row], clients: usize) -> f64 {
    let table = "CREATE TABLE bench_floor (LIKE audit_events INCLUDING ALL)";
    client.batch_execute(table).await.expect("a table");
    let parts: Vec<&[Row]> = rows.chunks(rows.len().div_ceil(clients)).collect();
    let connections = join_all(parts.iter().map(|_| stack.database().connect())).await;
    let begun = Instant::now();
    join_all(parts.iter().zip(&connections).map(|(rows, client)| copy(client, rows))).await;
    let rate = rows.len() as f64 / begun.elapsed().as_secs_f64();
    client.batch_execute("DROP TABLE bench_floor").await.expect("it goes");
    rate
}

async fn copy(client: &Client, rows: &[Row]) {
    const TYPES: [Type; 16] = [
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::INT2,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::BYTEA,
        Type::TEXT,
        Type::BYTEA,
    ];
    let sink = client.copy_in(&format!("COPY bench_floor ({COLUMNS}) FROM STDIN BINARY")).await.expect("COPY begins");
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for row in rows {
        let texts: [&str; 8] = [0, 6, 7, 8, 9, 10, 11, 12].map(|column| row.get(column));
        let times: [time::OffsetDateTime; 3] = [1, 2, 3].map(|column| row.get(column));
        let (group, sequence): (i16, i64) = (row.get(4), row.get(5));
        let (hash, detail, sealed): (&[u8], Option<&str>, Option<&[u8]>) = (row.get(13), row.get(14), row.get(15));
        let [id, kind, application, subject, session, actor, reason, request] = &texts;
        let values: [&(dyn ToSql + Sync); 16] = [
            id,
            &times[0],
            &times[1],
            &times[2],
            &group,
            &sequence,
            kind,
            application,
            subject,
            session,
            actor,
            reason,
            request,
            &hash,
            &detail,
            &sealed,
        ];
        writer.as_mut().write(&values).await.expect("a row");
    }
    assert_eq!(writer.finish().await.expect("COPY ends"), rows.len() as u64);
}
