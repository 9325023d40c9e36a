use evaluate_alerts::Job;
use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::applications::Applications;
use shared::adapters::dynamodb::deliveries::Deliveries;
use shared::config::{AwsConfig, Environment, PostgresConfig, Tables, alert_thresholds};
use shared::service::receivers::Receivers;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let config = AwsConfig::from(source)?;
    let (aws, tables) = (Aws::new(config.clone()), Tables::from(source));
    let applications = Applications::new(aws.dynamodb(), tables.applications);
    let deliveries = Deliveries::new(aws.dynamodb(), tables.deliveries);
    let job = Job {
        database: PostgresConfig::from(source)?,
        receivers: Receivers::new(applications, deliveries),
        thresholds: alert_thresholds(source)?,
        aws: config,
    };
    run(service_fn(|event| evaluate_alerts::handle(&job, event))).await
}
