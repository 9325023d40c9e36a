use lambda_http::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::keys::Keys;
use shared::config::{AwsConfig, Environment, Tables};
use shared::service::key_store::KeyStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let aws = Aws::new(AwsConfig::from(&Environment)?);
    let keys = KeyStore::new(Keys::new(aws.dynamodb(), Tables::from(&Environment).keys), None);
    run(service_fn(|request| jwks::handle(&keys, request))).await
}
