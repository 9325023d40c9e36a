//! The functional core: synchronous, without I/O, clock or randomness. `now` and random bytes are arguments.
//!
//! Nothing below this module may name tokio, an SDK, a store driver or the system clock; a test reads the sources
//! and holds the rule.

pub mod access_token;
pub mod activity;
pub mod admission;
pub mod analytics;
pub mod application;
pub mod application_key;
pub mod assurance;
pub mod attributes;
pub mod audit;
pub mod audit_personal;
pub mod backoff;
pub mod client_jws;
pub mod context;
pub mod crypto;
pub mod dbsc;
pub mod device;
pub mod device_tag;
pub mod device_trust;
pub mod dpop;
pub mod end_reason;
pub mod envelope;
pub mod family;
pub mod fingerprint;
pub mod id;
pub mod json;
pub mod jwt_provider;
pub mod keyring;
pub mod ledger;
pub mod lock;
pub mod nonce;
pub mod notice;
pub mod place;
pub mod policy;
pub mod public_key;
pub mod rate;
pub mod receiver;
pub mod receiver_url;
pub mod record;
pub mod refresh_decision;
pub mod refresh_token;
pub mod risk;
pub mod sealed_document;
pub mod server_metadata;
pub mod session;
pub mod set;
pub mod share_code;
pub mod standing;
pub mod step_up;
pub mod target_uri;
pub mod time;
pub mod user_agent;
pub mod webhook;
