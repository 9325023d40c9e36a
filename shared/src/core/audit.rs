//! Audit events: the vocabulary, their canonical bytes, and the hash chain over them.

use super::crypto;
use super::time::Timestamp;

/// What events tell of. The words are those of the outbox, the database and the documentation; scripts write them, so
/// a test holds the scripts to this list.
pub const EVENT_TYPES: [&str; 30] = [
    "session.created",
    "session.refreshed",
    "session.healed",
    "session.context_changed",
    "session.updated",
    "session.ended",
    "refresh.replayed",
    "user.revoked",
    "session.risk_raised",
    "session.risk_shadowed",
    "session.binding_refused",
    "device.registered",
    "device.changed",
    "device.revoked",
    "device.data_changed",
    "user.state_changed",
    "session.shared",
    "share.redeemed",
    "share.withdrawn",
    "share.refused",
    "session.stepped_up",
    "session.locked",
    "session.unlocked",
    "lock.refused",
    "security.probing",
    "request.refused",
    "session.key_bound",
    "session.key_refused",
    "user.privacy_changed",
    "user.erased",
];

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A backend with its key.
    Application,
    /// A person with a token of one of their sessions.
    Holder,
    /// A scheduled job or the service itself.
    Service,
}

impl Actor {
    /// The word in the audit.
    pub fn as_str(&self) -> &'static str {
        match self {
            Actor::Application => "application",
            Actor::Holder => "holder",
            Actor::Service => "service",
        }
    }
}

/// What an operation says of itself in each of its events: a JSON object. It carries no credential and nothing
/// personal.
pub fn common(actor: &Actor, request_id: &str, now: Timestamp) -> String {
    serde_json::json!({ "actor": actor.as_str(), "requestId": request_id, "at": now.millis() }).to_string()
}

/// An event as the chain and the database hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Unique to the event; a second row with it is a repetition.
    pub event_id: String,
    /// When it happened, by the clock of the environment that caused it.
    pub occurred_at: Timestamp,
    /// One of [`EVENT_TYPES`].
    pub event_type: String,
    /// The application concerned.
    pub application_id: String,
    /// The user's pseudonym, `b<hex3>.<tag>`.
    pub subject: String,
    /// The session concerned; empty for events about a user.
    pub session_id: String,
    /// Who caused it.
    pub actor: String,
    /// Why; empty when the type says it all.
    pub reason: String,
    /// The request it belongs to.
    pub request_id: String,
    /// More about it in words of this service, separated by commas; empty when there is nothing more.
    pub detail: String,
    /// What of it is personal ([`super::audit_personal::Personal`]), sealed under the subject's key; empty when nothing is.
    pub sealed: Vec<u8>,
}

/// When an event came into the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When Redis queued it.
    pub queued_at: Timestamp,
    /// When it was written.
    pub recorded_at: Timestamp,
}

/// The hash before the first event of a chain.
pub const GENESIS: [u8; 32] = [0; 32];

impl AuditEvent {
    /// The hash of this event at its place in a chain: SHA-256 over the previous hash, the sequence number and every
    /// field, each with its length in front. An empty detail and an empty sealed text are left out, as in rows from before
    /// there were any; a word in front of the sealed text tells it from a detail. Rows from before times were hashed have
    /// none: that of a row with times is no hash of the same row without.
    pub fn chain_hash(&self, previous: &[u8; 32], sequence: i64, times: Option<Times>) -> [u8; 32] {
        let place = sequence.to_be_bytes();
        let occurred_at = self.occurred_at.millis().to_be_bytes();
        let mut fields: Vec<&[u8]> = vec![
            previous,
            &place,
            self.event_id.as_bytes(),
            &occurred_at,
            self.event_type.as_bytes(),
            self.application_id.as_bytes(),
            self.subject.as_bytes(),
            self.session_id.as_bytes(),
            self.actor.as_bytes(),
            self.reason.as_bytes(),
            self.request_id.as_bytes(),
        ];
        if !self.detail.is_empty() {
            fields.push(self.detail.as_bytes());
        }
        if !self.sealed.is_empty() {
            fields.extend([b"sealed".as_slice(), &self.sealed]);
        }
        let times =
            times.map(|times| [times.queued_at.millis().to_be_bytes(), times.recorded_at.millis().to_be_bytes()]);
        if let Some([queued_at, recorded_at]) = &times {
            fields.extend([b"times".as_slice(), queued_at, recorded_at]);
        }
        crypto::hash(&fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> AuditEvent {
        AuditEvent {
            event_id: "e".into(),
            occurred_at: Timestamp::from_millis(1),
            event_type: "session.created".into(),
            application_id: "demo".into(),
            subject: "b000.AAAAAAAA".into(),
            session_id: "ses_".into(),
            actor: "application".into(),
            reason: String::new(),
            request_id: "r".into(),
            detail: String::new(),
            sealed: Vec::new(),
        }
    }

    #[test]
    fn the_chain_covers_every_field_and_the_place() {
        let hash = event().chain_hash(&GENESIS, 1, None);
        let changes: [fn(&mut AuditEvent); 11] = [
            |e| e.event_id.push('x'),
            |e| e.occurred_at = Timestamp::from_millis(2),
            |e| e.event_type.push('x'),
            |e| e.application_id.push('x'),
            |e| e.subject.push('x'),
            |e| e.session_id.push('x'),
            |e| e.actor.push('x'),
            |e| e.reason.push('x'),
            |e| e.request_id.push('x'),
            |e| e.detail.push('x'),
            |e| e.sealed.push(b'x'),
        ];
        for change in changes {
            let mut changed = event();
            change(&mut changed);
            assert_ne!(changed.chain_hash(&GENESIS, 1, None), hash);
        }
        assert_ne!(event().chain_hash(&GENESIS, 2, None), hash);
        assert_ne!(event().chain_hash(&[1; 32], 1, None), hash);
    }
}
