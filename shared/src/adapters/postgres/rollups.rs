//! Roll-ups: added to in the transaction of a drain, read by reports.

use super::classify;
use crate::core::analytics::distinct::Distinct;
use crate::core::analytics::increments::{ANSWERS_FAILED, Increments, Metric, Row};
use crate::core::analytics::{Grain, Span, Spread};
use crate::core::crypto;
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::{ANALYTICS_MINUTES_KEEP_SECONDS, SAMPLE_KEEP_SECONDS};
use std::collections::BTreeMap;
use std::time::Duration;
use time::OffsetDateTime;
use tokio_postgres::{Client, GenericClient, Transaction};

/// Adds what is fresh. Drainers of one application take turns from here to their commit, which is next: its rows of this
/// minute are the same for all of them. The locks are taken in one order, so no two wait for each other.
pub async fn apply(transaction: &Transaction<'_>, increments: Increments) -> Result<()> {
    let unusable = || Error::Internal("a distinct count can not be made".into());
    let mut rollups = increments.rollups().ok_or_else(unusable)?;
    let rows = rollups.counts.keys().chain(rollups.distinct.keys()).chain(rollups.spreads.keys());
    let mut locks: Vec<i64> = rows.map(|row| lock_of(&row.application)).collect();
    locks.sort_unstable();
    locks.dedup();
    if locks.is_empty() {
        return Ok(());
    }
    let lock = "SELECT pg_advisory_xact_lock(number) FROM unnest($1::bigint[]) AS number";
    transaction.execute(lock, &[&locks]).await.map_err(|error| classify(&error))?;
    add_counts(transaction, &rollups.counts).await?;
    let found = stored(transaction, "rollup_distinct", rollups.distinct.keys()).await?;
    let mut sets: Vec<_> = rollups.distinct.values_mut().collect();
    for (index, sketch) in found {
        readable(sets.get_mut(index).is_some_and(|set| set.merge(&sketch)))?;
    }
    put(transaction, "rollup_distinct", rollups.distinct.iter().map(|(row, set)| (row, set.stored()))).await?;
    let found = stored(transaction, "rollup_spreads", rollups.spreads.keys()).await?;
    let mut spreads: Vec<_> = rollups.spreads.values_mut().collect();
    for (index, sketch) in found {
        readable(spreads.get_mut(index).is_some_and(|spread| spread.merge(&sketch)))?;
    }
    put(transaction, "rollup_spreads", rollups.spreads.iter().map(|(row, spread)| (row, spread.stored()))).await
}

/// A number of an application that nothing else locks.
fn lock_of(application: &str) -> i64 {
    let hash = crypto::hash(&[b"rollups of", application.as_bytes()]);
    i64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

fn readable(merged: bool) -> Result<()> {
    if merged { Ok(()) } else { Err(Error::unavailable(Dependency::Postgres, "a sketch of another release")) }
}

/// Rows as the columns of their key.
#[derive(Default)]
struct Columns<'a> {
    applications: Vec<&'a str>,
    metrics: Vec<&'static str>,
    grains: Vec<i16>,
    starts: Vec<OffsetDateTime>,
    keys: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut columns = Columns::default();
        for row in rows {
            columns.applications.push(&row.application);
            columns.metrics.push(row.metric.as_str());
            columns.grains.push(row.grain.code());
            columns.starts.push(row.start.to_offset_date_time());
            columns.keys.push(&row.key);
        }
        columns
    }
}

async fn add_counts(transaction: &Transaction<'_>, counts: &BTreeMap<Row, i64>) -> Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let Columns { applications, metrics, grains, starts, keys } = Columns::of(counts.keys());
    let counts: Vec<i64> = counts.values().copied().collect();
    transaction
        .execute(
            "INSERT INTO rollup_counts (application_id, metric, grain, starts_at, key, count)
             SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::timestamptz[], $5::text[], $6::bigint[])
             ON CONFLICT (application_id, metric, grain, starts_at, key)
             DO UPDATE SET count = rollup_counts.count + EXCLUDED.count",
            &[&applications, &metrics, &grains, &starts, &keys, &counts],
        )
        .await
        .map_err(|error| classify(&error))?;
    Ok(())
}

/// The sketches that are there, with the place of their row.
async fn stored(
    transaction: &Transaction<'_>,
    table: &str,
    rows: impl Iterator<Item = &Row>,
) -> Result<Vec<(usize, Vec<u8>)>> {
    let Columns { applications, metrics, grains, starts, keys } = Columns::of(rows);
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let query = format!(
        "SELECT wanted.place, found.sketch
         FROM unnest($1::text[], $2::text[], $3::smallint[], $4::timestamptz[], $5::text[])
              WITH ORDINALITY AS wanted(application_id, metric, grain, starts_at, key, place)
         CROSS JOIN LATERAL (
             SELECT sketch FROM {table} AS kept
             WHERE kept.application_id = wanted.application_id AND kept.metric = wanted.metric
               AND kept.grain = wanted.grain AND kept.starts_at = wanted.starts_at AND kept.key = wanted.key
             OFFSET 0) AS found"
    );
    let found = transaction.query(&query, &[&applications, &metrics, &grains, &starts, &keys]).await;
    let found = found.map_err(|error| classify(&error))?;
    // Places count from 1.
    Ok(found.iter().map(|row| (usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX), row.get(1))).collect())
}

async fn put<'a>(
    transaction: &Transaction<'_>,
    table: &str,
    rows: impl Iterator<Item = (&'a Row, Vec<u8>)>,
) -> Result<()> {
    let (rows, sketches): (Vec<&Row>, Vec<Vec<u8>>) = rows.unzip();
    if rows.is_empty() {
        return Ok(());
    }
    let Columns { applications, metrics, grains, starts, keys } = Columns::of(rows.into_iter());
    let query = format!(
        "INSERT INTO {table} (application_id, metric, grain, starts_at, key, sketch)
         SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::timestamptz[], $5::text[], $6::bytea[])
         ON CONFLICT (application_id, metric, grain, starts_at, key) DO UPDATE SET sketch = EXCLUDED.sketch"
    );
    let written = transaction.execute(&query, &[&applications, &metrics, &grains, &starts, &keys, &sketches]).await;
    written.map_err(|error| classify(&error))?;
    Ok(())
}

/// Of these samples, those that have not been counted; from here on they have.
pub async fn fresh_samples(
    transaction: &Transaction<'_>,
    samples: &[(&str, Timestamp)],
) -> Result<std::collections::HashSet<String>> {
    if samples.is_empty() {
        return Ok(std::collections::HashSet::new());
    }
    let ids: Vec<&str> = samples.iter().map(|(id, _)| *id).collect();
    let times: Vec<OffsetDateTime> = samples.iter().map(|(_, at)| at.to_offset_date_time()).collect();
    let rows = transaction
        .query(
            "INSERT INTO rollup_samples (sample_id, queued_at) SELECT * FROM unnest($1::text[], $2::timestamptz[])
             ON CONFLICT DO NOTHING RETURNING sample_id",
            &[&ids, &times],
        )
        .await
        .map_err(|error| classify(&error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Forgets minutes and samples that nobody needs any more.
pub async fn forget(client: &Client, now: Timestamp) -> Result<()> {
    let ago = |seconds: u64| now.to_offset_date_time() - Duration::from_secs(seconds);
    client
        .execute("SELECT rollup_forget($1, $2)", &[&ago(ANALYTICS_MINUTES_KEEP_SECONDS), &ago(SAMPLE_KEEP_SECONDS)])
        .await
        .map_err(|error| classify(&error))?;
    Ok(())
}

/// What a report reads: for each of its times the stretches that make it up.
#[derive(Default)]
pub struct Spans {
    slots: Vec<i32>,
    grains: Vec<i16>,
    firsts: Vec<OffsetDateTime>,
    pasts: Vec<OffsetDateTime>,
}

impl Spans {
    /// The stretches of the times, in their order.
    pub fn of(times: &[Vec<Span>]) -> Self {
        let mut spans = Spans::default();
        for (slot, time) in (0..).zip(times) {
            for span in time {
                spans.slots.push(slot);
                spans.grains.push(span.grain.code());
                spans.firsts.push(span.first.to_offset_date_time());
                spans.pasts.push(span.past.to_offset_date_time());
            }
        }
        spans
    }
}

/// Reads counters: one range of the primary key per stretch and metric, added up by the database.
pub const READ_COUNTS: &str = "\
    SELECT span.slot, wanted.metric, found.key, sum(found.count)::bigint
    FROM unnest($1::int[], $2::smallint[], $3::timestamptz[], $4::timestamptz[]) AS span(slot, grain, first, past)
    CROSS JOIN unnest($5::text[]) AS wanted(metric)
    CROSS JOIN LATERAL (
        SELECT key, sum(count) AS count FROM rollup_counts
        WHERE application_id = $6 AND metric = wanted.metric AND grain = span.grain
          AND starts_at >= span.first AND starts_at < span.past
        GROUP BY key) AS found
    GROUP BY 1, 2, 3";

/// Reads sketches of one table: one range of the primary key per stretch and metric.
fn read_sketches(table: &str) -> String {
    format!(
        "SELECT span.slot, wanted.metric, found.key, found.sketch
         FROM unnest($1::int[], $2::smallint[], $3::timestamptz[], $4::timestamptz[]) AS span(slot, grain, first, past)
         CROSS JOIN unnest($5::text[]) AS wanted(metric)
         CROSS JOIN LATERAL (
             SELECT key, sketch FROM {table}
             WHERE application_id = $6 AND metric = wanted.metric AND grain = span.grain
               AND starts_at >= span.first AND starts_at < span.past
             OFFSET 0) AS found"
    )
}

/// What was found, by place of the time, metric and key.
pub type Found<T> = BTreeMap<(usize, String, String), T>;

/// Counters of an application.
pub async fn counts(client: &Client, application: &str, spans: &Spans, metrics: &[Metric]) -> Result<Found<i64>> {
    let rows = read(client, READ_COUNTS, application, spans, metrics).await?;
    Ok(rows.iter().map(|row| (place(row), row.get(3))).collect())
}

/// Distinct counts of an application.
pub async fn distinct(client: &Client, application: &str, spans: &Spans, metrics: &[Metric]) -> Result<Found<u64>> {
    let mut found: Found<Distinct> = BTreeMap::new();
    for row in read(client, &read_sketches("rollup_distinct"), application, spans, metrics).await? {
        let set = match found.entry(place(&row)) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Distinct::new().ok_or_else(|| Error::Internal("a distinct count can not be made".into()))?)
            }
        };
        readable(set.merge(row.get(3)))?;
    }
    Ok(found.into_iter().map(|(place, set)| (place, set.count())).collect())
}

/// Spreads of an application.
pub async fn spreads(client: &Client, application: &str, spans: &Spans, metric: Metric) -> Result<Found<Spread>> {
    let mut found: Found<Spread> = BTreeMap::new();
    for row in read(client, &read_sketches("rollup_spreads"), application, spans, &[metric]).await? {
        readable(found.entry(place(&row)).or_default().merge(row.get(3)))?;
    }
    Ok(found)
}

fn place(row: &tokio_postgres::Row) -> (usize, String, String) {
    (usize::try_from(row.get::<_, i32>(0)).unwrap_or_default(), row.get(1), row.get(2))
}

async fn read(
    client: &Client,
    query: &str,
    application: &str,
    spans: &Spans,
    metrics: &[Metric],
) -> Result<Vec<tokio_postgres::Row>> {
    let metrics: Vec<&str> = metrics.iter().map(|metric| metric.as_str()).collect();
    let Spans { slots, grains, firsts, pasts } = spans;
    let rows = client.query(query, &[slots, grains, firsts, pasts, &metrics, &application]).await;
    rows.map_err(|error| classify(&error))
}

/// The share of requests of the whole service that failed (5xx) between two minutes, with the number of requests; `None`
/// when there was none.
pub async fn error_rate(client: &impl GenericClient, from: Timestamp, to: Timestamp) -> Result<Option<(f64, i64)>> {
    let row = client
        .query_one(
            "SELECT coalesce(sum(count), 0)::bigint,
                    coalesce(sum(count) FILTER (WHERE key LIKE '% ' || $4), 0)::bigint
             FROM rollup_counts
             WHERE application_id = '' AND metric = $1 AND grain = 0 AND starts_at >= $2 AND starts_at < $3",
            &[
                &Metric::Answers.as_str(),
                &Grain::Minute.floor(from).to_offset_date_time(),
                &to.to_offset_date_time(),
                &ANSWERS_FAILED,
            ],
        )
        .await
        .map_err(|error| classify(&error))?;
    let (all, failed): (i64, i64) = (row.get(0), row.get(1));
    Ok((all > 0).then(|| (failed as f64 / all as f64, all)))
}
