use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::revocations::Revocations;
use shared::adapters::redis::connection::Connector;
use shared::config::{AwsConfig, Environment, RedisConfig, Tables};
use shared::service::state::State;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let aws = AwsConfig::from(source)?;
    let home = Connector::new(RedisConfig::from(source)?, Some(aws.clone()));
    let target = RedisConfig::move_to(source)?.map(|target| Connector::new(target, Some(aws.clone())));
    let ledger = Revocations::new(Aws::new(aws).dynamodb(), Tables::from(source).revocations);
    let state = State::new(home, target, Some(ledger));
    run(service_fn(|event| move_sessions::handle(&state, event))).await
}
