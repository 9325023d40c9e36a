//! Webhooks and security event tokens: at least once, signed, off the request path, whatever fails on the way.

#[path = "webhooks/kills.rs"]
mod kills;
#[path = "webhooks/outages.rs"]
mod outages;
#[path = "webhooks/outbound.rs"]
mod outbound;
#[path = "webhooks/registration.rs"]
mod registration;
#[path = "webhooks/retries.rs"]
mod retries;
#[path = "webhooks/security_events.rs"]
mod security_events;
#[path = "webhooks/signed.rs"]
mod signed;
#[path = "webhooks/support.rs"]
pub(crate) mod support;
