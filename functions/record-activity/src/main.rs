use lambda_http::{Error, run, service_fn};
use shared::service::runtime::Service;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let service = Service::from_environment(&[])?;
    service.warm_up(&[]).await;
    run(service_fn(|request| record_activity::handle(&service, request))).await
}
