//! Reading a chain of the audit, link by link, a page at a time: what it takes does not depend on how long it is.

use super::classify;
use crate::core::audit::{AuditEvent, Times};
use crate::core::audit_verify::{Dropped, Link, Row};
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::limits::VERIFY_BATCH;
use std::collections::VecDeque;
use time::OffsetDateTime;
use tokio_postgres::GenericClient;

/// A chain that is being read.
pub struct ChainReader {
    group: i16,
    /// The last row that was read: place and event.
    after: (i64, String),
    rows: VecDeque<Row>,
    dropped: VecDeque<Dropped>,
    exhausted: bool,
}

impl ChainReader {
    /// Begins behind a place of a chain.
    pub async fn open(client: &impl GenericClient, group: i16, after: i64) -> Result<Self> {
        let query = "SELECT first_sequence, previous_hash, last_sequence, last_hash FROM audit_chain_anchors \
             WHERE chain_group = $1 AND last_sequence > $2 ORDER BY first_sequence, last_sequence";
        let rows = client.query(query, &[&group, &after]).await.map_err(|error| classify(&error))?;
        let run = |row: &tokio_postgres::Row| Dropped {
            first: row.get(0),
            previous: row.get(1),
            last: row.get(2),
            hash: row.get(3),
        };
        let dropped = rows.iter().map(run).collect();
        // No text sorts behind this one: rows of the very place are left out, whatever they are.
        let after = (after, "\u{10ffff}".to_owned());
        Ok(ChainReader { group, after, rows: VecDeque::new(), dropped, exhausted: false })
    }

    /// The next link.
    pub async fn next(&mut self, client: &impl GenericClient) -> Result<Option<Link>> {
        if self.rows.is_empty() && !self.exhausted {
            self.rows = self.page(client).await?;
            self.exhausted = self.rows.len() < usize::try_from(VERIFY_BATCH).unwrap_or(usize::MAX);
            if let Some(row) = self.rows.back() {
                self.after = (row.sequence, row.event.event_id.clone());
            }
        }
        let run_first = match (self.dropped.front(), self.rows.front()) {
            (Some(run), Some(row)) => run.first <= row.sequence,
            (run, _) => run.is_some(),
        };
        if run_first {
            return Ok(self.dropped.pop_front().map(Link::Dropped));
        }
        Ok(self.rows.pop_front().map(|row| Link::Row(Box::new(row))))
    }

    async fn page(&self, client: &impl GenericClient) -> Result<VecDeque<Row>> {
        let query = "SELECT sequence, event_id, occurred_at, event_type, application_id, subject, session_id, actor, \
             reason, request_id, hash, detail, sealed, queued_at, recorded_at FROM audit_events \
             WHERE chain_group = $1 AND (sequence, event_id COLLATE \"C\") > ($2, $3) \
             ORDER BY sequence, event_id COLLATE \"C\" LIMIT $4";
        let (sequence, event_id) = &self.after;
        let rows = client.query(query, &[&self.group, sequence, event_id, &VERIFY_BATCH]).await;
        Ok(rows.map_err(|error| classify(&error))?.iter().map(row).collect())
    }
}

fn row(row: &tokio_postgres::Row) -> Row {
    let (detail, sealed) = (row.get::<_, Option<String>>(11), row.get::<_, Option<Vec<u8>>>(12));
    let [(occurred_at, a), (queued_at, b), (recorded_at, c)] = [2, 13, 14].map(|column| instant(row.get(column)));
    // The writer leaves out what is empty.
    let empty = detail.as_ref().is_some_and(String::is_empty) || sealed.as_ref().is_some_and(Vec::is_empty);
    Row {
        sequence: row.get(0),
        event: AuditEvent {
            event_id: row.get(1),
            occurred_at,
            event_type: row.get(3),
            application_id: row.get(4),
            subject: row.get(5),
            session_id: row.get(6),
            actor: row.get(7),
            reason: row.get(8),
            request_id: row.get(9),
            detail: detail.unwrap_or_default(),
            sealed: sealed.unwrap_or_default(),
        },
        times: (b && c).then_some(Times { queued_at, recorded_at }),
        hash: row.get(10),
        exact: a && !empty,
    }
}

/// An instant in milliseconds, and whether it is a whole number of them.
fn instant(time: OffsetDateTime) -> (Timestamp, bool) {
    let nanos = time.unix_timestamp_nanos();
    let millis = i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MIN);
    (Timestamp::from_millis(millis), nanos.rem_euclid(1_000_000) == 0)
}
