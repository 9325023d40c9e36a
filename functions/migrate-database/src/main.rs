use lambda_runtime::{Error, run, service_fn};
use shared::config::{AwsConfig, Environment, PostgresConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let (database, aws) = (PostgresConfig::from(&Environment)?, AwsConfig::from(&Environment)?);
    run(service_fn(|event| migrate_database::handle(&database, &aws, event))).await
}
