//! Recorded activities: what is not there yet is copied in, in the transaction of a drain.

use super::classify;
use crate::core::activity::Activity;
use crate::core::analytics::Increments;
use crate::core::time::Timestamp;
use crate::error::Result;
use std::collections::{BTreeSet, HashSet};
use time::{Date, OffsetDateTime};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

/// A batch of activities on its way.
pub struct QueuedActivity {
    /// Unique to the batch.
    pub entry_id: String,
    /// When Redis queued it.
    pub queued_at: Timestamp,
    /// The application that recorded it.
    pub application_id: String,
    /// The user's pseudonym.
    pub subject: String,
    /// The session.
    pub session_id: String,
    /// The activities.
    pub activities: Vec<Activity>,
    /// Their sealed properties, in the same order; empty where there are none.
    pub sealed: Vec<Vec<u8>>,
}

impl QueuedActivity {
    /// The id of an activity by its place.
    pub fn activity_id(&self, place: usize) -> String {
        format!("{}.{place}", self.entry_id)
    }

    /// Counts every activity of the batch.
    pub fn count(&self, increments: &mut Increments) {
        for activity in &self.activities {
            increments.activity(&self.application_id, &self.subject, &self.session_id, activity.at());
        }
    }
}

/// Writes batches that have no rows yet and returns them. A batch is written whole, so its first row stands for it.
pub async fn write(transaction: &Transaction<'_>, batches: Vec<QueuedActivity>) -> Result<Vec<QueuedActivity>> {
    let (Some(first), Some(last)) =
        (batches.iter().map(|batch| batch.queued_at).min(), batches.iter().map(|batch| batch.queued_at).max())
    else {
        return Ok(batches);
    };
    for month in months(batches.iter().map(|batch| batch.queued_at)) {
        let ensured = transaction.execute("SELECT activity_ensure_partition($1)", &[&month]).await;
        ensured.map_err(|error| classify(&error))?;
    }
    let ids: Vec<String> = batches.iter().map(|batch| batch.activity_id(0)).collect();
    // A day around the batch covers what a store rollback can repeat.
    let day = time::Duration::days(1);
    let rows = transaction
        .query(
            "SELECT activity_id FROM activity WHERE activity_id = ANY($1) AND queued_at BETWEEN $2 AND $3",
            &[&ids, &(first.to_offset_date_time() - day), &(last.to_offset_date_time() + day)],
        )
        .await
        .map_err(|error| classify(&error))?;
    let mut known: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let fresh: Vec<_> = batches.into_iter().filter(|batch| known.insert(batch.activity_id(0))).collect();
    if !fresh.is_empty() {
        copy(transaction, &fresh).await?;
    }
    Ok(fresh)
}

fn months(instants: impl Iterator<Item = Timestamp>) -> BTreeSet<Date> {
    instants.filter_map(|instant| instant.to_offset_date_time().date().replace_day(1).ok()).collect()
}

async fn copy(transaction: &Transaction<'_>, batches: &[QueuedActivity]) -> Result<()> {
    const COLUMNS: [Type; 8] =
        [Type::TEXT, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::BYTEA];
    let sink = transaction
        .copy_in(
            "COPY activity (activity_id, queued_at, occurred_at, application_id, subject, session_id, name, sealed) \
             FROM STDIN BINARY",
        )
        .await
        .map_err(|error| classify(&error))?;
    let writer = BinaryCopyInWriter::new(sink, &COLUMNS);
    let mut writer = std::pin::pin!(writer);
    for batch in batches {
        let queued_at = batch.queued_at.to_offset_date_time();
        for (place, activity) in batch.activities.iter().enumerate() {
            let id = batch.activity_id(place);
            let occurred_at: OffsetDateTime = activity.at().to_offset_date_time();
            let sealed = batch.sealed.get(place).map(Vec::as_slice).filter(|sealed| !sealed.is_empty());
            let row: [&(dyn ToSql + Sync); 8] = [
                &id,
                &queued_at,
                &occurred_at,
                &batch.application_id,
                &batch.subject,
                &batch.session_id,
                &activity.name,
                &sealed,
            ];
            writer.as_mut().write(&row).await.map_err(|error| classify(&error))?;
        }
    }
    writer.finish().await.map_err(|error| classify(&error))?;
    Ok(())
}

/// Makes the partitions of this month and the next two, so that a drain never has to.
pub async fn ensure_coming_partitions(client: &Client, now: Timestamp) -> Result<()> {
    let today = now.to_offset_date_time().date();
    client
        .execute(
            "SELECT activity_ensure_partition(($1::date + make_interval(months => ahead))::date) FROM generate_series(0, 2) AS ahead",
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
        .query_one("SELECT activity_drop_before(($1::date - make_interval(months => $2))::date)", &[&today, &months])
        .await
        .map_err(|error| classify(&error))?;
    let dropped: i32 = row.get(0);
    Ok(u32::try_from(dropped).unwrap_or(0))
}
