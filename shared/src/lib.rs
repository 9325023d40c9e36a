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

/// Every function's: a request makes a few hundred small allocations, and this one finds room for them in a fraction of the
/// instructions that the C library's takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod adapters;
pub mod clock;
pub mod config;
pub mod core;
pub mod error;
pub mod limits;
pub mod random;
pub mod service;
pub mod telemetry;
