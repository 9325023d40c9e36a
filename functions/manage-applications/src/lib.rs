//! Operator: manages applications, their keys and their receivers.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::diagnostic;
use shared::clock;
use shared::error::Error;
use shared::service::manage_applications::{Answer, Command, Desk, manage};

/// Carries out the command of the payload.
pub async fn handle(desk: &Desk, event: LambdaEvent<Value>) -> Result<Answer, Diagnostic> {
    let payload = event.payload.to_string();
    let command = Command::parse(payload.as_bytes()).map_err(|error| Error::InvalidRequest(vec![error]));
    manage(desk, command.map_err(diagnostic)?, clock::now()).await.map_err(diagnostic)
}
