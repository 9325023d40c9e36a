//! Scheduled: drains the outboxes into the audit, hands over what receivers want to hear, and anchors what is written.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::{BucketRange, Failure, serve, work_until};
use shared::adapters::postgres;
use shared::clock;
use shared::config::{AwsConfig, PostgresConfig};
use shared::error::Error;
use shared::service::anchors::Anchors;
use shared::service::audit_drain::{Drain, Drained, drain, lag};

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
    serve(run(job, event)).await
}

async fn run(job: &Job, event: LambdaEvent<Value>) -> std::result::Result<Drained, Failure> {
    let range = BucketRange::from_event(&event.payload)?;
    let mut database = match postgres::connect(&job.database, Some(&job.aws), clock::now()).await {
        Ok(database) => database,
        Err(error) => return Err(behind(job, range, error).await),
    };
    let until = work_until(&event.context);
    let drained = match drain(&job.drain, &mut database, range.first, range.last, until).await {
        Ok(drained) => Ok(drained),
        Err(error) => Err(behind(job, range, error).await),
    };
    // Also after a run that failed half-way: the rows it has written are there. Its own failure is told first.
    let anchored = Box::pin(job.anchors.anchor(&mut database)).await;
    let mut drained = drained?;
    drained.anchor = anchored?;
    Ok(drained)
}

/// While nothing can be written, how far the audit falls behind is what people want to know.
async fn behind(job: &Job, range: BucketRange, error: Error) -> Failure {
    let lag = lag(&job.drain.state, range.first, range.last).await;
    Failure::after(error, lag.map_or_else(|_| Vec::new(), |lag| lag.measures(clock::now()).to_vec()))
}
