//! Operators only: moves all sessions from one Redis to another while both serve.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::adapters::jobs::{BucketRange, flag, serve, work_until};
use shared::service::move_sessions::{Moved, move_sessions, preview};
use shared::service::state::State;

/// Moves the buckets of the event. With `detail.dryRun` nothing is changed, and the answer counts what is left to move.
pub async fn handle(state: &State, event: LambdaEvent<Value>) -> Result<Moved, Diagnostic> {
    serve(async {
        let range = BucketRange::from_event(&event.payload)?;
        let until = work_until(&event.context);
        match flag(&event.payload, "dryRun")? {
            true => Ok(preview(state, range.first, range.last, until).await?),
            false => Ok(move_sessions(state, range.first, range.last, until).await?),
        }
    })
    .await
}
