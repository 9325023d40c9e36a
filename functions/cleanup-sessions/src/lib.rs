//! Scheduled: ends what has expired, applies the revocation ledger, finishes erasures, keeps partitions of audit and
//! activities, forgets minutes.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::{BucketRange, flag, serve, work_until};
use shared::adapters::postgres::{self, activity, audit, rollups};
use shared::clock;
use shared::config::{AwsConfig, PostgresConfig};
use shared::error::Result;
use shared::service::cleanup::{Cleaned, preview, sweep};
use shared::service::erase::{Archive, finish_erasures, replay_erasures};
use shared::service::runtime::Service;

/// What the job holds for the life of its environment.
pub struct Job {
    /// The stores of requests.
    pub service: Service,
    /// The stores of people.
    pub archive: Archive,
    /// PostgreSQL; one connection per run that looks after partitions.
    pub database: PostgresConfig,
    /// Credentials for IAM authentication.
    pub aws: AwsConfig,
}

/// Cleans the buckets of the event; the run for all buckets also finishes erasures and looks after the audit's partitions.
/// With `detail.dryRun` nothing is changed, and the answer counts what would be; with `detail.replayErasures` erasures are
/// run again over stores that were restored.
pub async fn handle(job: &Job, event: LambdaEvent<Value>) -> std::result::Result<Cleaned, Diagnostic> {
    serve(async { Ok(run(job, event).await?) }).await
}

async fn run(job: &Job, event: LambdaEvent<Value>) -> Result<Cleaned> {
    let range = BucketRange::from_event(&event.payload)?;
    let (state, until) = (&job.service.state, work_until(&event.context));
    let months = job.database.audit_retention_months;
    if flag(&event.payload, "dryRun")? {
        let mut counted = preview(state, range.first, range.last, clock::now()).await?;
        if !range.stated {
            let database = postgres::connect(&job.database, Some(&job.aws), clock::now()).await?;
            let (now, of_activity) = (clock::now(), job.database.activity_retention_months);
            counted.dropped_partitions = audit::count_past_retention(&database, "audit_events", months, now).await?
                + audit::count_past_retention(&database, "activity", of_activity, now).await?;
            counted.erasures = job.service.ledger.unfinished_erasures().await?.len() as u64;
        }
        return Ok(counted);
    }
    let mut cleaned = sweep(state, range.first, range.last, until).await?;
    if flag(&event.payload, "replayErasures")? {
        cleaned.erasures = replay_erasures(&job.service, &job.archive, clock::now()).await?;
    }
    if !range.stated {
        cleaned.more |= finish_erasures(&job.service, &job.archive, until).await?;
        let database = postgres::connect(&job.database, Some(&job.aws), clock::now()).await?;
        audit::ensure_coming_partitions(&database, clock::now()).await?;
        cleaned.dropped_partitions = audit::apply_retention(&database, months, clock::now()).await?;
        activity::ensure_coming_partitions(&database, clock::now()).await?;
        cleaned.dropped_partitions +=
            activity::apply_retention(&database, job.database.activity_retention_months, clock::now()).await?;
        rollups::forget(&database, clock::now()).await?;
    }
    Ok(cleaned)
}
