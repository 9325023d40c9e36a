use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::applications::Applications;
use shared::config::{AwsConfig, Environment, Tables};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let aws = Aws::new(AwsConfig::from(&Environment)?);
    let applications = Applications::new(aws.dynamodb(), Tables::from(&Environment).applications);
    run(service_fn(|event| manage_applications::handle(&applications, event))).await
}
