use lambda_http::Error;
use shared::adapters::http::run::run;
use shared::core::keyring::Purpose;
use shared::service::erase::Archive;
use shared::service::runtime::Service;

const RINGS: &[Purpose] = &[Purpose::Pseudonym, Purpose::Data, Purpose::Audit];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let service = Service::from_environment(RINGS)?;
    let archive = Archive::from_environment()?;
    service.warm_up(RINGS).await;
    run(|request| export_user::handle(&service, &archive, request)).await
}
