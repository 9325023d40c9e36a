//! Redis: the authority for live sessions.

pub mod bucket_keys;
pub mod connection;
pub mod fence;
pub mod keys;
pub mod outbox;
pub mod scripts;
