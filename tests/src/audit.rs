//! The audit as a test reads it, and a check of its chains that shares only the hash function with the service.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use serde_json::{Value, json};
use shared::core::audit::{AuditEvent, GENESIS, Times};
use shared::core::id::SessionId;
use shared::core::time::Timestamp;
use time::OffsetDateTime;
use tokio_postgres::Client;

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its chain.
    pub chain_group: i16,
    /// Its place in the chain.
    pub sequence: i64,
    /// What it tells.
    pub event: AuditEvent,
    /// When the store queued it.
    pub queued_at: OffsetDateTime,
    /// When it was written.
    pub recorded_at: OffsetDateTime,
    hash: Vec<u8>,
}

impl Row {
    fn times(&self) -> Times {
        let millis = |time: OffsetDateTime| Timestamp::from_millis((time.unix_timestamp_nanos() / 1_000_000) as i64);
        Times { queued_at: millis(self.queued_at), recorded_at: millis(self.recorded_at) }
    }
}

/// Every row, chain by chain.
pub async fn rows(client: &Client) -> Vec<Row> {
    let rows = client
        .query(
            "SELECT chain_group, sequence, event_id, occurred_at, event_type, application_id, subject, session_id, \
             actor, reason, request_id, queued_at, hash, detail, sealed, recorded_at FROM audit_events \
             ORDER BY chain_group, sequence, event_id",
            &[],
        )
        .await
        .expect("the audit can be read");
    let row = |row: &tokio_postgres::Row| {
        let occurred_at: OffsetDateTime = row.get(3);
        Row {
            chain_group: row.get(0),
            sequence: row.get(1),
            event: AuditEvent {
                event_id: row.get(2),
                occurred_at: Timestamp::from_millis((occurred_at.unix_timestamp_nanos() / 1_000_000) as i64),
                event_type: row.get(4),
                application_id: row.get(5),
                subject: row.get(6),
                session_id: row.get(7),
                actor: row.get(8),
                reason: row.get(9),
                request_id: row.get(10),
                detail: row.get::<_, Option<String>>(13).unwrap_or_default(),
                sealed: row.get::<_, Option<Vec<u8>>>(14).unwrap_or_default(),
            },
            queued_at: row.get(11),
            recorded_at: row.get(15),
            hash: row.get(12),
        }
    };
    rows.iter().map(row).collect()
}

/// What retention left of a run of rows.
struct Anchor {
    first: i64,
    previous: Vec<u8>,
    last: i64,
    hash: Vec<u8>,
}

enum Link {
    Row(Box<Row>),
    Anchor(Anchor),
}

/// What is wrong with the chains, one sentence each: rows and anchors follow each other without a gap, the hash of a row
/// is that of its content, no event has two rows, and the head is where the chain ends.
pub async fn violations(client: &Client) -> Vec<String> {
    let mut found = Vec::new();
    let mut chains = BTreeMap::<i16, BTreeMap<i64, Link>>::new();
    let mut ids = HashSet::new();
    for row in rows(client).await {
        let (group, sequence) = (row.chain_group, row.sequence);
        if !ids.insert(row.event.event_id.clone()) {
            found.push(format!("event {} has two rows", row.event.event_id));
        }
        if chains.entry(group).or_default().insert(sequence, Link::Row(Box::new(row))).is_some() {
            found.push(format!("chain {group} has two rows {sequence}"));
        }
    }
    for (group, anchor) in anchors(client).await {
        if chains.entry(group).or_default().insert(anchor.first, Link::Anchor(anchor)).is_some() {
            found.push(format!("chain {group} has an anchor where there is a row"));
        }
    }
    for (group, head, hash) in heads(client).await {
        let mut end = (0, GENESIS.to_vec());
        for (sequence, link) in chains.remove(&group).unwrap_or_default() {
            if sequence != end.0 + 1 {
                found.push(format!("chain {group} has a gap between {} and {sequence}", end.0));
            }
            end = match link {
                Link::Row(row) => {
                    let previous: [u8; 32] = end.1.try_into().unwrap_or_default();
                    if row.event.chain_hash(&previous, sequence, Some(row.times())).as_slice() != row.hash {
                        found.push(format!("chain {group} row {sequence} has another hash"));
                    }
                    (sequence, row.hash)
                }
                Link::Anchor(anchor) => {
                    if anchor.previous != end.1 {
                        found.push(format!("chain {group} anchor {sequence} follows another hash"));
                    }
                    (anchor.last, anchor.hash)
                }
            };
        }
        if end != (head, hash) {
            found.push(format!("chain {group} ends at {} and its head is at {head}", end.0));
        }
    }
    found.extend(chains.keys().map(|group| format!("chain {group} has no head")));
    found
}

/// Panics unless every chain is whole.
pub async fn verify(client: &Client) {
    let found = violations(client).await;
    assert!(found.is_empty(), "{found:#?}");
}

/// Everything that any column of any table of the database holds, as text.
pub async fn everything(client: &Client) -> String {
    let tables = client
        .query("SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'", &[])
        .await
        .expect("the tables can be listed");
    let mut text = String::new();
    for table in tables {
        let name: String = table.get(0);
        let rows = client.query(&format!("SELECT t::text FROM {name} AS t"), &[]).await.expect("a table can be read");
        rows.iter().for_each(|row| writeln!(text, "{name} {}", row.get::<_, String>(0)).expect("text grows"));
    }
    text
}

async fn anchors(client: &Client) -> Vec<(i16, Anchor)> {
    let query = "SELECT chain_group, first_sequence, previous_hash, last_sequence, last_hash FROM audit_chain_anchors";
    let rows = client.query(query, &[]).await.expect("anchors can be read");
    let anchor = |row: &tokio_postgres::Row| Anchor {
        first: row.get(1),
        previous: row.get(2),
        last: row.get(3),
        hash: row.get(4),
    };
    rows.iter().map(|row| (row.get(0), anchor(row))).collect()
}

async fn heads(client: &Client) -> Vec<(i16, i64, Vec<u8>)> {
    let rows = client.query("SELECT chain_group, sequence, hash FROM audit_chain_heads", &[]).await;
    rows.expect("heads can be read").iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// An outbox entry as the scripts write it, for tests that need more events than requests would give.
#[derive(Clone, Debug)]
pub struct QueuedEvent {
    /// Its bucket.
    pub bucket: u16,
    /// Stream id, `*` for the store's time.
    pub entry_id: String,
    /// Unique to the event.
    pub event_id: String,
}

impl QueuedEvent {
    /// An event of this name, queued now.
    pub fn new(bucket: u16, event_id: &str) -> Self {
        Self { bucket, entry_id: "*".to_owned(), event_id: event_id.to_owned() }
    }

    /// Queued at this instant by the store's clock.
    pub fn at(self, instant: OffsetDateTime) -> Self {
        Self { entry_id: format!("{}-*", instant.unix_timestamp_nanos() / 1_000_000), ..self }
    }

    /// The command that queues it.
    pub fn command(&self) -> redis::Cmd {
        let mut command = redis::cmd("XADD");
        command.arg(outbox(self.bucket)).arg(&self.entry_id);
        for (field, value) in self.fields() {
            command.arg(field).arg(value);
        }
        command
    }

    fn fields(&self) -> [(&'static str, String); 7] {
        let common: Value = json!({ "actor": "service", "requestId": "test", "at": 1_700_000_000_000_i64 });
        [
            ("i", self.event_id.clone()),
            ("t", "session.updated".to_owned()),
            ("r", String::new()),
            ("s", "AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
            ("u", "AAAAAAAA".to_owned()),
            ("a", "demo".to_owned()),
            ("c", common.to_string()),
        ]
    }
}

/// Queues many events.
pub async fn queue(connection: &mut redis::aio::MultiplexedConnection, events: &[QueuedEvent]) {
    for batch in events.chunks(500) {
        let mut pipeline = redis::pipe();
        for event in batch {
            pipeline.add_command(event.command()).ignore();
        }
        pipeline.exec_async(connection).await.expect("events can be queued");
    }
}

/// Name of a bucket's outbox.
pub fn outbox(bucket: u16) -> String {
    format!("o:{{b{bucket:03x}}}")
}

/// The bucket of a session, from its id.
pub fn bucket_of(session_id: &str) -> u16 {
    SessionId::parse(session_id).unwrap_or_else(|| panic!("{session_id} is no session id")).bucket().number()
}
