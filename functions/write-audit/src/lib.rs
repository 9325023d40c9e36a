//! Scheduled: drains the outboxes into the audit, hands over what receivers want to hear, and anchors what is written.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::{BucketRange, diagnostic, work_until};
use shared::adapters::postgres;
use shared::clock;
use shared::config::{AwsConfig, PostgresConfig};
use shared::error::Result;
use shared::service::anchors::Anchors;
use shared::service::audit_drain::{Drain, Drained, drain};

/// What the job holds for the life of its environment.
pub struct Job {
    /// Redis, receivers and keys.
    pub drain: Drain,
    /// The series of anchors.
    pub anchors: Anchors,
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
    let drained = drain(&job.drain, &mut database, range.first, range.last, until).await;
    // Also after a run that failed half-way: the rows it has written are there. Its own failure is told first.
    let anchored = Box::pin(job.anchors.anchor(&mut database)).await;
    let mut drained = drained?;
    drained.anchor = anchored?;
    Ok(drained)
}
