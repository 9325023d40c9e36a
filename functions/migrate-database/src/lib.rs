//! Operator and deployments: applies the migrations.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::serve;
use shared::adapters::postgres;
use shared::adapters::postgres::migrate::{Migrated, migrate};
use shared::adapters::postgres::{activity, audit};
use shared::clock;
use shared::config::{AwsConfig, PostgresConfig};
use shared::error::Result;

/// Brings the schema up to date and makes the coming partitions.
pub async fn handle(
    database: &PostgresConfig,
    aws: &AwsConfig,
    _: LambdaEvent<Value>,
) -> std::result::Result<Migrated, Diagnostic> {
    serve(async { Ok(run(database, aws).await?) }).await
}

async fn run(database: &PostgresConfig, aws: &AwsConfig) -> Result<Migrated> {
    let now = clock::now();
    let mut client = postgres::connect(database, Some(aws), now).await?;
    let migrated = migrate(&mut client).await?;
    audit::ensure_coming_partitions(&client, now).await?;
    activity::ensure_coming_partitions(&client, now).await?;
    Ok(migrated)
}
