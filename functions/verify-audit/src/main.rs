use lambda_http::Error;
use shared::adapters::anchors::AnchorStore;
use shared::adapters::aws::Aws;
use shared::adapters::http::run::run;
use shared::adapters::kms::Signer;
use shared::config::{AnchorConfig, AwsConfig, Environment, PostgresConfig, stack_name, stack_retention};
use shared::service::anchors::Anchors;
use shared::service::runtime::Service;
use shared::service::verify_audit::AuditVerifier;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let config = AwsConfig::from(source)?;
    let aws = Aws::new(config.clone());
    let AnchorConfig { series, location, key_id } = AnchorConfig::from(source)?;
    let store = AnchorStore::new(&location, || aws.s3());
    let verifier = AuditVerifier {
        service: Service::from_environment(&[])?,
        database: PostgresConfig::from(source)?,
        aws: config,
        anchors: Anchors::new(store, Signer::new(aws.kms(), key_id), series, stack_name(source)?),
        retention: stack_retention(source)?,
    };
    verifier.service.warm_up(&[]).await;
    run(|request| verify_audit::handle(&verifier, request)).await
}
