use cleanup_sessions::Job;
use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::applications::Applications;
use shared::config::{AwsConfig, Environment, PostgresConfig, Tables, stack_retention};
use shared::core::keyring::Purpose;
use shared::service::erase::Archive;
use shared::service::runtime::Service;

const RINGS: &[Purpose] = &[Purpose::Token];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let aws = AwsConfig::from(&Environment)?;
    let applications = Tables::from(&Environment).applications;
    let job = Job {
        service: Service::from_environment(RINGS)?,
        archive: Archive::from_environment()?,
        database: PostgresConfig::from(&Environment)?,
        applications: Applications::new(Aws::new(aws.clone()).dynamodb(), applications),
        retention: stack_retention(&Environment)?,
        aws,
    };
    run(service_fn(|event| cleanup_sessions::handle(&job, event))).await
}
