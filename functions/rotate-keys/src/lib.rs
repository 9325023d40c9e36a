//! Scheduled: rotates the key rings; the first run makes them.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::dynamodb::keys::Keys;
use shared::adapters::jobs::serve;
use shared::adapters::kms::Kms;
use shared::clock;
use shared::service::rotate_keys::{Rotated, rotate_keys};

/// Brings every ring up to date.
pub async fn handle(keys: &Keys, kms: &Kms, _: LambdaEvent<Value>) -> Result<Rotated, Diagnostic> {
    serve(async { Ok(rotate_keys(keys, kms, clock::now()).await?) }).await
}
