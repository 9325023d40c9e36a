//! Logs: one JSON object per line, with the level Lambda asks for. Requests, bodies, tokens and addresses are never
//! fields; `lambda_http`'s own tracing of events stays off.
//!
//! Every invocation ends with one line that is its metrics as well (`core/metrics.rs`). It is written whatever the
//! level, since alarms need it; the levels that the template allows let it pass.

mod sink;

use crate::clock;
use crate::config::{self, Environment};
use crate::core::metrics::{Field, Invocation, Line, Measure, Origin, plain_directive};
use serde_json::value::RawValue;
use sink::{Lines, STANDARD_OUTPUT};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What the line of an invocation takes, mostly.
const LINE_BYTES: usize = 768;

/// Starts logging; harmless when called again.
pub fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().and_then(|level| level.parse().ok());
    // Dependencies log wire details at debug, so only our own level follows the setting.
    let filter =
        Targets::new().with_default(LevelFilter::WARN).with_target("shared", level.unwrap_or(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_writer(|| Lines(&STANDARD_OUTPUT));
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    // What a panic says may be of anybody; where it was is enough, in a line like any other.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panicked");
    }));
}

/// Whether this is the first invocation of the environment; true once.
pub fn cold_start() -> bool {
    static WARM: AtomicBool = AtomicBool::new(false);
    !WARM.swap(true, Ordering::Relaxed)
}

/// Writes the line of an invocation.
pub fn invocation(invocation: &Invocation, measures: &[Measure], fields: &[(&'static str, Field<'_>)]) {
    static ORIGIN: OnceLock<(Origin, Box<RawValue>)> = OnceLock::new();
    // A function is of one kind for all its life.
    let (origin, plain) = ORIGIN.get_or_init(|| {
        let origin = config::origin(&Environment);
        let plain = plain_directive(&origin, invocation.kind).unwrap_or_else(|| RawValue::NULL.to_owned());
        (origin, plain)
    });
    let line = Line { origin, at: clock::now(), invocation, measures, fields, plain };
    let mut text = Vec::with_capacity(LINE_BYTES);
    if serde_json::to_writer(&mut text, &line).is_ok() {
        text.push(b'\n');
        STANDARD_OUTPUT.write_line(&text);
    }
}
