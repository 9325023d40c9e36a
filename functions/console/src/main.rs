use console::Pages;
use lambda_http::{Error, run, service_fn};
use shared::config::{Environment, account_parent_origins};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let pages = Pages { parent_origins: account_parent_origins(&Environment)? };
    run(service_fn(|request| console::handle(&pages, request))).await
}
