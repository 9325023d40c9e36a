//! The session management service.
//!
//! ```text
//! functions/*  →  adapters::http, service   →  core (pure)
//!                 service                   →  adapters::{redis, dynamodb, postgres, kms}
//! ```
//!
//! * [`core`]: decisions and formats; no I/O, no clock, no randomness
//! * [`service`]: one file per operation: load, decide, commit
//! * [`adapters`]: Redis, DynamoDB, PostgreSQL, KMS, HTTP
//! * [`limits`]: every bound; [`error`]: every failure; [`config`]: every setting

pub mod adapters;
pub mod clock;
pub mod config;
pub mod core;
pub mod error;
pub mod limits;
pub mod random;
pub mod service;
pub mod telemetry;
