//! Writing the audit: lock chains, drop what is there already, link, COPY, count, move the heads.

use super::activity::{self, QueuedActivity};
use super::{classify, rollups};
use crate::clock;
use crate::core::analytics::Increments;
use crate::core::analytics::sample::Sample;
use crate::core::attributes::Attributes;
use crate::core::audit::{AuditEvent, Times};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use std::collections::{BTreeMap, HashSet};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

/// An event on its way into the audit.
#[derive(Debug, Clone)]
pub struct QueuedEvent {
    /// When Redis queued it.
    pub queued_at: Timestamp,
    /// The chain of its bucket.
    pub chain_group: i16,
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
    /// For the chain. Boxed: they are sorted and filtered, so that a pointer moves and not several hundred bytes.
    pub events: Vec<Box<QueuedEvent>>,
    /// Recorded activities, which are no part of it.
    pub activities: Vec<QueuedActivity>,
    /// What is only counted.
    pub samples: Vec<QueuedSample>,
}

/// Where a chain ends.
struct Head {
    sequence: i64,
    hash: [u8; 32],
}

/// An event at its place of a chain.
struct Linked<'a> {
    queued: &'a QueuedEvent,
    sequence: i64,
    hash: [u8; 32],
}

/// Chains under the lock of one transaction.
pub struct Chains<'a> {
    transaction: Transaction<'a>,
    heads: BTreeMap<i16, Head>,
}

impl<'a> Chains<'a> {
    /// Locks those of the chains that no other drainer holds.
    pub async fn lock(client: &'a mut Client, groups: &[i16]) -> Result<Chains<'a>> {
        let transaction = client.transaction().await.map_err(|error| classify(&error))?;
        // Statements over tens of thousands of ids look dear to the planner; compiling them takes longer than running them.
        transaction.batch_execute("SET LOCAL jit = off").await.map_err(|error| classify(&error))?;
        let rows = transaction
            .query(
                "SELECT chain_group, sequence, hash FROM audit_chain_heads WHERE chain_group = ANY($1)
                 ORDER BY chain_group FOR UPDATE SKIP LOCKED",
                &[&groups],
            )
            .await
            .map_err(|error| classify(&error))?;
        let head = |row: &Row| {
            let hash: Vec<u8> = row.get(2);
            let hash =
                hash.try_into().map_err(|_| Error::unavailable(Dependency::Postgres, "unreadable chain head"))?;
            Ok((row.get(0), Head { sequence: row.get(1), hash }))
        };
        Ok(Chains { heads: rows.iter().map(head).collect::<Result<_>>()?, transaction })
    }

    /// Whether this transaction has the chain.
    pub fn holds(&self, group: i16) -> bool {
        self.heads.contains_key(&group)
    }

    /// Appends what is not there yet, counts exactly that in the roll-ups, and commits. Returns the number of audit rows
    /// written. Events are of chains that it holds.
    pub async fn append(mut self, mut batch: Batch) -> Result<u64> {
        // In the order of the store's time, so that a month ends at one place of a chain and not once per bucket.
        batch.events.sort_by_key(|queued| (queued.chain_group, queued.queued_at));
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
        if written > 0 {
            self.move_heads().await?;
        }
        self.transaction.commit().await.map_err(|error| classify(&error))?;
        Ok(written)
    }

    async fn move_heads(&self) -> Result<()> {
        let groups: Vec<i16> = self.heads.keys().copied().collect();
        let sequences: Vec<i64> = self.heads.values().map(|head| head.sequence).collect();
        let hashes: Vec<&[u8]> = self.heads.values().map(|head| head.hash.as_slice()).collect();
        let moved = "UPDATE audit_chain_heads AS head SET sequence = moved.sequence, hash = moved.hash
             FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS moved (chain_group, sequence, hash)
             WHERE head.chain_group = moved.chain_group";
        self.transaction.execute(moved, &[&groups, &sequences, &hashes]).await.map_err(|error| classify(&error))?;
        Ok(())
    }

    async fn ensure_partitions(&self, events: &[Box<QueuedEvent>]) -> Result<()> {
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
    /// acknowledgement, or a script ran twice. A day around the batch covers what a store rollback can repeat. Each id is
    /// looked up in the index, in its order: left to itself the planner reads the month from end to end.
    #[expect(clippy::vec_box, reason = "as in a batch")]
    async fn without_known(&self, events: Vec<Box<QueuedEvent>>) -> Result<Vec<Box<QueuedEvent>>> {
        let mut ids: Vec<&str> = events.iter().map(|queued| queued.event.event_id.as_str()).collect();
        ids.sort_unstable_by_key(|id| (prefix(id), *id));
        let (Some(first), Some(last)) =
            (events.iter().map(|queued| queued.queued_at).min(), events.iter().map(|queued| queued.queued_at).max())
        else {
            return Ok(events);
        };
        let day = time::Duration::days(1);
        let rows = self
            .transaction
            .query(
                "SELECT wanted.id FROM unnest($1::text[]) AS wanted (id) CROSS JOIN LATERAL (
                     SELECT 1 FROM audit_events WHERE event_id = wanted.id AND queued_at BETWEEN $2 AND $3 OFFSET 0) AS found",
                &[&ids, &(first.to_offset_date_time() - day), &(last.to_offset_date_time() + day)],
            )
            .await
            .map_err(|error| classify(&error))?;
        if rows.is_empty() && ids.is_sorted_by(|one, next| one != next) {
            return Ok(events);
        }
        let mut known: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
        Ok(events.into_iter().filter(|queued| known.insert(queued.event.event_id.clone())).collect())
    }

    /// Gives events, in their order, the next places of their chains.
    fn link<'e>(&mut self, events: &'e [Box<QueuedEvent>], recorded_at: Timestamp) -> Result<Vec<Linked<'e>>> {
        let mut link = |queued: &'e QueuedEvent| {
            let not_held = || Error::Internal("an event of a chain that is not held".into());
            let head = self.heads.get_mut(&queued.chain_group).ok_or_else(not_held)?;
            head.sequence += 1;
            let times = Times { queued_at: queued.queued_at, recorded_at };
            head.hash = queued.event.chain_hash(&head.hash, head.sequence, Some(times));
            Ok(Linked { queued, sequence: head.sequence, hash: head.hash })
        };
        events.iter().map(|queued| link(queued)).collect()
    }

    async fn copy(&mut self, events: &[Box<QueuedEvent>]) -> Result<u64> {
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
        let mut rows = self.link(events, recorded_at)?;
        // A subject's rows and a session's lie side by side in their indexes: written in that order, pages are touched once.
        rows.sort_unstable_by_key(|row| (prefix(&row.queued.event.subject), row.sequence));
        for row in &rows {
            let event = &row.queued.event;
            let hash = row.hash.as_slice();
            let detail = Some(&event.detail).filter(|detail| !detail.is_empty());
            let sealed = Some(event.sealed.as_slice()).filter(|sealed| !sealed.is_empty());
            let [queued_at, occurred_at, recorded_at] =
                [row.queued.queued_at, event.occurred_at, recorded_at].map(Timestamp::to_offset_date_time);
            let columns: [&(dyn ToSql + Sync); 16] = [
                &event.event_id,
                &queued_at,
                &occurred_at,
                &recorded_at,
                &row.queued.chain_group,
                &row.sequence,
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
            writer.as_mut().write(&columns).await.map_err(|error| classify(&error))?;
        }
        writer.finish().await.map_err(|error| classify(&error))
    }
}

/// The first bytes of a text, which sort as the text does; subjects are no longer.
fn prefix(text: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
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
