//! Recorded activities, and reports that are what a plain count over the raw events is.

#[path = "analytics/activity.rs"]
mod activity;
#[path = "analytics/kills.rs"]
mod kills;
#[path = "analytics/performance.rs"]
mod performance;
#[path = "analytics/plan.rs"]
mod plan;
#[path = "analytics/reports.rs"]
mod reports;
#[path = "analytics/traffic.rs"]
mod traffic;
