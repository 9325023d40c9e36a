use console::Pages;
use lambda_http::Error;
use shared::adapters::http::run::run;
use shared::config::{Environment, account_parent_origins};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start();
    let pages = Pages { parent_origins: account_parent_origins(&Environment)? };
    run(|request| console::handle(&pages, request)).await
}
