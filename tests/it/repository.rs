//! The repository as a whole: what has to agree with each other does.

#[path = "repository/documents.rs"]
mod documents;
#[path = "repository/events.rs"]
mod events;
#[path = "repository/files.rs"]
pub(crate) mod files;
#[path = "repository/layout.rs"]
mod layout;
#[path = "repository/scripts.rs"]
mod scripts;
#[path = "repository/security.rs"]
mod security;
#[path = "repository/sources.rs"]
pub mod sources;
#[path = "repository/stack.rs"]
mod stack;
#[path = "repository/supply.rs"]
mod supply;
