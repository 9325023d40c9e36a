use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::keys::Keys;
use shared::adapters::kms::Kms;
use shared::config::{AwsConfig, Environment, Tables, kms_key_id, stack_name};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let aws = Aws::new(AwsConfig::from(source)?);
    let keys = Keys::new(aws.dynamodb(), Tables::from(source).keys);
    let kms = Kms::new(aws.kms(), kms_key_id(source)?, stack_name(source)?);
    run(service_fn(|event| rotate_keys::handle(&keys, &kms, event))).await
}
