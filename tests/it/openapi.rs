//! The OpenAPI document against the template, the code, and real responses of every operation.

mod answers_browsers;
mod answers_oauth;
mod answers_sessions;
mod answers_users;
mod api;
mod code;
mod contract;
mod examples;
mod proofs;
mod structure;
