use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::applications::Applications;
use shared::adapters::dynamodb::deliveries::Deliveries;
use shared::adapters::redis::connection::Connector;
use shared::config::{AwsConfig, Environment, PostgresConfig, RedisConfig, Tables};
use shared::service::receivers::Receivers;
use shared::service::state::State;
use write_audit::Job;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let config = AwsConfig::from(source)?;
    let (aws, tables) = (Aws::new(config.clone()), Tables::from(source));
    let applications = Applications::new(aws.dynamodb(), tables.applications);
    let deliveries = Deliveries::new(aws.dynamodb(), tables.deliveries);
    let job = Job {
        state: State::new(Connector::new(RedisConfig::from(source)?, Some(config.clone())), None),
        receivers: Receivers::new(applications, deliveries),
        database: PostgresConfig::from(source)?,
        aws: config,
    };
    run(service_fn(|event| write_audit::handle(&job, event))).await
}
