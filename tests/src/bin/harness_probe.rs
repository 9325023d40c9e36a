//! A function for the tests of the harness itself: does as the event says.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var_os("PROBE_EXIT_AT_INIT").is_some() {
        std::process::exit(3);
    }
    lambda_runtime::run(service_fn(probe)).await
}

async fn probe(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (request, context) = event.into_parts();
    if let Some(line) = request["print"].as_str() {
        println!("{line}");
    }
    if let Ok(document) = std::env::var("PROBE_RESPOND") {
        return Ok(serde_json::from_str(&document)?);
    }
    if request["exit"] == true {
        std::process::exit(7);
    }
    if let Some(message) = request["fail"].as_str() {
        return Err(message.into());
    }
    let start = Instant::now();
    if let Some(milliseconds) = request["sleepMs"].as_u64() {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    if let Some(response) = request.get("respond") {
        return Ok(response.clone());
    }
    Ok(json!({
        "event": request,
        "requestId": context.request_id,
        "deadlineMs": context.deadline,
        "functionArn": context.invoked_function_arn,
        "traceId": context.xray_trace_id,
        "pid": std::process::id(),
        "nowMs": u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?,
        "sleptMs": u64::try_from(start.elapsed().as_millis())?,
        "variable": request["variable"].as_str().and_then(|name| std::env::var(name).ok()),
    }))
}
