use lambda_http::Error;
use shared::adapters::aws::Aws;
use shared::adapters::dynamodb::subject_keys::SubjectKeyTable;
use shared::adapters::http::run::run;
use shared::adapters::postgres::Database;
use shared::config::{AwsConfig, Environment, PostgresConfig, Tables};
use shared::core::keyring::Purpose;
use shared::service::query_audit::AuditReader;
use shared::service::runtime::Service;
use shared::service::subject_keys::SubjectKeys;

/// The one names users as the audit does, the other opens what is personal.
const RINGS: &[Purpose] = &[Purpose::Pseudonym, Purpose::Audit];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let config = AwsConfig::from(source)?;
    let table = SubjectKeyTable::new(Aws::new(config.clone()).dynamodb(), Tables::from(source).subject_keys);
    let reader = AuditReader {
        service: Service::from_environment(RINGS)?,
        database: Database::new(PostgresConfig::from(source)?, Some(config)),
        subject_keys: SubjectKeys::new(table),
    };
    reader.service.warm_up(RINGS).await;
    run(|request| query_audit::handle(&reader, request)).await
}
