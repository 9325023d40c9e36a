//! Scheduled: delivers events to the receivers of applications.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::{serve, work_until};
use shared::service::deliver::{Courier, Delivered, deliver};

/// Delivers what is due.
pub async fn handle(courier: &Courier, event: LambdaEvent<Value>) -> Result<Delivered, Diagnostic> {
    serve(async { Ok(deliver(courier, work_until(&event.context)).await?) }).await
}
