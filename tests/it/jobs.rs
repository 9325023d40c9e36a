//! The scheduled jobs around sessions and the audit, and the migrations.

#[path = "jobs/migrations.rs"]
mod migrations;
#[path = "jobs/retention.rs"]
mod retention;
#[path = "jobs/sweep.rs"]
mod sweep;
