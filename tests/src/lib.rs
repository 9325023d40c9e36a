//! Harness of the integration tests.
//!
//! Every test drives the real function binaries, each in a process of its own, through the Lambda Runtime API, against
//! real Redis, PostgreSQL and the moto servers. A test starts from [`Stack::start`] or [`Stack::builder`]:
//!
//! ```no_run
//! # async fn example() {
//! use integration_tests::{Stack, json};
//!
//! let stack = Stack::start().await;
//! let response = stack.app.create_session(json!({ "userId": "ada" })).await;
//! assert_eq!(response.status, 201);
//! # }
//! ```
//!
//! | module | what it stands for |
//! |---|---|
//! | [`runtime_api`], [`environment`], [`fleet`] | Lambda: one process per environment, one invocation at a time |
//! | [`gateway`], [`routes`], [`template`] | API Gateway HTTP API, routed by `template.yaml` |
//! | [`stores`] | private Redis, PostgreSQL database, DynamoDB tables, KMS key |
//! | [`proxy`] | a network that counts, delays and breaks |
//! | [`http_front`] | real HTTP before the gateway, for clients that are programs of their own |
//! | [`client_key`] | a client's key and its proofs of possession |
//! | [`clock`] | the wall clock of the processes |
//! | [`mmdb`] | a file of places |
//! | [`outbox`] | events that are not in the audit yet |
//! | [`audit`] | rows of the audit, and whether its chains are whole |
//! | [`response_rules`] | what every HTTP response must look like |
//! | [`secrets`] | credentials that must never reach a log |
//!
//! The variables the harness reads are listed in [`settings`].

pub mod application;
pub mod audit;
pub mod auditor;
pub mod client_key;
pub mod clock;
pub mod environment;
mod eventually;
pub mod fleet;
pub mod gateway;
pub mod http_front;
pub mod journey;
pub mod mmdb;
pub mod outbox;
pub mod proxy;
pub mod request;
pub mod response;
pub mod response_rules;
pub mod routes;
pub mod runtime_api;
pub mod secrets;
pub mod settings;
mod signal;
pub mod stack;
pub mod stores;
pub mod template;
pub mod yaml;

pub use application::Application;
pub use client_key::ClientKey;
pub use clock::Clock;
pub use environment::{Environment, InvokeError};
pub use eventually::{eventually, eventually_within};
pub use fleet::Fleet;
pub use gateway::Gateway;
pub use proxy::TcpProxy;
pub use request::Request;
pub use response::Response;
pub use serde_json::{Value, json};
pub use stack::{Stack, StackBuilder};
