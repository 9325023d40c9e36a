//! Scheduled: drains the outboxes into the audit, and hands over what receivers want to hear.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::{BucketRange, diagnostic, work_until};
use shared::adapters::postgres;
use shared::clock;
use shared::config::{AwsConfig, PostgresConfig};
use shared::error::Result;
use shared::service::audit_drain::{Drain, Drained, drain};

/// What the job holds for the life of its environment.
pub struct Job {
    /// Redis, receivers and keys.
    pub drain: Drain,
    /// PostgreSQL; one connection per run.
    pub database: PostgresConfig,
    /// Credentials for IAM authentication.
    pub aws: AwsConfig,
}

/// Drains the buckets of the event.
pub async fn handle(job: &Job, event: LambdaEvent<Value>) -> std::result::Result<Drained, Diagnostic> {
    run(job, event).await.map_err(diagnostic)
}

async fn run(job: &Job, event: LambdaEvent<Value>) -> Result<Drained> {
    let range = BucketRange::from_event(&event.payload)?;
    let mut database = postgres::connect(&job.database, Some(&job.aws), clock::now()).await?;
    let until = work_until(&event.context);
    drain(&job.drain, &mut database, range.first, range.last, until).await
}
