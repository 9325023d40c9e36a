//! Metrics and alerts: what every invocation measures, when rules fire, and who hears of it.

#[path = "monitoring/alerts.rs"]
mod alerts;
#[path = "monitoring/metrics.rs"]
mod metrics;
#[path = "monitoring/recovery.rs"]
mod recovery;
#[path = "monitoring/support.rs"]
mod support;
#[path = "monitoring/template.rs"]
mod template;
