//! The one table from errors to HTTP (RFC 9457), and its OAuth shape (RFC 6749 §5.2) for introspection and revocation.

use crate::core::json::FieldError;
use crate::core::refusal::Denial;
use crate::error::{Asker, Error};
use crate::limits::RETRY_AFTER_SECONDS;
use lambda_http::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, http};
use serde::Serialize;

/// What a caller hears of an error.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable and documented; clients switch on it.
    pub code: &'static str,
    /// What it denies: every code says whether it is a refusal, which the audit is told of.
    pub denial: Denial,
    /// Whether the same request may succeed later. A client never drops a session over a retryable error.
    pub retryable: bool,
    /// A short sentence about the code.
    pub title: &'static str,
}

/// The error table.
pub fn row(error: &Error) -> Row {
    let (status, code, denial, retryable, title) = match error {
        Error::InvalidRequest(_) => (400, "invalid_request", Denial::Nothing, false, "The request is not valid."),
        Error::CredentialMissing => (401, "credential_missing", Denial::Credential, false, "A credential is required."),
        Error::CredentialInvalid(_) => {
            (401, "credential_invalid", Denial::Credential, false, "The credential was not accepted.")
        }
        Error::DpopProofInvalid(_) => (
            401,
            "dpop_proof_invalid",
            Denial::Credential,
            false,
            "The proof of possession is missing, or was not accepted.",
        ),
        Error::DpopNonceRequired => (
            401,
            "use_dpop_nonce",
            Denial::Credential,
            true,
            "The proof of possession must carry the nonce of DPoP-Nonce; try again.",
        ),
        Error::DeviceProofInvalid(_) => {
            (403, "device_proof_invalid", Denial::Credential, false, "The device's proof was not accepted.")
        }
        Error::DeviceProofRequired => {
            (403, "device_proof_required", Denial::Credential, true, "Answer the challenge with the device's key.")
        }
        Error::UnsupportedGrantType => {
            (400, "unsupported_grant_type", Denial::Nothing, false, "Only refresh tokens are taken here.")
        }
        Error::RefreshTokenInvalid => {
            (401, "refresh_token_invalid", Denial::Credential, false, "The refresh token was not accepted.")
        }
        Error::RefreshTokenReused => (
            401,
            "refresh_token_reused",
            Denial::Credential,
            false,
            "The refresh token was used before; the session has been ended.",
        ),
        Error::SessionEnded { asker: Asker::Holder, .. } => {
            (401, "session_ended", Denial::Credential, false, "The session has ended.")
        }
        Error::SessionEnded { asker: Asker::Application, .. } => {
            (404, "session_ended", Denial::Nothing, false, "The session has ended.")
        }
        Error::InsufficientScope(_) => {
            (403, "insufficient_scope", Denial::Operation, false, "The application lacks a scope.")
        }
        Error::ApplicationOnly => {
            (403, "application_only", Denial::Operation, false, "Only an application may do this.")
        }
        Error::DeviceBlocked => (403, "device_blocked", Denial::Operation, false, "The device is blocked."),
        Error::TrustNotProved => (403, "trust_not_proved", Denial::Operation, false, "The trust level is not proved."),
        Error::StepUpRequired { .. } => (
            401,
            "insufficient_user_authentication",
            Denial::Session,
            false,
            "A more recent authentication is required.",
        ),
        Error::NotFound => (404, "not_found", Denial::Nothing, false, "There is no such resource."),
        Error::SessionLimitReached => {
            (409, "session_limit_reached", Denial::Operation, false, "The user has too many sessions.")
        }
        Error::SessionChanged => {
            (409, "session_changed", Denial::Nothing, true, "The session changed meanwhile; try again.")
        }
        Error::VersionMismatch { .. } => {
            (412, "version_mismatch", Denial::Nothing, false, "If-Match names another version.")
        }
        Error::PayloadTooLarge { .. } => {
            (413, "payload_too_large", Denial::Nothing, false, "The payload is too large.")
        }
        Error::UnsupportedMediaType { .. } => {
            (415, "unsupported_media_type", Denial::Nothing, false, "The media type is not supported.")
        }
        Error::IdempotencyKeyReused => {
            (422, "idempotency_key_reused", Denial::Nothing, false, "The Idempotency-Key stood for another payload.")
        }
        Error::LegacySessionExchanged => {
            (409, "legacy_session_exchanged", Denial::Operation, false, "The legacy session was exchanged before.")
        }
        Error::SessionLocked { .. } => {
            (423, "session_locked", Denial::Session, true, "Somebody else holds the session's lock.")
        }
        Error::LockLost => (409, "lock_lost", Denial::Session, false, "The lock is not held by this token."),
        Error::LockNotRenewable => {
            (409, "lock_not_renewable", Denial::Session, false, "The lock can not be renewed any more.")
        }
        Error::RateLimited { .. } => (429, "rate_limited", Denial::Quota, true, "Too many requests in this minute."),
        Error::IfMatchRequired => (428, "if_match_required", Denial::Nothing, false, "If-Match is required."),
        Error::BindingMismatch => {
            (401, "binding_mismatch", Denial::Session, false, "The session is bound to another network.")
        }
        Error::SessionQuarantined(_) => (
            401,
            "session_quarantined",
            Denial::Session,
            false,
            "The session is quarantined until the user authenticates again.",
        ),
        Error::StepUpStale => (
            409,
            "step_up_stale",
            Denial::Session,
            false,
            "The authentication is too old or not later than the recorded one.",
        ),
        Error::RefreshTokenSuperseded => {
            (401, "refresh_token_superseded", Denial::Credential, false, "A step-up replaced this token.")
        }
        Error::SharingRefused => {
            (403, "sharing_refused", Denial::Session, false, "The session can not be shared in this way.")
        }
        Error::LegalHold => (409, "legal_hold", Denial::Operation, false, "The user's data is under a legal hold."),
        Error::OwnerOnly => {
            (403, "owner_only", Denial::Session, false, "Only the application that owns the session may do this.")
        }
        Error::Internal(_) => (500, "internal_error", Denial::Nothing, false, "Something went wrong here."),
        Error::Unavailable { .. } => {
            (503, "dependency_unavailable", Denial::Nothing, true, "A dependency is away; try again.")
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Row { status, code, denial, retryable, title }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

/// The response to an error. The body carries no request id (it stands in `X-Request-Id`), so that what is not the
/// caller's and what never existed are the same bytes.
pub fn problem(error: &Error) -> Response<Body> {
    let row = row(error);
    let (errors, detail, reason): (&[FieldError], _, _) = match error {
        Error::InvalidRequest(errors) => (errors, None, None),
        Error::SessionEnded { reason, .. } => (&[], None, Some(reason.as_str())),
        Error::InsufficientScope(scope) => (&[], Some(format!("The scope {} is required.", scope.as_str())), None),
        Error::VersionMismatch { current } => (&[], Some(format!("The current version is {current}.")), None),
        Error::PayloadTooLarge { bytes_max } => (&[], Some(format!("At most {bytes_max} bytes are accepted.")), None),
        Error::UnsupportedMediaType { expected } => (&[], Some(format!("Send {expected}.")), None),
        Error::StepUpRequired { max_age_seconds } => {
            (&[], Some(format!("The authentication may be at most {max_age_seconds} seconds old.")), None)
        }
        Error::CredentialMissing
        | Error::CredentialInvalid(_)
        | Error::DeviceBlocked
        | Error::TrustNotProved
        | Error::DpopProofInvalid(_)
        | Error::DpopNonceRequired
        | Error::DeviceProofInvalid(_)
        | Error::DeviceProofRequired
        | Error::UnsupportedGrantType
        | Error::RefreshTokenInvalid
        | Error::RefreshTokenReused
        | Error::ApplicationOnly
        | Error::NotFound
        | Error::SessionLimitReached
        | Error::SessionChanged
        | Error::IdempotencyKeyReused
        | Error::LegacySessionExchanged
        | Error::IfMatchRequired
        | Error::BindingMismatch
        | Error::SessionQuarantined(_)
        | Error::StepUpStale
        | Error::RefreshTokenSuperseded
        | Error::SharingRefused
        | Error::OwnerOnly
        | Error::LegalHold
        | Error::SessionLocked { .. }
        | Error::LockLost
        | Error::LockNotRenewable
        | Error::RateLimited { .. }
        | Error::Internal(_)
        | Error::Unavailable { .. } => (&[], None, None),
    };
    let body = Problem {
        kind: format!("urn:session-service:problem:{}", row.code),
        title: row.title,
        status: row.status.as_u16(),
        code: row.code,
        retryable: row.retryable,
        reason,
        reasons: reasons(error),
        detail,
        errors,
    };
    let mut response = body_of(&body, row.status, "application/problem+json");
    add_headers(&mut response, error, "Bearer");
    response
}

/// The signals behind a quarantine.
fn reasons(error: &Error) -> Vec<&'static str> {
    match error {
        Error::SessionQuarantined(signals) => signals.words(),
        _ => Vec::new(),
    }
}

#[derive(Serialize)]
struct OAuthError {
    error: &'static str,
    error_description: &'static str,
    code: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// The response to an error of introspection and revocation.
pub fn oauth_problem(error: &Error) -> Response<Body> {
    let row = row(error);
    let name = match row.status.as_u16() {
        401 => "invalid_client",
        403 => "insufficient_scope",
        400 | 413 | 415 => "invalid_request",
        429 | 503 => "temporarily_unavailable",
        _ => "server_error",
    };
    oauth_response(error, name, row)
}

/// The response to an error of the token endpoint (RFC 6749 §5.2, RFC 9449 §5): whatever is wrong with the grant or its
/// proof is a 400; only a client that did not authenticate gets a 401.
pub fn token_problem(error: &Error) -> Response<Body> {
    let row = row(error);
    let (name, status) = match error {
        Error::RefreshTokenInvalid | Error::RefreshTokenReused | Error::SessionEnded { .. } => ("invalid_grant", 400),
        Error::DpopProofInvalid(_) => ("invalid_dpop_proof", 400),
        Error::DpopNonceRequired => ("use_dpop_nonce", 400),
        Error::UnsupportedGrantType => ("unsupported_grant_type", 400),
        Error::InsufficientScope(_) => ("unauthorized_client", 400),
        Error::SessionChanged => ("temporarily_unavailable", 409),
        _ => return oauth_problem(error),
    };
    oauth_response(error, name, Row { status: StatusCode::from_u16(status).unwrap_or(row.status), ..row })
}

fn oauth_response(error: &Error, name: &'static str, row: Row) -> Response<Body> {
    let reason = match error {
        Error::SessionEnded { reason, .. } => Some(reason.as_str()),
        _ => None,
    };
    let Row { status, code, retryable, title, .. } = row;
    let body = OAuthError { error: name, error_description: title, code, retryable, reason };
    let mut response = body_of(&body, status, "application/json; charset=utf-8");
    add_headers(&mut response, error, "Basic");
    response
}

fn body_of(body: &impl Serialize, status: StatusCode, content_type: &'static str) -> Response<Body> {
    let bytes = serde_json::to_string(body).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn add_headers(response: &mut Response<Body>, error: &Error, scheme: &'static str) {
    let status = response.status();
    let headers: &mut http::HeaderMap = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = match (scheme, error) {
            ("Basic", _) => "Basic realm=\"sessions\", charset=\"UTF-8\"".to_owned(),
            (_, Error::DpopProofInvalid(_)) => {
                "DPoP realm=\"sessions\", error=\"invalid_dpop_proof\", algs=\"ES256\"".to_owned()
            }
            (_, Error::DpopNonceRequired) => {
                "DPoP realm=\"sessions\", error=\"use_dpop_nonce\", algs=\"ES256\"".to_owned()
            }
            (_, Error::CredentialMissing) => "Bearer realm=\"sessions\"".to_owned(),
            (_, Error::StepUpRequired { max_age_seconds }) => format!(
                "Bearer realm=\"sessions\", error=\"insufficient_user_authentication\", max_age=\"{max_age_seconds}\""
            ),
            _ => "Bearer realm=\"sessions\", error=\"invalid_token\"".to_owned(),
        };
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
    }
    if let Some(seconds) = retry_after_seconds(error) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// When the same request may succeed, for errors that know it.
fn retry_after_seconds(error: &Error) -> Option<u64> {
    match error {
        Error::Unavailable { .. } => Some(RETRY_AFTER_SECONDS),
        Error::SessionLocked { retry_after_seconds } | Error::RateLimited { retry_after_seconds, .. } => {
            Some((*retry_after_seconds).max(1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::application::Scope;
    use crate::core::end_reason::EndReason;
    use crate::core::rate::Quota;
    use crate::core::risk::Signals;
    use crate::error::Dependency;

    /// Every variant with its documented status, code and retryability.
    #[test]
    fn the_error_table() {
        let ended = |asker| Error::SessionEnded { reason: EndReason::Idle, asker };
        let table = [
            (Error::InvalidRequest(vec![]), 400, "invalid_request", false),
            (Error::CredentialMissing, 401, "credential_missing", false),
            (Error::CredentialInvalid("x"), 401, "credential_invalid", false),
            (Error::DpopProofInvalid("secret"), 401, "dpop_proof_invalid", false),
            (Error::DpopNonceRequired, 401, "use_dpop_nonce", true),
            (Error::DeviceProofInvalid("secret"), 403, "device_proof_invalid", false),
            (Error::DeviceProofRequired, 403, "device_proof_required", true),
            (Error::UnsupportedGrantType, 400, "unsupported_grant_type", false),
            (Error::RefreshTokenInvalid, 401, "refresh_token_invalid", false),
            (Error::RefreshTokenReused, 401, "refresh_token_reused", false),
            (ended(Asker::Holder), 401, "session_ended", false),
            (ended(Asker::Application), 404, "session_ended", false),
            (Error::InsufficientScope(Scope::SessionsRead), 403, "insufficient_scope", false),
            (Error::ApplicationOnly, 403, "application_only", false),
            (Error::DeviceBlocked, 403, "device_blocked", false),
            (Error::TrustNotProved, 403, "trust_not_proved", false),
            (Error::StepUpRequired { max_age_seconds: 300 }, 401, "insufficient_user_authentication", false),
            (Error::NotFound, 404, "not_found", false),
            (Error::SessionLimitReached, 409, "session_limit_reached", false),
            (Error::SessionChanged, 409, "session_changed", true),
            (Error::VersionMismatch { current: 1 }, 412, "version_mismatch", false),
            (Error::PayloadTooLarge { bytes_max: 1 }, 413, "payload_too_large", false),
            (Error::UnsupportedMediaType { expected: "x" }, 415, "unsupported_media_type", false),
            (Error::IdempotencyKeyReused, 422, "idempotency_key_reused", false),
            (Error::LegacySessionExchanged, 409, "legacy_session_exchanged", false),
            (Error::IfMatchRequired, 428, "if_match_required", false),
            (Error::BindingMismatch, 401, "binding_mismatch", false),
            (Error::SessionQuarantined(Signals::from_bits(3)), 401, "session_quarantined", false),
            (Error::StepUpStale, 409, "step_up_stale", false),
            (Error::RefreshTokenSuperseded, 401, "refresh_token_superseded", false),
            (Error::SharingRefused, 403, "sharing_refused", false),
            (Error::OwnerOnly, 403, "owner_only", false),
            (Error::LegalHold, 409, "legal_hold", false),
            (Error::SessionLocked { retry_after_seconds: 7 }, 423, "session_locked", true),
            (Error::LockLost, 409, "lock_lost", false),
            (Error::LockNotRenewable, 409, "lock_not_renewable", false),
            (Error::RateLimited { quota: Quota::Holder, retry_after_seconds: 7 }, 429, "rate_limited", true),
            (Error::Internal("secret".into()), 500, "internal_error", false),
            (Error::unavailable(Dependency::Redis, "secret"), 503, "dependency_unavailable", true),
        ];
        for (error, status, code, retryable) in table {
            let row = row(&error);
            assert_eq!((row.status.as_u16(), row.code, row.retryable), (status, code, retryable));
            // Who is refused, and what for, is told; what is asked wrongly, is not there or is away denies nobody anything.
            let denies = match status {
                401 | 403 | 423 | 429 => true,
                409 => code != "session_changed",
                _ => false,
            };
            assert_eq!(row.denial != Denial::Nothing, denies, "{code}");
            for response in [problem(&error), oauth_problem(&error)] {
                assert_eq!(response.status().as_u16(), status);
                assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), status == 401);
                assert_eq!(response.headers().contains_key(RETRY_AFTER), [423, 429, 503].contains(&status));
                let Body::Text(body) = response.into_body() else { panic!("a text body") };
                assert!(!body.contains("secret"), "{body}");
            }
        }
    }

    #[test]
    fn a_step_up_challenge_says_how_recent() {
        let response = problem(&Error::StepUpRequired { max_age_seconds: 300 });
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let expected = "Bearer realm=\"sessions\", error=\"insufficient_user_authentication\", max_age=\"300\"";
        assert_eq!(challenge, Some(expected));
    }

    /// RFC 6749 §5.2 and RFC 9449 §5: at the token endpoint only a client that did not authenticate gets a 401.
    #[test]
    fn the_token_endpoint_names_errors_as_its_rfcs_do() {
        let ended = Error::SessionEnded { reason: EndReason::Idle, asker: Asker::Holder };
        for (error, status, name) in [
            (Error::InvalidRequest(vec![]), 400, "invalid_request"),
            (Error::CredentialMissing, 401, "invalid_client"),
            (Error::CredentialInvalid("x"), 401, "invalid_client"),
            (Error::DpopProofInvalid("x"), 400, "invalid_dpop_proof"),
            (Error::DpopNonceRequired, 400, "use_dpop_nonce"),
            (Error::UnsupportedGrantType, 400, "unsupported_grant_type"),
            (Error::RefreshTokenInvalid, 400, "invalid_grant"),
            (Error::RefreshTokenReused, 400, "invalid_grant"),
            (ended, 400, "invalid_grant"),
            (Error::InsufficientScope(Scope::SessionsWrite), 400, "unauthorized_client"),
            (Error::SessionChanged, 409, "temporarily_unavailable"),
            (Error::unavailable(Dependency::Redis, "x"), 503, "temporarily_unavailable"),
        ] {
            let response = token_problem(&error);
            let Body::Text(body) = response.body() else { panic!("a text body") };
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!((response.status().as_u16(), &body["error"]), (status, &name.into()));
            assert_eq!(body["code"], row(&error).code);
            assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), status == 401);
        }
    }
}
