use cleanup_sessions::Job;
use lambda_runtime::{Error, run, service_fn};
use shared::config::{AwsConfig, Environment, PostgresConfig};
use shared::core::keyring::Purpose;
use shared::service::erase::Archive;
use shared::service::runtime::Service;

const RINGS: &[Purpose] = &[Purpose::Token];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let job = Job {
        service: Service::from_environment(RINGS)?,
        archive: Archive::from_environment()?,
        database: PostgresConfig::from(&Environment)?,
        aws: AwsConfig::from(&Environment)?,
    };
    run(service_fn(|event| cleanup_sessions::handle(&job, event))).await
}
