//! Operator: manages applications, their keys and their receivers.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::{Failure, serve};
use shared::clock;
use shared::error::Error;
use shared::service::manage_applications::{Answer, Command, Desk, manage};

/// Carries out the command of the payload.
pub async fn handle(desk: &Desk, event: LambdaEvent<Value>) -> Result<Answer, Diagnostic> {
    serve(run(desk, event)).await
}

async fn run(desk: &Desk, event: LambdaEvent<Value>) -> Result<Answer, Failure> {
    let payload = event.payload.to_string();
    let command = Command::parse(payload.as_bytes()).map_err(|error| Error::InvalidRequest(vec![error]))?;
    Ok(manage(desk, command, clock::now()).await?)
}
