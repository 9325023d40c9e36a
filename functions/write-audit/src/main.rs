use lambda_runtime::{Error, run, service_fn};
use shared::adapters::anchors::AnchorStore;
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::applications::Applications;
use shared::adapters::dynamodb::deliveries::Deliveries;
use shared::adapters::dynamodb::keys::Keys;
use shared::adapters::dynamodb::subject_keys::SubjectKeyTable;
use shared::adapters::kms::{Kms, Signer};
use shared::adapters::redis::connection::Connector;
use shared::config::{
    AnchorConfig, AwsConfig, Environment, PostgresConfig, RedisConfig, Tables, kms_key_id, stack_name,
};
use shared::service::anchors::Anchors;
use shared::service::audit_drain::Drain;
use shared::service::key_store::KeyStore;
use shared::service::receivers::Receivers;
use shared::service::state::State;
use shared::service::subject_keys::SubjectKeys;
use write_audit::Job;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let config = AwsConfig::from(source)?;
    let (aws, tables) = (Aws::new(config.clone()), Tables::from(source));
    let dynamodb = aws.dynamodb();
    let kms = Kms::new(aws.kms(), kms_key_id(source)?, stack_name(source)?);
    let home = Connector::new(RedisConfig::from(source)?, Some(config.clone()));
    let target = RedisConfig::move_to(source)?.map(|target| Connector::new(target, Some(config.clone())));
    let drain = Drain {
        state: State::new(home, target, None),
        receivers: Receivers::new(
            Applications::new(dynamodb.clone(), tables.applications),
            Deliveries::new(dynamodb.clone(), tables.deliveries),
        ),
        keys: KeyStore::new(Keys::new(dynamodb.clone(), tables.keys), Some(kms)),
        subject_keys: SubjectKeys::new(SubjectKeyTable::new(dynamodb, tables.subject_keys)),
    };
    let AnchorConfig { series, location, key_id } = AnchorConfig::from(source)?;
    let store = AnchorStore::new(&location, || aws.s3());
    let anchors = Anchors::new(store, Signer::new(aws.kms(), key_id), series, stack_name(source)?);
    let job = Job { drain, anchors, database: PostgresConfig::from(source)?, aws: config };
    run(service_fn(|event| write_audit::handle(&job, event))).await
}
