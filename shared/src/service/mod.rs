//! One file per operation: load, decide in [`crate::core`], commit. No HTTP, no SDK types.

pub mod applications;
pub mod audit_drain;
pub mod authenticate;
pub mod caches;
pub mod catch_up;
pub mod cleanup;
pub mod create;
pub mod device_bound;
pub mod end;
pub mod end_user;
pub mod get;
pub mod inbound;
pub mod introspect;
pub mod key_store;
pub mod list;
pub mod manage_applications;
pub mod possession;
pub mod present;
pub mod refresh;
pub mod revoke;
pub mod rotate_keys;
pub mod runtime;
pub mod session_data;
pub mod state;
pub mod token;
pub mod update;
