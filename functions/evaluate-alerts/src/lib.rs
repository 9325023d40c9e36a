//! Scheduled: evaluates the alert rules, and hands over what operators and applications have to hear.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::serve;
use shared::adapters::postgres;
use shared::clock;
use shared::config::{AwsConfig, PostgresConfig};
use shared::core::alerts::Thresholds;
use shared::error::Result;
use shared::service::alerts::{Evaluated, answers, watch};
use shared::service::receivers::Receivers;

/// What the job holds for the life of its environment.
pub struct Job {
    /// PostgreSQL; one connection per run.
    pub database: PostgresConfig,
    /// Receivers of notices.
    pub receivers: Receivers,
    /// From which values on rules fire.
    pub thresholds: Thresholds,
    /// Credentials for IAM authentication.
    pub aws: AwsConfig,
}

/// Evaluates every rule.
pub async fn handle(job: &Job, _: LambdaEvent<Value>) -> std::result::Result<Evaluated, Diagnostic> {
    serve(async { Ok(run(job).await?) }).await
}

async fn run(job: &Job) -> Result<Evaluated> {
    let now = clock::now();
    let mut database = postgres::connect(&job.database, Some(&job.aws), now).await?;
    let requests = answers(&database, now).await?;
    watch(&mut database, &job.receivers, &job.thresholds, requests, now).await
}
