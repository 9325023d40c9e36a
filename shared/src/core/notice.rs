//! What receivers are told of an event: pseudonyms, never a person or a credential.

use super::audit::AuditEvent;
use super::end_reason::EndReason;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An event on its way to receivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The event's id in the audit.
    pub event_id: String,
    /// One of [`super::audit::EVENT_TYPES`].
    pub event_type: String,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// The application that caused it.
    pub application_id: String,
    /// The user's pseudonym.
    pub subject: String,
    /// The session; empty for events about a user.
    pub session_id: String,
    /// Who caused it.
    pub actor: String,
    /// Why; empty when the type says it all.
    pub reason: String,
}

impl Notice {
    /// What of an audit event is told.
    pub fn of(event: &AuditEvent) -> Self {
        Notice {
            event_id: event.event_id.clone(),
            event_type: event.event_type.clone(),
            occurred_at: event.occurred_at.millis(),
            application_id: event.application_id.clone(),
            subject: event.subject.clone(),
            session_id: event.session_id.clone(),
            actor: event.actor.clone(),
            reason: event.reason.clone(),
        }
    }

    /// The id that receivers tell repetitions by: that of the event with `~` for `.`, since a webhook's signature joins
    /// id, time and body with full stops.
    pub fn message_id(&self) -> String {
        self.event_id.replace('.', "~")
    }

    /// When it happened.
    pub fn occurred_at(&self) -> Timestamp {
        Timestamp::from_millis(self.occurred_at)
    }

    /// Who started it, in the words of CAEP: a rule of the service, or the one who asked.
    pub fn initiating_entity(&self) -> &'static str {
        let by_actor = match self.actor.as_str() {
            "holder" => "user",
            "application" => "admin",
            _ => "system",
        };
        match EndReason::parse(&self.reason) {
            Some(EndReason::Idle | EndReason::Absolute | EndReason::Evicted | EndReason::Reuse | EndReason::Risk) => {
                "policy"
            }
            Some(EndReason::User) => "user",
            Some(
                EndReason::Admin
                | EndReason::RevokeAll
                | EndReason::TokenRevoked
                | EndReason::DeviceRemoved
                | EndReason::DeviceBlocked
                | EndReason::Erased,
            )
            | None => by_actor,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A session that ended.
    pub(crate) fn ended(reason: &str, actor: &str) -> Notice {
        Notice {
            event_id: "abc.def".into(),
            event_type: "session.ended".into(),
            occurred_at: 1_700_000_000_123,
            application_id: "demo".into(),
            subject: "b000.AAAAAAAA".into(),
            session_id: "ses_x".into(),
            actor: actor.into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn rules_are_policy_and_people_are_themselves() {
        let entity = |reason, actor| ended(reason, actor).initiating_entity();
        assert_eq!(entity("reuse", "holder"), "policy");
        assert_eq!(entity("idle", "service"), "policy");
        assert_eq!(entity("admin", "application"), "admin");
        assert_eq!(entity("revoke_all", "holder"), "user");
        assert_eq!(entity("revoke_all", "application"), "admin");
        assert_eq!(entity("revoke_all", "service"), "system");
        assert_eq!(entity("", "service"), "system");
        assert_eq!(ended("idle", "service").message_id(), "abc~def");
    }
}
