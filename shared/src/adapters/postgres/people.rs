//! What PostgreSQL keeps of one person: sealed audit fields and activities.

use super::{Database, classify};
use crate::core::audit::AuditEvent;
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::limits::EXPORT_BATCH;
use tokio_postgres::Client;

async fn count(client: &Client, statement: &str, subject: &str) -> Result<u64> {
    let row = client.query_one(statement, &[&subject]).await.map_err(|error| classify(&error))?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

/// Audit events of a subject with personal fields, and its activities.
pub async fn held(database: &Database, subject: &str) -> Result<(u64, u64)> {
    let client = database.client().await?;
    let sealed = "SELECT count(*) FROM audit_events WHERE subject = $1 AND sealed IS NOT NULL";
    let activities = "SELECT count(*) FROM activity WHERE subject = $1";
    Ok((count(&client, sealed, subject).await?, count(&client, activities, subject).await?))
}

/// Waits until no drainer holds the chain: one that read events before they were made nameless has then sealed what it
/// read, under the key that is about to go.
pub async fn wait_for_drainers(database: &Database, chain_group: i16) -> Result<()> {
    let client = database.client().await?;
    let lock = "SELECT audit_wait_for_drainer($1)";
    client.query(lock, &[&chain_group]).await.map(drop).map_err(|error| classify(&error))
}

/// Deletes the activities of a subject.
pub async fn delete_activities(database: &Database, subject: &str) -> Result<()> {
    let client = database.client().await?;
    let delete = "DELETE FROM activity WHERE subject = $1";
    client.execute(delete, &[&subject]).await.map(drop).map_err(|error| classify(&error))
}

/// A row of the audit about a person.
#[derive(Debug)]
pub struct AuditRow {
    /// Where it stands among those of its subject.
    pub position: String,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// The event.
    pub event: AuditEvent,
}

/// The next audit rows of a subject behind a position, in the order of the store's time.
pub async fn audit_after(database: &Database, subject: &str, position: &str) -> Result<Vec<AuditRow>> {
    let (micros, event_id) = position.split_once('/').unwrap_or(("0", ""));
    let micros: i64 = micros.parse().unwrap_or(0);
    let client = database.client().await?;
    let rows = client
        .query(
            "SELECT (extract(epoch FROM queued_at) * 1000000)::bigint, event_id, occurred_at, event_type, application_id, \
             session_id, actor, reason, request_id, detail, sealed FROM audit_events \
             WHERE subject = $1 AND queued_at >= to_timestamp($2::bigint::numeric / 1000000) \
             AND ((extract(epoch FROM queued_at) * 1000000)::bigint, event_id) > ($2, $3) \
             ORDER BY queued_at, event_id LIMIT $4",
            &[&subject, &micros, &event_id, &EXPORT_BATCH],
        )
        .await
        .map_err(|error| classify(&error))?;
    Ok(rows
        .iter()
        .map(|row| {
            let (micros, event_id): (i64, String) = (row.get(0), row.get(1));
            let occurred_at: time::OffsetDateTime = row.get(2);
            AuditRow {
                position: format!("{micros}/{event_id}"),
                queued_at: Timestamp::from_millis(micros / 1000),
                event: AuditEvent {
                    event_id,
                    occurred_at: instant(occurred_at),
                    event_type: row.get(3),
                    application_id: row.get(4),
                    subject: subject.to_owned(),
                    session_id: row.get(5),
                    actor: row.get(6),
                    reason: row.get(7),
                    request_id: row.get(8),
                    detail: row.get::<_, Option<String>>(9).unwrap_or_default(),
                    sealed: row.get::<_, Option<Vec<u8>>>(10).unwrap_or_default(),
                },
            }
        })
        .collect())
}

/// A recorded activity of a person.
#[derive(Debug)]
pub struct ActivityRow {
    /// Where it stands among those of its subject.
    pub position: String,
    /// Unique to it.
    pub activity_id: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The application that recorded it.
    pub application_id: String,
    /// The session.
    pub session_id: String,
    /// What was done.
    pub name: String,
    /// Its properties, sealed; empty when there are none.
    pub sealed: Vec<u8>,
}

/// The next activities of a subject behind a position, in the order of the store's time.
pub async fn activities_after(database: &Database, subject: &str, position: &str) -> Result<Vec<ActivityRow>> {
    let (micros, activity_id) = position.split_once('/').unwrap_or(("0", ""));
    let micros: i64 = micros.parse().unwrap_or(0);
    let client = database.client().await?;
    let rows = client
        .query(
            "SELECT (extract(epoch FROM queued_at) * 1000000)::bigint, activity_id, occurred_at, application_id, session_id, \
             name, sealed FROM activity \
             WHERE subject = $1 AND queued_at >= to_timestamp($2::bigint::numeric / 1000000) \
             AND ((extract(epoch FROM queued_at) * 1000000)::bigint, activity_id) > ($2, $3) \
             ORDER BY queued_at, activity_id LIMIT $4",
            &[&subject, &micros, &activity_id, &EXPORT_BATCH],
        )
        .await
        .map_err(|error| classify(&error))?;
    let row = |row: &tokio_postgres::Row| {
        let (micros, activity_id): (i64, String) = (row.get(0), row.get(1));
        ActivityRow {
            position: format!("{micros}/{activity_id}"),
            activity_id,
            occurred_at: instant(row.get(2)),
            application_id: row.get(3),
            session_id: row.get(4),
            name: row.get(5),
            sealed: row.get::<_, Option<Vec<u8>>>(6).unwrap_or_default(),
        }
    };
    Ok(rows.iter().map(row).collect())
}

fn instant(at: time::OffsetDateTime) -> Timestamp {
    Timestamp::from_millis(i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}
