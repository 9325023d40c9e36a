//! Scheduled: ends what has expired, applies the revocation ledger, keeps partitions of audit and activities, forgets minutes.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::{BucketRange, diagnostic, work_until};
use shared::adapters::postgres::{self, activity, audit, rollups};
use shared::clock;
use shared::config::{AwsConfig, PostgresConfig};
use shared::error::Result;
use shared::service::cleanup::{Cleaned, sweep};
use shared::service::state::State;

/// What the job holds for the life of its environment.
pub struct Job {
    /// Redis.
    pub state: State,
    /// PostgreSQL; one connection per run that looks after partitions.
    pub database: PostgresConfig,
    /// Credentials for IAM authentication.
    pub aws: AwsConfig,
}

/// Cleans the buckets of the event; the run for all buckets also looks after the audit's partitions.
pub async fn handle(job: &Job, event: LambdaEvent<Value>) -> std::result::Result<Cleaned, Diagnostic> {
    run(job, event).await.map_err(diagnostic)
}

async fn run(job: &Job, event: LambdaEvent<Value>) -> Result<Cleaned> {
    let range = BucketRange::from_event(&event.payload)?;
    let mut cleaned = sweep(&job.state, range.first, range.last, work_until(&event.context)).await?;
    if !range.stated {
        let database = postgres::connect(&job.database, Some(&job.aws), clock::now()).await?;
        audit::ensure_coming_partitions(&database, clock::now()).await?;
        cleaned.dropped_partitions =
            audit::apply_retention(&database, job.database.audit_retention_months, clock::now()).await?;
        activity::ensure_coming_partitions(&database, clock::now()).await?;
        cleaned.dropped_partitions +=
            activity::apply_retention(&database, job.database.activity_retention_months, clock::now()).await?;
        rollups::forget(&database, clock::now()).await?;
    }
    Ok(cleaned)
}
