//! Writing the audit: lock a chain, drop what is there already, link, COPY, count, move the head.

use super::activity::{self, QueuedActivity};
use super::{classify, rollups};
use crate::clock;
use crate::core::analytics::Increments;
use crate::core::analytics::sample::Sample;
use crate::core::attributes::Attributes;
use crate::core::audit::{AuditEvent, Times};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use std::collections::HashSet;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

/// An event on its way into the audit.
#[derive(Debug, Clone)]
pub struct QueuedEvent {
    /// When Redis queued it.
    pub queued_at: Timestamp,
    /// The event.
    pub event: AuditEvent,
    /// The session as its record had it, when the event tells: it is sealed or counted, never stored as it is.
    pub attributes: Option<Attributes>,
    /// When a session that ended had begun.
    pub began_at: Option<Timestamp>,
}

/// What an environment has measured, on its way into the roll-ups.
pub struct QueuedSample {
    /// Unique to the entry.
    pub sample_id: String,
    /// When Redis queued it.
    pub queued_at: Timestamp,
    /// The measurements.
    pub samples: Vec<Sample>,
}

/// What outboxes held.
#[derive(Default)]
pub struct Batch {
    /// For the chain.
    pub events: Vec<QueuedEvent>,
    /// Recorded activities, which are no part of it.
    pub activities: Vec<QueuedActivity>,
    /// What is only counted.
    pub samples: Vec<QueuedSample>,
}

/// A chain under the lock of one transaction.
pub struct Chain<'a> {
    transaction: Transaction<'a>,
    group: i16,
    sequence: i64,
    hash: [u8; 32],
}

impl<'a> Chain<'a> {
    /// Locks a chain; `None` when another drainer holds it.
    pub async fn lock(client: &'a mut Client, group: i16) -> Result<Option<Chain<'a>>> {
        let transaction = client.transaction().await.map_err(|error| classify(&error))?;
        let row = transaction
            .query_opt(
                "SELECT sequence, hash FROM audit_chain_heads WHERE chain_group = $1 FOR UPDATE SKIP LOCKED",
                &[&group],
            )
            .await
            .map_err(|error| classify(&error))?;
        let Some(row) = row else { return Ok(None) };
        let hash: Vec<u8> = row.get(1);
        let hash = hash.try_into().map_err(|_| Error::unavailable(Dependency::Postgres, "unreadable chain head"))?;
        Ok(Some(Chain { transaction, group, sequence: row.get(0), hash }))
    }

    /// Appends what is not there yet, counts exactly that in the roll-ups, and commits. Returns the number of audit rows
    /// written.
    pub async fn append(mut self, batch: Batch) -> Result<u64> {
        self.ensure_partitions(&batch.events).await?;
        let fresh = self.without_known(batch.events).await?;
        let written = if fresh.is_empty() { 0 } else { self.copy(&fresh).await? };
        let activities = activity::write(&self.transaction, batch.activities).await?;
        let samples: Vec<_> =
            batch.samples.iter().map(|queued| (queued.sample_id.as_str(), queued.queued_at)).collect();
        let mut uncounted = rollups::fresh_samples(&self.transaction, &samples).await?;
        let mut increments = Increments::default();
        for queued in &fresh {
            increments.event(&queued.event, queued.attributes.as_ref(), queued.began_at);
        }
        for queued in &activities {
            queued.count(&mut increments);
        }
        for queued in batch.samples.iter().filter(|queued| uncounted.remove(&queued.sample_id)) {
            queued.samples.iter().for_each(|sample| increments.sample(sample));
        }
        rollups::apply(&self.transaction, increments).await?;
        self.transaction
            .execute(
                "UPDATE audit_chain_heads SET sequence = $2, hash = $3 WHERE chain_group = $1",
                &[&self.group, &self.sequence, &self.hash.as_slice()],
            )
            .await
            .map_err(|error| classify(&error))?;
        self.transaction.commit().await.map_err(|error| classify(&error))?;
        Ok(written)
    }

    async fn ensure_partitions(&self, events: &[QueuedEvent]) -> Result<()> {
        let months: HashSet<_> = events
            .iter()
            .map(|queued| queued.queued_at.to_offset_date_time().date())
            .filter_map(|date| date.replace_day(1).ok())
            .collect();
        for month in months {
            self.transaction
                .execute("SELECT audit_ensure_partition($1)", &[&month])
                .await
                .map_err(|error| classify(&error))?;
        }
        Ok(())
    }

    /// Drops events whose id has a row already or came earlier in the batch: a drainer died between commit and
    /// acknowledgement, or a script ran twice. A day around the batch covers what a store rollback can repeat.
    async fn without_known(&self, events: Vec<QueuedEvent>) -> Result<Vec<QueuedEvent>> {
        let ids: Vec<&str> = events.iter().map(|queued| queued.event.event_id.as_str()).collect();
        let (Some(first), Some(last)) =
            (events.iter().map(|queued| queued.queued_at).min(), events.iter().map(|queued| queued.queued_at).max())
        else {
            return Ok(events);
        };
        let day = time::Duration::days(1);
        let rows = self
            .transaction
            .query(
                "SELECT event_id FROM audit_events WHERE event_id = ANY($1) AND queued_at BETWEEN $2 AND $3",
                &[&ids, &(first.to_offset_date_time() - day), &(last.to_offset_date_time() + day)],
            )
            .await
            .map_err(|error| classify(&error))?;
        let mut known: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
        Ok(events.into_iter().filter(|queued| known.insert(queued.event.event_id.clone())).collect())
    }

    async fn copy(&mut self, events: &[QueuedEvent]) -> Result<u64> {
        const COLUMNS: [Type; 16] = [
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
        let sink = self
            .transaction
            .copy_in(
                "COPY audit_events (event_id, queued_at, occurred_at, recorded_at, chain_group, sequence, event_type, \
                 application_id, subject, session_id, actor, reason, request_id, hash, detail, sealed) FROM STDIN BINARY",
            )
            .await
            .map_err(|error| classify(&error))?;
        let writer = BinaryCopyInWriter::new(sink, &COLUMNS);
        let mut writer = std::pin::pin!(writer);
        let recorded_at = clock::now();
        for queued in events {
            let event = &queued.event;
            self.sequence += 1;
            let times = Times { queued_at: queued.queued_at, recorded_at };
            self.hash = event.chain_hash(&self.hash, self.sequence, Some(times));
            let hash = self.hash.as_slice();
            let detail = Some(&event.detail).filter(|detail| !detail.is_empty());
            let sealed = Some(event.sealed.as_slice()).filter(|sealed| !sealed.is_empty());
            let [queued_at, occurred_at, recorded_at] =
                [queued.queued_at, event.occurred_at, recorded_at].map(Timestamp::to_offset_date_time);
            let row: [&(dyn ToSql + Sync); 16] = [
                &event.event_id,
                &queued_at,
                &occurred_at,
                &recorded_at,
                &self.group,
                &self.sequence,
                &event.event_type,
                &event.application_id,
                &event.subject,
                &event.session_id,
                &event.actor,
                &event.reason,
                &event.request_id,
                &hash,
                &detail,
                &sealed,
            ];
            writer.as_mut().write(&row).await.map_err(|error| classify(&error))?;
        }
        writer.finish().await.map_err(|error| classify(&error))
    }
}

/// Makes the partitions of this month and the next two, so that a drain never has to.
pub async fn ensure_coming_partitions(client: &Client, now: Timestamp) -> Result<()> {
    let today = now.to_offset_date_time().date();
    client
        .execute(
            "SELECT audit_ensure_partition(($1::date + make_interval(months => ahead))::date) FROM generate_series(0, 2) AS ahead",
            &[&today],
        )
        .await
        .map_err(|error| classify(&error))?;
    Ok(())
}

/// Drops the months that retention no longer keeps; returns how many partitions went.
pub async fn apply_retention(client: &Client, months: u32, now: Timestamp) -> Result<u32> {
    let today = now.to_offset_date_time().date();
    let months = i32::try_from(months).unwrap_or(i32::MAX);
    let row = client
        .query_one("SELECT audit_drop_before(($1::date - make_interval(months => $2))::date)", &[&today, &months])
        .await
        .map_err(|error| classify(&error))?;
    let dropped: i32 = row.get(0);
    Ok(u32::try_from(dropped).unwrap_or(0))
}

/// How many months of a partitioned table (`audit_events`, `activity`) retention would drop.
pub async fn count_past_retention(client: &Client, table: &str, months: u32, now: Timestamp) -> Result<u32> {
    let today = now.to_offset_date_time().date();
    let months = i32::try_from(months).unwrap_or(i32::MAX);
    let row = client
        .query_one(
            "SELECT count(*) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
             WHERE inhparent = to_regclass($3) \
             AND relname < $3 || '_' || to_char($1::date - make_interval(months => $2), 'YYYYMM')",
            &[&today, &months, &table],
        )
        .await
        .map_err(|error| classify(&error))?;
    Ok(u32::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}
