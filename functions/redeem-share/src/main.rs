use lambda_http::Error;
use shared::adapters::http::run::run;
use shared::core::keyring::Purpose;
use shared::service::runtime::Service;

const RINGS: &[Purpose] = &[Purpose::Token];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let service = Service::from_environment(RINGS)?;
    service.warm_up(RINGS).await;
    run(|request| redeem_share::handle(&service, request)).await
}
