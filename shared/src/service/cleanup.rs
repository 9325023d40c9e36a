//! Cleaning up: expired sessions bucket by bucket, ends that Redis has not acknowledged, and retention of the audit.

use super::catch_up;
use super::runtime::operation;
use super::state::{State, run_on};
use crate::adapters::dynamodb::revocations::Revocations;
use crate::adapters::redis::connection;
use crate::adapters::redis::scripts::{self, Swept};
use crate::clock;
use crate::core::audit::Actor;
use crate::core::id::Bucket;
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::limits::SWEEP_BATCH;
use serde::Serialize;

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
    /// Whether the time ran out first.
    pub more: bool,
}

/// Applies the ledger, then sweeps the buckets of a range until nothing is due or `until` has come.
pub async fn sweep(
    state: &State,
    ledger: &Revocations,
    first: Bucket,
    last: Bucket,
    until: Timestamp,
) -> Result<Cleaned> {
    let mut connection = state.connection().await?;
    Box::pin(catch_up::catch_up(&mut connection, ledger, clock::now())).await?;
    let mut cleaned = Cleaned::default();
    for bucket in Bucket::range(first, last) {
        loop {
            let now = clock::now();
            if now >= until {
                cleaned.more = true;
                return Ok(cleaned);
            }
            let operation = operation(&Actor::Service, "cleanup-sessions", now)?;
            let call = scripts::sweep(bucket, &operation, now);
            let reply = run_on(&mut connection, &call).await.map_err(|error| connection::classify(&error))?;
            let swept = scripts::swept(reply)?;
            add(&mut cleaned, swept);
            if swept.looked_at < SWEEP_BATCH as u64 {
                break;
            }
        }
    }
    Ok(cleaned)
}

fn add(cleaned: &mut Cleaned, swept: Swept) {
    cleaned.looked_at += swept.looked_at;
    cleaned.ended += swept.ended;
    cleaned.unreadable += swept.unreadable;
}
