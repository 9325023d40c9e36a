//! Scheduled: ends what has expired, applies the revocation ledger, finishes erasures, keeps partitions of audit and
//! activities, removes what applications no longer keep, forgets minutes.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::dynamodb::applications::Applications;
use shared::adapters::jobs::{BucketRange, flag, serve, work_until};
use shared::adapters::postgres::{self, activity, audit, retention, rollups};
use shared::clock;
use shared::config::{AwsConfig, PostgresConfig};
use shared::core::retention::StackRetention;
use shared::error::Result;
use shared::service::cleanup::{Cleaned, Run, preview, retain, sweep};
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
    /// Applications and how long they keep what.
    pub applications: Applications,
    /// How long the stack keeps what.
    pub retention: StackRetention,
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
    let StackRetention { audit_months, activity_months, .. } = job.retention;
    if flag(&event.payload, "dryRun")? {
        let mut counted = preview(state, range.first, range.last, clock::now()).await?;
        if !range.stated {
            let database = postgres::connect(&job.database, Some(&job.aws), clock::now()).await?;
            let now = clock::now();
            counted.dropped_partitions = audit::count_past_retention(&database, "audit_events", audit_months, now)
                .await?
                + audit::count_past_retention(&database, "activity", activity_months, now).await?;
            counted.erasures = job.service.ledger.unfinished_erasures().await?.len() as u64;
            let applications = job.applications.all().await?;
            (counted.retention, counted.more) =
                retain(&database, applications, &job.retention, Run::Dry, until).await?;
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
        activity::ensure_coming_partitions(&database, clock::now()).await?;
        // Applications before the stack, so that a dry run has told of the very rows that go.
        let applications = job.applications.all().await?;
        let (retained, more) = retain(&database, applications, &job.retention, Run::Real, until).await?;
        (cleaned.retention, cleaned.more) = (retained, cleaned.more | more);
        cleaned.dropped_partitions = audit::apply_retention(&database, audit_months, clock::now()).await?;
        retention::join_runs(&database).await?;
        cleaned.dropped_partitions += activity::apply_retention(&database, activity_months, clock::now()).await?;
        rollups::forget(&database, clock::now()).await?;
    }
    Ok(cleaned)
}
