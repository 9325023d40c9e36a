//! Alerts: what is watched, when an alert begins, and when it is over.

mod rate;
mod rules;
mod state;

pub use rate::{MINUTE_SECONDS, Minute, worst};
pub use rules::{Rule, Severity, Thresholds, WATCHED_EVENTS, watched};
pub use state::{Alert, Change, Requests, Samples, evaluate};
