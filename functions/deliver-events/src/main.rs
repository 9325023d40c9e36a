use lambda_runtime::{Error, run, service_fn};
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::applications::Applications;
use shared::adapters::dynamodb::deliveries::Deliveries;
use shared::adapters::dynamodb::keys::Keys;
use shared::adapters::kms::Kms;
use shared::adapters::outbound::Outbound;
use shared::adapters::sns::Topic;
use shared::config::{
    AwsConfig, Environment, Tables, alert_topic, kms_key_id, public_url, stack_name, webhook_allow_loopback,
};
use shared::service::deliver::Courier;
use shared::service::key_store::KeyStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let aws = Aws::new(AwsConfig::from(source)?);
    let tables = Tables::from(source);
    let allow_loopback = webhook_allow_loopback(source)?;
    let kms = Kms::new(aws.kms(), kms_key_id(source)?, stack_name(source)?);
    let courier = Courier {
        applications: Applications::new(aws.dynamodb(), tables.applications),
        deliveries: Deliveries::new(aws.dynamodb(), tables.deliveries),
        keys: KeyStore::new(Keys::new(aws.dynamodb(), tables.keys), Some(kms)),
        topic: Topic::new(aws.sns(), alert_topic(source)?),
        outbound: Outbound::new(Outbound::public_roots(), allow_loopback)?,
        issuer: public_url(source)?,
        allow_loopback,
    };
    run(service_fn(|event| deliver_events::handle(&courier, event))).await
}
