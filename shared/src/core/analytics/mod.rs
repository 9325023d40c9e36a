//! Analytics without a store: how events become increments of roll-ups, which roll-ups answer for a time, and what a
//! time is in a zone.
//!
//! A roll-up is keyed by application, metric, grain, start and key. Instants are those at which things happened by the
//! clock of the environment that caused them ([`super::audit::AuditEvent::occurred_at`]).

pub mod calendar;
pub mod distinct;
pub mod grain;
pub mod increments;
pub mod operation;
pub mod query;
pub mod report;
pub mod sample;
pub mod spread;

pub use calendar::{Interval, Slot, Zone};
pub use distinct::Distinct;
pub use grain::{Grain, Span};
pub use increments::{Increments, Metric};
pub use spread::Spread;

/// What stands for a country or a kind of device that is not known.
pub const UNKNOWN: &str = "unknown";
