//! Cleaning up: expired sessions bucket by bucket, ends that Redis has not acknowledged, and retention of the audit.

use super::runtime::operation;
use super::state::State;
use crate::adapters::postgres::retention;
use crate::adapters::redis::{keys, scripts};
use crate::clock;
use crate::core::application::Application;
use crate::core::audit::Actor;
use crate::core::id::Bucket;
use crate::core::metrics::{Measure, Measured};
use crate::core::retention::{Cut, DataClass, StackRetention};
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::limits::{SWEEP_BATCH, SWEEP_CONCURRENCY};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use redis::FromRedisValue;
use serde::Serialize;
use tokio_postgres::Client;

/// What a run did.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleaned {
    /// Entries of expiry queues looked at.
    pub looked_at: u64,
    /// Sessions ended.
    pub ended: u64,
    /// Records that this release can not read; they are left alone.
    pub unreadable: u64,
    /// Months of audit dropped.
    pub dropped_partitions: u32,
    /// Erasures run again, or waiting in a dry run.
    pub erasures: u64,
    /// Rows of applications that keep less than the stack: removed, or in a dry run those that would be.
    pub retention: Vec<Retained>,
    /// Whether the time ran out first.
    pub more: bool,
}

/// What an application's own retention removes of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retained {
    /// The application.
    pub application_id: String,
    /// The class of data.
    pub class: DataClass,
    /// What is from before goes.
    pub before: Timestamp,
    /// How many rows.
    pub rows: u64,
}

impl Measured for Cleaned {
    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::count("LookedAt", self.looked_at),
            Measure::count("Ended", self.ended),
            Measure::count("Unreadable", self.unreadable),
            Measure::count("DroppedPartitions", self.dropped_partitions.into()),
            Measure::count("RetainedRows", self.retention.iter().map(|retained| retained.rows).sum()),
            Measure::whether("Unfinished", self.more),
        ]
    }
}

/// Applies the ledger, then sweeps the buckets of a range until nothing is due or `until` has come.
pub async fn sweep(state: &State, first: Bucket, last: Bucket, until: Timestamp) -> Result<Cleaned> {
    state.bring_up_to_date().await?;
    // Most buckets have nothing due: what a sweep costs is waiting, and waiting is shared.
    let cleaned = stream::iter(Bucket::range(first, last))
        .map(|bucket| sweep_bucket(state, bucket, until))
        .buffer_unordered(SWEEP_CONCURRENCY)
        .try_fold(Cleaned::default(), |sum, bucket| future::ready(Ok(sum.with(&bucket))))
        .await?;
    let unreadable = cleaned.unreadable;
    if unreadable > 0 {
        tracing::warn!(unreadable, "session records that this release can not read");
    }
    Ok(cleaned)
}

/// What a sweep would look at: entries of expiry queues that are due. Nothing changes.
pub async fn preview(state: &State, first: Bucket, last: Bucket, now: Timestamp) -> Result<Cleaned> {
    state.bring_up_to_date().await?;
    let due = async |bucket: Bucket| {
        let mut count = redis::cmd("ZCOUNT");
        count.arg(keys::expiry_queue(bucket)).arg("-inf").arg(now.millis());
        let reply = state.command_in_job(&count).await?;
        Ok(u64::from_redis_value(reply).unwrap_or(0))
    };
    stream::iter(Bucket::range(first, last))
        .map(due)
        .buffer_unordered(SWEEP_CONCURRENCY)
        .try_fold(Cleaned::default(), |sum, due| future::ready(Ok(Cleaned { looked_at: sum.looked_at + due, ..sum })))
        .await
}

/// Applies the retention of every application, or only counts. Classes of which nothing goes are not listed. The second
/// value says whether the time ran out first.
pub async fn retain(
    database: &Client,
    mut applications: Vec<Application>,
    stack: &StackRetention,
    run: Run,
    until: Timestamp,
) -> Result<(Vec<Retained>, bool)> {
    let (now, mut retained, mut more) = (clock::now(), Vec::new(), false);
    applications.sort_by(|a, b| a.application_id.cmp(&b.application_id));
    for application in applications {
        let application_id = &application.application_id;
        for cut in stack.cuts(&application, now) {
            let rows = match run {
                Run::Dry => retention::count(database, application_id, cut).await?,
                Run::Real => {
                    let removed = retention::remove(database, application_id, cut, until).await?;
                    more |= removed.more;
                    removed.rows
                }
            };
            if rows > 0 {
                let Cut { class, before } = cut;
                tracing::info!(application_id, ?class, %before, rows, ?run, "retention of an application");
                retained.push(Retained { application_id: application_id.clone(), class, before, rows });
            }
        }
    }
    Ok((retained, more))
}

/// Whether retention is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is.
    Real,
    /// It is counted.
    Dry,
}

async fn sweep_bucket(state: &State, bucket: Bucket, until: Timestamp) -> Result<Cleaned> {
    let mut cleaned = Cleaned::default();
    loop {
        let now = clock::now();
        if now >= until {
            cleaned.more = true;
            return Ok(cleaned);
        }
        let operation = operation(&Actor::Service, "cleanup-sessions", now)?;
        let call = scripts::sweep(bucket, &operation, now);
        let swept = scripts::swept(state.run_in_job(&call).await?)?;
        cleaned.looked_at += swept.looked_at;
        cleaned.ended += swept.ended;
        cleaned.unreadable += swept.unreadable;
        if swept.looked_at < SWEEP_BATCH as u64 {
            return Ok(cleaned);
        }
    }
}

impl Cleaned {
    fn with(mut self, bucket: &Cleaned) -> Self {
        self.looked_at += bucket.looked_at;
        self.ended += bucket.ended;
        self.unreadable += bucket.unreadable;
        self.more |= bucket.more;
        self
    }
}
