//! Logs: one JSON object per line, with the level Lambda asks for. Requests, bodies, tokens and addresses are never
//! fields; `lambda_http`'s own tracing of events stays off.

use tracing_subscriber::EnvFilter;

/// Starts logging; harmless when called again.
pub fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_else(|_| "info".into());
    // Dependencies log wire details at debug, so only our own level follows the setting.
    let filter = EnvFilter::new(format!("warn,shared={}", level.to_lowercase()));
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_env_filter(filter)
        .try_init();
}
