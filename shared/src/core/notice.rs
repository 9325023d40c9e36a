//! What receivers are told of an event: pseudonyms, never a person or a credential.

use super::alerts::Alert;
use super::audit::AuditEvent;
use super::end_reason::EndReason;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Notices that are no events of the audit.
pub const ALERT_NOTICES: [&str; 2] = ["alert.fired", "alert.resolved"];

/// An event on its way to receivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The event's id in the audit.
    pub event_id: String,
    /// One of [`super::audit::EVENT_TYPES`] or [`ALERT_NOTICES`].
    pub event_type: String,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// The application that caused it, or that it concerns; empty for the whole stack.
    pub application_id: String,
    /// The user's pseudonym; empty for alerts.
    pub subject: String,
    /// The session; empty for events about a user.
    pub session_id: String,
    /// Who caused it.
    pub actor: String,
    /// Why; empty when the type says it all.
    pub reason: String,
    /// What an alert is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertNotice>,
}

/// What is told of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertNotice {
    /// Its id.
    pub alert_id: String,
    /// The rule.
    pub rule: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// `firing` or `resolved`.
    pub state: String,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// The highest value until then.
    pub value: f64,
    /// From which value on it fired.
    pub threshold: f64,
    /// A sentence for people.
    pub summary: String,
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
            alert: None,
        }
    }

    /// An alert has begun.
    pub fn alert_fired(alert: &Alert) -> Self {
        Self::of_alert(alert, "fired", "firing", alert.started_at)
    }

    /// An alert is over.
    pub fn alert_resolved(alert: &Alert) -> Self {
        Self::of_alert(alert, "resolved", "resolved", alert.resolved_at.unwrap_or(alert.started_at))
    }

    fn of_alert(alert: &Alert, happened: &str, state: &str, at: Timestamp) -> Self {
        Notice {
            event_id: format!("{}.{happened}", alert.alert_id),
            event_type: format!("alert.{happened}"),
            occurred_at: at.millis(),
            application_id: alert.application_id.clone(),
            subject: String::new(),
            session_id: String::new(),
            actor: "service".to_owned(),
            reason: alert.rule.as_str().to_owned(),
            alert: Some(AlertNotice {
                alert_id: alert.alert_id.clone(),
                rule: alert.rule.as_str().to_owned(),
                severity: alert.rule.severity().as_str().to_owned(),
                state: state.to_owned(),
                started_at: alert.started_at.millis(),
                value: alert.value,
                threshold: alert.threshold,
                summary: alert.rule.summary(alert.value, alert.threshold),
            }),
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
            alert: None,
        }
    }

    /// Deliveries outlive a release: what an earlier one wrote is read.
    #[test]
    fn a_notice_without_an_alert_is_read_as_before() {
        let json = serde_json::to_string(&ended("admin", "application")).expect("JSON");
        assert!(!json.contains("alert"), "{json}");
        let read: Notice = serde_json::from_str(&json).expect("a notice");
        assert_eq!(read, ended("admin", "application"));
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
