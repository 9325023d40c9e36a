//! The OpenAPI document against the template, the code, and real responses of every operation.

mod answers_analytics;
mod answers_audit;
mod answers_browsers;
mod answers_devices;
mod answers_locks;
mod answers_oauth;
mod answers_pages;
mod answers_privacy;
mod answers_rates;
mod answers_risk;
mod answers_sessions;
mod answers_sharing;
mod answers_users;
mod api;
pub(crate) mod code;
mod contract;
mod credentials;
mod examples;
mod proofs;
mod sharing;
mod structure;
