use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::applications::Applications;
use shared::adapters::dynamodb::keys::Keys;
use shared::adapters::kms::Kms;
use shared::config::{AwsConfig, Environment, Tables, kms_key_id, stack_name, stack_retention, webhook_allow_loopback};
use shared::service::key_store::KeyStore;
use shared::service::manage_applications::Desk;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let aws = Aws::new(AwsConfig::from(source)?);
    let tables = Tables::from(source);
    let kms = Kms::new(aws.kms(), kms_key_id(source)?, stack_name(source)?);
    let desk = Desk {
        applications: Applications::new(aws.dynamodb(), tables.applications),
        keys: KeyStore::new(Keys::new(aws.dynamodb(), tables.keys), Some(kms)),
        allow_loopback: webhook_allow_loopback(source)?,
        retention: stack_retention(source)?,
    };
    run(service_fn(|event| manage_applications::handle(&desk, event))).await
}
