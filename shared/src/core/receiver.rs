//! Receivers: where an application hears of events, and of which.

use super::audit::EVENT_TYPES;
use super::crypto::{self, SecretKey};
use super::id::ApplicationId;
use super::json::FieldError;
use super::notice::ALERT_NOTICES;
use super::receiver_url::Target;
use super::time::Timestamp;
use crate::limits::SHORT_TEXT_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// How a receiver is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// JSON signed with a secret that the receiver shares (Standard Webhooks).
    Webhook,
    /// A signed security event token, pushed (RFC 8417, RFC 8935), with the CAEP event `session-revoked`.
    Ssf,
}

/// The events that end sessions: what `session-revoked` stands for.
const REVOKING: [&str; 2] = ["session.ended", "user.revoked"];
/// What a webhook hears of when it does not say: the ends, and the proof of a theft.
const WEBHOOK_DEFAULT: [&str; 3] = ["session.ended", "user.revoked", "refresh.replayed"];

/// A receiver of an application's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receiver {
    /// Unique to the application.
    pub receiver_id: String,
    /// Where events are sent.
    pub url: String,
    /// How.
    pub kind: ReceiverKind,
    /// Of which events it hears.
    pub events: Vec<String>,
    /// `aud` of its tokens, for [`ReceiverKind::Ssf`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub audience: Option<String>,
    /// base64url of 16 random bytes: a receiver that is removed and added again has another secret.
    pub salt: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A receiver as an operator describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewReceiver {
    /// `[a-z][a-z0-9-]{2,31}`; made up when absent.
    pub receiver_id: Option<String>,
    /// Where events are sent.
    pub url: String,
    /// How.
    pub kind: ReceiverKind,
    /// Of which events it hears; by default those that end sessions, and for a webhook replays too.
    pub events: Option<Vec<String>>,
    /// `aud` of its tokens; required for `ssf`, and for nothing else.
    pub audience: Option<String>,
}

impl Receiver {
    /// A checked receiver. `random` names it when the operator does not, and salts its secret.
    ///
    /// # Errors
    /// Every wrong field, below `receiver`.
    pub fn new(
        new: NewReceiver,
        allow_loopback: bool,
        random: ([u8; 8], [u8; 16]),
        now: Timestamp,
    ) -> Result<Self, Vec<FieldError>> {
        let receiver = Receiver {
            receiver_id: new.receiver_id.unwrap_or_else(|| format!("rcv-{:016x}", u64::from_be_bytes(random.0))),
            url: new.url,
            kind: new.kind,
            events: new.events.unwrap_or_else(|| new.kind.default_events()),
            audience: new.audience,
            salt: crypto::encode(&random.1),
            created_at: now.millis(),
        };
        let errors = receiver.violations(allow_loopback);
        if errors.is_empty() { Ok(receiver) } else { Err(errors) }
    }

    fn violations(&self, allow_loopback: bool) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut refuse = |field: &str, detail: &str| errors.push(FieldError::new(format!("receiver.{field}"), detail));
        if ApplicationId::parse(&self.receiver_id).is_none() {
            refuse("receiverId", "must match [a-z][a-z0-9-]{2,31}");
        }
        if let Err(detail) = Target::parse(&self.url, allow_loopback) {
            refuse("url", detail);
        }
        let known = self.kind.events();
        let repeated = (1..self.events.len()).any(|index| self.events[..index].contains(&self.events[index]));
        if self.events.is_empty() || repeated || !self.events.iter().all(|event| known.contains(&event.as_str())) {
            refuse("events", &format!("must be some of {}, each once", known.join(", ")));
        }
        let text = |text: &str| (1..=SHORT_TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        match (self.kind, &self.audience) {
            (ReceiverKind::Ssf, None) => refuse("audience", "is required for ssf"),
            (ReceiverKind::Webhook, Some(_)) => refuse("audience", "goes with ssf"),
            (ReceiverKind::Ssf, Some(audience)) if !text(audience) => {
                refuse("audience", &format!("must be 1 to {SHORT_TEXT_BYTES_MAX} bytes without control characters"));
            }
            (ReceiverKind::Ssf, Some(_)) | (ReceiverKind::Webhook, None) => {}
        }
        errors
    }

    /// Whether it hears of an event.
    pub fn hears(&self, event_type: &str) -> bool {
        self.events.iter().any(|event| event == event_type)
    }

    /// The secret a webhook is signed with: a keyed hash, so that nothing secret is stored. `key` is that of the
    /// pseudonym ring, the one that never rotates.
    pub fn secret(&self, key: &SecretKey, application_id: &str) -> SecretKey {
        let parts =
            [b"webhook".as_slice(), application_id.as_bytes(), self.receiver_id.as_bytes(), self.salt.as_bytes()];
        SecretKey::new(crypto::mac(key, &parts))
    }
}

impl ReceiverKind {
    /// Events that it can tell of.
    fn events(self) -> Vec<&'static str> {
        match self {
            ReceiverKind::Webhook => EVENT_TYPES.into_iter().chain(ALERT_NOTICES).collect(),
            ReceiverKind::Ssf => REVOKING.to_vec(),
        }
    }

    fn default_events(self) -> Vec<String> {
        let events: &[&str] = match self {
            ReceiverKind::Webhook => &WEBHOOK_DEFAULT,
            ReceiverKind::Ssf => &REVOKING,
        };
        events.iter().map(|event| (*event).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(json: serde_json::Value) -> Result<Receiver, Vec<String>> {
        let new: NewReceiver = serde_json::from_value(json).expect("a receiver");
        let made = Receiver::new(new, false, ([1; 8], [2; 16]), Timestamp::from_seconds(1));
        made.map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn defaults_are_the_events_that_end_sessions() {
        let webhook = new(serde_json::json!({"url": "https://a.example/", "kind": "webhook"})).expect("valid");
        assert_eq!(webhook.receiver_id, "rcv-0101010101010101");
        assert!(webhook.hears("session.ended") && webhook.hears("refresh.replayed"));
        assert!(!webhook.hears("session.created"));
        let alerts = serde_json::json!({"url": "https://a.example/", "kind": "webhook", "events": ALERT_NOTICES});
        assert!(new(alerts).expect("valid").hears("alert.fired"));
        let ssf = serde_json::json!({"url": "https://a.example/", "kind": "ssf", "audience": "https://a.example"});
        let ssf = new(ssf).expect("valid");
        assert!(ssf.hears("user.revoked") && !ssf.hears("refresh.replayed"));
        assert!(REVOKING.iter().chain(&WEBHOOK_DEFAULT).all(|event| EVENT_TYPES.contains(event)));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = serde_json::json!({
            "receiverId": "NO", "url": "https://10.0.0.1/", "kind": "webhook", "events": ["session.ended", "x"],
            "audience": "a",
        });
        let fields = ["receiverId", "url", "events", "audience"].map(|field| format!("receiver.{field}"));
        assert_eq!(new(wrong), Err(fields.to_vec()));
        let ssf = |audience: serde_json::Value, events: serde_json::Value| {
            new(serde_json::json!({"url": "https://a.example/", "kind": "ssf", "audience": audience, "events": events}))
        };
        let field = |field: &str| Err(vec![format!("receiver.{field}")]);
        assert_eq!(ssf(serde_json::Value::Null, serde_json::json!(["session.ended"])), field("audience"));
        assert_eq!(ssf("a\n".into(), serde_json::json!(["session.ended"])), field("audience"));
        assert_eq!(ssf("a".into(), serde_json::json!(["session.created"])), field("events"));
        assert_eq!(ssf("a".into(), serde_json::json!([])), field("events"));
        assert_eq!(ssf("a".into(), serde_json::json!(["session.ended", "session.ended"])), field("events"));
    }

    /// I-8: two receivers never share a secret, and a receiver that comes back has another.
    #[test]
    fn secrets_differ_by_application_receiver_and_salt() {
        let key = SecretKey::new([7; 32]);
        let receiver = new(serde_json::json!({"url": "https://a.example/", "kind": "webhook"})).expect("valid");
        let secret = receiver.secret(&key, "demo");
        assert_eq!(receiver.secret(&key, "demo"), secret);
        assert_ne!(receiver.secret(&key, "other"), secret);
        assert_ne!(receiver.secret(&SecretKey::new([8; 32]), "demo"), secret);
        assert_ne!(Receiver { receiver_id: "other".into(), ..receiver.clone() }.secret(&key, "demo"), secret);
        assert_ne!(Receiver { salt: crypto::encode(&[3; 16]), ..receiver }.secret(&key, "demo"), secret);
    }
}
