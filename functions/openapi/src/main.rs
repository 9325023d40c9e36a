use lambda_http::Error;
use shared::adapters::http::run::run;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    run(openapi::handle).await
}
