//! Redis: the authority for live sessions.

pub mod connection;
pub mod keys;
pub mod outbox;
pub mod scripts;
