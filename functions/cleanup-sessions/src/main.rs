use cleanup_sessions::Job;
use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::revocations::Revocations;
use shared::adapters::redis::connection::Connector;
use shared::config::{AwsConfig, Environment, PostgresConfig, RedisConfig, Tables};
use shared::service::state::State;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let aws = AwsConfig::from(&Environment)?;
    let ledger = Revocations::new(Aws::new(aws.clone()).dynamodb(), Tables::from(&Environment).revocations);
    let connector = Connector::new(RedisConfig::from(&Environment)?, Some(aws.clone()));
    let state = State::new(connector, Some(ledger));
    let job = Job { state, database: PostgresConfig::from(&Environment)?, aws };
    run(service_fn(|event| cleanup_sessions::handle(&job, event))).await
}
