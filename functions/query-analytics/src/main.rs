use lambda_http::Error;
use shared::adapters::http::run::run;
use shared::adapters::postgres::Database;
use shared::config::{AwsConfig, Environment, PostgresConfig};
use shared::service::analytics::Analytics;
use shared::service::runtime::Service;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let source = &Environment;
    let database = Database::new(PostgresConfig::from(source)?, Some(AwsConfig::from(source)?));
    let analytics = Analytics { service: Service::from_environment(&[])?, database };
    analytics.service.warm_up(&[]).await;
    run(|request| query_analytics::handle(&analytics, request)).await
}
