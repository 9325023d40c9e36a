//! The audit: one row per change of state, in chains that show every later touch, whatever dies on the way.

#[path = "audit/anchoring.rs"]
mod anchoring;
#[path = "audit/bad_entries.rs"]
mod bad_entries;
#[path = "audit/drain.rs"]
mod drain;
#[path = "audit/events.rs"]
mod events;
#[path = "audit/kills.rs"]
mod kills;
#[path = "audit/older_entries.rs"]
mod older_entries;
#[path = "audit/personal.rs"]
mod personal;
#[path = "audit/query.rs"]
mod query;
#[path = "audit/refusals.rs"]
mod refusals;
#[path = "audit/tampering.rs"]
mod tampering;
