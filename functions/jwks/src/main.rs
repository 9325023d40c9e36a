use jwks::Published;
use lambda_http::Error;
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::keys::Keys;
use shared::adapters::http::run::run;
use shared::config::{AwsConfig, Environment, Tables, public_url};
use shared::service::key_store::KeyStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let aws = Aws::new(AwsConfig::from(&Environment)?);
    let published = Published {
        keys: KeyStore::new(Keys::new(aws.dynamodb(), Tables::from(&Environment).keys), None),
        issuer: public_url(&Environment)?,
    };
    run(|request| jwks::handle(&published, request)).await
}
