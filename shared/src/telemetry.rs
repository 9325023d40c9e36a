//! Logs: one JSON object per line, with the level Lambda asks for. Requests, bodies, tokens and addresses are never
//! fields; `lambda_http`'s own tracing of events stays off.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging; harmless when called again.
pub fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().and_then(|level| level.parse().ok());
    // Dependencies log wire details at debug, so only our own level follows the setting.
    let filter =
        Targets::new().with_default(LevelFilter::WARN).with_target("shared", level.unwrap_or(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_current_span(false);
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}
