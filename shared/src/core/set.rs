//! Security event tokens (RFC 8417) with the CAEP event `session-revoked`.
//!
//! Signed with the key of the access tokens, and never one of them: `typ` differs, and there is neither `sub` nor `exp`.

use super::access_token::SigningKey;
use super::end_reason::EndReason;
use super::notice::Notice;
use super::time::Timestamp;
use serde_json::{Value, json};

/// `typ` of the header.
pub const TYPE: &str = "secevent+jwt";
/// The CAEP event.
pub const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// The claims: one event, about one session or, when all sessions of a user ended, about the user's pseudonym.
pub fn claims(notice: &Notice, issuer: &str, audience: &str, now: Timestamp) -> Value {
    let subject = if notice.session_id.is_empty() { &notice.subject } else { &notice.session_id };
    json!({
        "iss": issuer,
        "jti": notice.message_id(),
        "iat": now.seconds(),
        "aud": audience,
        "sub_id": { "format": "opaque", "id": subject },
        "events": {
            SESSION_REVOKED: {
                "event_timestamp": notice.occurred_at().seconds(),
                "initiating_entity": notice.initiating_entity(),
                "reason_admin": { "en": reason(notice) },
            }
        },
    })
}

/// The token. `None` only when the key is unusable.
pub fn sign(key: &SigningKey, notice: &Notice, issuer: &str, audience: &str, now: Timestamp) -> Option<String> {
    key.sign_as(TYPE, &claims(notice, issuer, audience, now))
}

/// A sentence for the receiver's log.
fn reason(notice: &Notice) -> &'static str {
    match EndReason::parse(&notice.reason) {
        Some(EndReason::User) => "The holder ended the session.",
        Some(EndReason::Admin) => "The application ended the session.",
        Some(EndReason::Idle) => "The idle timeout passed.",
        Some(EndReason::Absolute) => "The absolute timeout passed.",
        Some(EndReason::Evicted) => "A newer session took its place.",
        Some(EndReason::Reuse) => "A used refresh token was presented again.",
        Some(EndReason::RevokeAll) => "All sessions of the user were ended.",
        Some(EndReason::TokenRevoked) => "A token of the session was revoked.",
        Some(EndReason::DeviceRemoved) => "The sessions of the device were ended.",
        Some(EndReason::DeviceBlocked) => "The device was blocked.",
        Some(EndReason::Risk) => "The risk of the session was too high.",
        Some(EndReason::Erased) => "The user was erased.",
        None => "The session ended.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::access_token::{self, Claims, VerifyingKey};
    use crate::core::end_reason;
    use crate::core::notice::tests::ended;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    const ISSUER: &str = "https://sessions.example";

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_700_000_060)
    }

    fn pkcs8() -> Vec<u8> {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        key.expect("a key").as_ref().to_vec()
    }

    #[test]
    fn one_event_without_sub_and_exp() {
        let claims = claims(&ended("reuse", "holder"), ISSUER, "https://receiver.example", now());
        assert_eq!(
            claims,
            json!({
                "iss": ISSUER,
                "jti": "abc~def",
                "iat": 1_700_000_060,
                "aud": "https://receiver.example",
                "sub_id": { "format": "opaque", "id": "ses_x" },
                "events": { SESSION_REVOKED: {
                    "event_timestamp": 1_700_000_000,
                    "initiating_entity": "policy",
                    "reason_admin": { "en": "A used refresh token was presented again." },
                }},
            })
        );
        let user = Notice { session_id: String::new(), ..ended("revoke_all", "holder") };
        assert_eq!(super::claims(&user, ISSUER, "a", now())["sub_id"]["id"], "b000.AAAAAAAA");
    }

    #[test]
    fn every_reason_has_its_sentence() {
        let sentences: std::collections::HashSet<_> =
            end_reason::ALL.iter().map(|reason| super::reason(&ended(reason.as_str(), "service"))).collect();
        assert_eq!(sentences.len(), end_reason::ALL.len());
    }

    /// RFC 8725 §3.11: a token of one kind is none of the other, although one key signs both.
    #[test]
    fn an_event_token_is_no_access_token_and_the_reverse() {
        let pkcs8 = pkcs8();
        let key = SigningKey::from_pkcs8(&pkcs8).expect("a key");
        let keys = [VerifyingKey::from_pkcs8(&pkcs8).expect("public half")];
        let set = sign(&key, &ended("admin", "application"), ISSUER, "demo", now()).expect("a token");
        assert_eq!(access_token::verify(&set, &keys, ISSUER, now()), Err(access_token::Refusal::Malformed));
        let access = Claims {
            iss: ISSUER.into(),
            sub: "ada".into(),
            aud: "demo".into(),
            client_id: "demo".into(),
            sid: "ses_x".into(),
            iat: now().seconds(),
            exp: now().seconds() + 300,
            jti: "x".into(),
            acr: None,
            amr: Vec::new(),
            auth_time: None,
            cnf: None,
        };
        // Even claims of an access token are none of it under the other type.
        let disguised = key.sign_as(TYPE, &access).expect("a token");
        assert_eq!(access_token::verify(&disguised, &keys, ISSUER, now()), Err(access_token::Refusal::Malformed));
        let token = key.sign(&access).expect("a token");
        assert!(access_token::verify(&token, &keys, ISSUER, now()).is_ok());
        assert_ne!(jsonwebtoken::decode_header(&token).expect("a header").typ.as_deref(), Some(TYPE));
        assert_eq!(jsonwebtoken::decode_header(&set).expect("a header").typ.as_deref(), Some(TYPE));
    }
}
