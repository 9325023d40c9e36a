//! Webhooks after the Standard Webhooks conventions: the body, and a signature over id, time and body.

use super::crypto::{self, SecretKey};
use super::notice::{AlertNotice, Notice};
use super::time::Timestamp;
use serde::Serialize;

/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// The body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    id: String,
    occurred_at: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    application_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    session_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<AlertData<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertData<'a> {
    alert_id: &'a str,
    rule: &'a str,
    severity: &'a str,
    state: &'a str,
    started_at: Timestamp,
    value: f64,
    threshold: f64,
    summary: &'a str,
}

impl<'a> AlertData<'a> {
    fn of(alert: &'a AlertNotice) -> Self {
        AlertData {
            alert_id: &alert.alert_id,
            rule: &alert.rule,
            severity: &alert.severity,
            state: &alert.state,
            started_at: Timestamp::from_millis(alert.started_at),
            value: alert.value,
            threshold: alert.threshold,
            summary: &alert.summary,
        }
    }
}

/// The body of an event; the same bytes at every attempt.
pub fn body(notice: &Notice) -> String {
    let body = Body {
        event_type: &notice.event_type,
        id: notice.message_id(),
        occurred_at: notice.occurred_at(),
        data: Data {
            application_id: &notice.application_id,
            session_id: &notice.session_id,
            subject: &notice.subject,
            reason: &notice.reason,
            alert: notice.alert.as_ref().map(AlertData::of),
        },
    };
    serde_json::to_string(&body).unwrap_or_default()
}

/// The secret as its receiver is shown it.
pub fn reveal(secret: &SecretKey) -> String {
    format!("{SECRET_PREFIX}{}", crypto::encode_standard(secret.expose()))
}

/// `webhook-signature`. `timestamp` is the `webhook-timestamp` of this attempt, in seconds.
pub fn signature(secret: &SecretKey, message_id: &str, timestamp: i64, body: &str) -> String {
    let signed = format!("{message_id}.{timestamp}.{body}");
    format!("v1,{}", crypto::encode_standard(&crypto::hmac_sha256(secret, signed.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::notice::tests::ended;

    #[test]
    fn the_body_tells_pseudonyms_and_nothing_else() {
        let expected = r#"{"type":"session.ended","id":"abc~def","occurredAt":"2023-11-14T22:13:20.123Z","data":{"applicationId":"demo","sessionId":"ses_x","subject":"b000.AAAAAAAA","reason":"admin"}}"#;
        assert_eq!(body(&ended("admin", "application")), expected);
        let revoked = Notice { event_type: "user.revoked".into(), session_id: String::new(), ..ended("", "holder") };
        assert!(!body(&revoked).contains("sessionId") && !body(&revoked).contains("reason"));
    }

    #[test]
    fn the_body_of_an_alert_tells_what_is_wrong() {
        use crate::core::alerts::{Alert, Rule};
        let alert = Alert {
            alert_id: "a1".into(),
            rule: Rule::RefreshReuse,
            application_id: "demo".into(),
            started_at: Timestamp::from_seconds(1_700_000_000),
            breached_at: Timestamp::from_seconds(1_700_000_000),
            resolved_at: None,
            value: 7.0,
            threshold: 5.0,
        };
        let expected = r#"{"type":"alert.fired","id":"a1~fired","occurredAt":"2023-11-14T22:13:20.000Z","data":{"applicationId":"demo","reason":"refresh_reuse","alert":{"alertId":"a1","rule":"refresh_reuse","severity":"critical","state":"firing","startedAt":"2023-11-14T22:13:20.000Z","value":7.0,"threshold":5.0,"summary":"7 refresh tokens replayed within 15 minutes, alerting from 5 on"}}}"#;
        assert_eq!(body(&Notice::alert_fired(&alert)), expected);
        let over = Alert { resolved_at: Some(Timestamp::from_seconds(1_700_001_000)), ..alert };
        let body = body(&Notice::alert_resolved(&over));
        assert!(body.contains(r#""id":"a1~resolved","occurredAt":"2023-11-14T22:30:00.000Z""#), "{body}");
        assert!(body.contains(r#""state":"resolved""#), "{body}");
    }

    /// The signature by another path: ring's HMAC over the bytes that the conventions name, with the secret as shown.
    #[test]
    fn the_signature_is_an_hmac_under_the_secret_that_was_shown() {
        use base64::Engine;
        let engine = base64::engine::general_purpose::STANDARD;
        let secret = SecretKey::new([0xfb; 32]);
        let shown = reveal(&secret);
        let bytes = engine.decode(shown.strip_prefix("whsec_").expect("the prefix")).expect("base64");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &bytes);
        let signed = signature(&secret, "msg", 1_700_000_000, "{}");
        let tag = engine.decode(signed.strip_prefix("v1,").expect("the version")).expect("base64");
        assert!(ring::hmac::verify(&key, b"msg.1700000000.{}", &tag).is_ok());
        for (id, timestamp, body) in
            [("msh", 1_700_000_000, "{}"), ("msg", 1_700_000_001, "{}"), ("msg", 1_700_000_000, "[]")]
        {
            assert_ne!(signature(&secret, id, timestamp, body), signed);
        }
    }
}
