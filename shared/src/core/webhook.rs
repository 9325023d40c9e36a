//! Webhooks after the Standard Webhooks conventions: the body, and a signature over id, time and body.

use super::crypto::{self, SecretKey};
use super::notice::Notice;
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
    application_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    session_id: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
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
