//! Reading pages of an application's audit, newest first.

use super::classify;
use crate::core::audit::AuditEvent;
use crate::core::audit_page::{Filter, Position, SELDOM_CONDITION};
use crate::core::time::Timestamp;
use crate::error::Result;
use time::OffsetDateTime;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

/// A row as readers see it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it stands among all.
    pub position: Position,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// The event.
    pub event: AuditEvent,
}

/// Rows that a filter lets through, behind a position, newest first.
pub async fn page(client: &Client, filter: &Filter, after: Option<Position>, limit: i64) -> Result<Vec<Found>> {
    let mut conditions = vec!["application_id = $1".to_owned()];
    let mut values: Vec<Box<dyn ToSql + Sync + Send>> = vec![Box::new(filter.application_id.clone())];
    let mut add = |condition: &str, value: Box<dyn ToSql + Sync + Send>| {
        values.push(value);
        conditions.push(condition.replace('?', &format!("${}", values.len())));
    };
    if let Some(subject) = &filter.subject {
        add("subject = ?", Box::new(subject.clone()));
    }
    if let Some(session) = &filter.session {
        add("session_id = ?", Box::new(session.clone()));
    }
    if !filter.types.is_empty() {
        add("event_type = ANY(?)", Box::new(filter.types.clone()));
    }
    if let Some(from) = filter.from {
        add("queued_at >= ?", Box::new(from.to_offset_date_time()));
    }
    if let Some(to) = filter.to {
        add("queued_at < ?", Box::new(to.to_offset_date_time()));
    }
    if let Some(after) = after {
        add("queued_at <= ?", Box::new(after.queued_at.to_offset_date_time()));
        let (queued_at, group) = (Box::new(after.queued_at.to_offset_date_time()), Box::new(after.group));
        values.push(queued_at);
        values.push(group);
        values.push(Box::new(after.sequence));
        let last = values.len();
        let behind = format!("(queued_at, chain_group, sequence) < (${}, ${}, ${last})", last - 2, last - 1);
        conditions.push(behind);
    }
    if filter.is_seldom() {
        conditions.push(SELDOM_CONDITION.to_owned());
    }
    values.push(Box::new(limit));
    let query = format!(
        "SELECT event_id, occurred_at, recorded_at, event_type, application_id, subject, session_id, actor, reason, \
         request_id, detail, sealed, chain_group, sequence, queued_at FROM audit_events WHERE {} \
         ORDER BY queued_at DESC, chain_group DESC, sequence DESC LIMIT ${}",
        conditions.join(" AND "),
        values.len()
    );
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    let rows = client.query(&query, &values).await.map_err(|error| classify(&error))?;
    Ok(rows.iter().map(found).collect())
}

fn found(row: &tokio_postgres::Row) -> Found {
    let instant = |column: usize| {
        let nanos = row.get::<_, OffsetDateTime>(column).unix_timestamp_nanos();
        Timestamp::from_millis(i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(0))
    };
    Found {
        position: Position { queued_at: instant(14), group: row.get(12), sequence: row.get(13) },
        recorded_at: instant(2),
        event: AuditEvent {
            event_id: row.get(0),
            occurred_at: instant(1),
            event_type: row.get(3),
            application_id: row.get(4),
            subject: row.get(5),
            session_id: row.get(6),
            actor: row.get(7),
            reason: row.get(8),
            request_id: row.get(9),
            detail: row.get::<_, Option<String>>(10).unwrap_or_default(),
            sealed: row.get::<_, Option<Vec<u8>>>(11).unwrap_or_default(),
        },
    }
}
