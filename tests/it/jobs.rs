//! The scheduled jobs around sessions and the audit, and the migrations.

#[path = "jobs/application_retention.rs"]
mod application_retention;
#[path = "jobs/database_users.rs"]
mod database_users;
#[path = "jobs/migrations.rs"]
mod migrations;
#[path = "jobs/retention.rs"]
mod retention;
#[path = "jobs/sweep.rs"]
mod sweep;
