use lambda_runtime::{Error, run, service_fn};
use shared::adapters::redis::connection::Connector;
use shared::config::{AwsConfig, Environment, PostgresConfig, RedisConfig};
use shared::service::state::State;
use write_audit::Job;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let aws = AwsConfig::from(&Environment)?;
    let connector = Connector::new(RedisConfig::from(&Environment)?, Some(aws.clone()));
    let job = Job { state: State::new(connector, None), database: PostgresConfig::from(&Environment)?, aws };
    run(service_fn(|event| write_audit::handle(&job, event))).await
}
