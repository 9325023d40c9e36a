//! The document against the code: limits, words and the error table.

use integration_tests::{Value, json};
use shared::adapters::http::problem::{oauth_problem, problem, row, token_problem};
use shared::core::application::Scope;
use shared::core::device::{DeviceType, TrustLevel};
use shared::core::end_reason::{self, EndReason};
use shared::core::family::SHAREABLE;
use shared::core::rate::Quota;
use shared::core::risk::{Signal, Signals, Verdict};
use shared::error::{Asker, Dependency, Error};
use shared::limits;

use std::collections::BTreeSet;

use super::contract::{document, operations, resolve, schema_errors, step};

fn number(pointer: &str) -> u64 {
    document().pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {pointer}"))
}

fn words(pointer: &str) -> BTreeSet<String> {
    let list = document().pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no list at {pointer}"));
    list.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

/// One error of each kind. The match has no wildcard: a new kind does not compile until it stands here.
pub(crate) fn every_error() -> Vec<Error> {
    let ended = |asker| Error::SessionEnded { reason: EndReason::Idle, asker };
    let errors = vec![
        Error::field("device.type", "is wrong"),
        Error::CredentialMissing,
        Error::CredentialInvalid("for the log"),
        Error::DpopProofInvalid("for the log"),
        Error::DpopNonceRequired,
        Error::DeviceProofInvalid("for the log"),
        Error::DeviceProofRequired,
        Error::UnsupportedGrantType,
        Error::RefreshTokenInvalid,
        Error::RefreshTokenReused,
        ended(Asker::Holder),
        ended(Asker::Application),
        Error::InsufficientScope(Scope::SessionsWrite),
        Error::ApplicationOnly,
        Error::NotFound,
        Error::SessionLimitReached,
        Error::SessionChanged,
        Error::VersionMismatch { current: 4 },
        Error::PayloadTooLarge { bytes_max: limits::BODY_BYTES_MAX },
        Error::UnsupportedMediaType { expected: "application/json" },
        Error::IdempotencyKeyReused,
        Error::LegacySessionExchanged,
        Error::IfMatchRequired,
        Error::StepUpRequired { max_age_seconds: limits::STEP_UP_AGE_SECONDS_DEFAULT },
        Error::StepUpStale,
        Error::RefreshTokenSuperseded,
        Error::SharingRefused,
        Error::OwnerOnly,
        Error::BindingMismatch,
        Error::SessionQuarantined(Signals::from_bits(5)),
        Error::Internal("for the log".into()),
        Error::unavailable(Dependency::Redis, "for the log"),
        Error::DeviceBlocked,
        Error::TrustNotProved,
        Error::SessionLocked { retry_after_seconds: 7 },
        Error::LockLost,
        Error::LockNotRenewable,
        Error::LegalHold,
        Error::RateLimited { quota: Quota::Holder, retry_after_seconds: 7 },
    ];
    for error in &errors {
        match error {
            Error::InvalidRequest(_)
            | Error::CredentialMissing
            | Error::CredentialInvalid(_)
            | Error::DpopProofInvalid(_)
            | Error::DpopNonceRequired
            | Error::DeviceProofInvalid(_)
            | Error::DeviceProofRequired
            | Error::UnsupportedGrantType
            | Error::RefreshTokenInvalid
            | Error::RefreshTokenReused
            | Error::SessionEnded { .. }
            | Error::InsufficientScope(_)
            | Error::ApplicationOnly
            | Error::NotFound
            | Error::SessionLimitReached
            | Error::SessionChanged
            | Error::VersionMismatch { .. }
            | Error::PayloadTooLarge { .. }
            | Error::UnsupportedMediaType { .. }
            | Error::IdempotencyKeyReused
            | Error::LegacySessionExchanged
            | Error::IfMatchRequired
            | Error::StepUpRequired { .. }
            | Error::StepUpStale
            | Error::RefreshTokenSuperseded
            | Error::SharingRefused
            | Error::OwnerOnly
            | Error::BindingMismatch
            | Error::SessionQuarantined(_)
            | Error::Internal(_)
            | Error::Unavailable { .. }
            | Error::DeviceBlocked
            | Error::TrustNotProved
            | Error::SessionLocked { .. }
            | Error::LockLost
            | Error::LockNotRenewable
            | Error::LegalHold
            | Error::RateLimited { .. } => {}
        }
    }
    errors
}

/// Documented error responses of a media type: status, code, the example.
fn documented_errors(media_type: &str) -> Vec<(u16, String, Value)> {
    let mut found = Vec::new();
    for (_, _, pointer) in operations() {
        let responses = document().pointer(&format!("{pointer}/responses")).and_then(Value::as_object);
        for status in responses.expect("responses").keys() {
            let (at, _) = resolve(&format!("{pointer}/responses/{status}"));
            let content = format!("{at}/content/{}", step(media_type));
            let codes = document().pointer(&format!("{content}/schema/properties/code/enum")).and_then(Value::as_array);
            for code in codes.into_iter().flatten().filter_map(Value::as_str) {
                let (_, example) = resolve(&format!("{content}/examples/{code}"));
                found.push((status.parse().expect("a status"), code.to_owned(), example["value"].clone()));
            }
        }
    }
    found
}

#[test]
fn the_error_table_is_that_of_the_code() {
    let documented = documented_errors("application/problem+json");
    let answers: BTreeSet<_> = documented.iter().map(|(status, code, _)| (*status, code.clone())).collect();
    let rows: Vec<_> = every_error().iter().map(row).collect();
    assert_eq!(words("/components/schemas/ProblemCode/enum"), rows.iter().map(|row| row.code.to_owned()).collect());
    // The token endpoint alone knows grants, and it has a shape of its own.
    let rows = rows.iter().filter(|row| row.code != row_of_grants().code);
    assert_eq!(answers, rows.map(|row| (row.status.as_u16(), row.code.to_owned())).collect());
}

fn row_of_grants() -> shared::adapters::http::problem::Row {
    row(&Error::UnsupportedGrantType)
}

#[test]
fn examples_of_problems_are_what_the_code_writes() {
    for error in every_error() {
        let (row, response) = (row(&error), problem(&error));
        let body: Value = serde_json::from_slice(response.body().as_ref()).expect("a problem");
        assert_eq!(schema_errors("/components/schemas/Problem", &body), Vec::<String>::new());
        for (status, code, example) in documented_errors("application/problem+json") {
            if (status, code.as_str()) != (row.status.as_u16(), row.code) {
                continue;
            }
            for member in ["type", "title", "status", "code", "retryable"] {
                assert_eq!(example[member], body[member], "{status} {code}");
            }
            let members =
                |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(members(&example), members(&body), "{status} {code}");
        }
    }
}

#[test]
fn examples_of_oauth_errors_are_what_the_code_writes() {
    let documented = documented_errors("application/json");
    assert!(!documented.is_empty());
    let errors = every_error();
    for (status, code, example) in documented {
        let shapes = [oauth_problem, token_problem];
        let mut written = errors.iter().flat_map(|error| shapes.map(|shape| shape(error)));
        let found = written.any(|response| {
            let body: Value = serde_json::from_slice(response.body().as_ref()).expect("an error");
            // Why a session ended is its own; that it is told is what counts.
            let alike = |name: &str| name == "reason" || body[name] == example[name];
            let members = body.as_object().expect("an object");
            response.status().as_u16() == status
                && members.keys().eq(example.as_object().expect("an object").keys())
                && members.keys().all(|name| alike(name))
        });
        assert!(found, "nothing writes {status} {code}: {example}");
    }
}

#[test]
fn words_are_those_of_the_code() {
    let owned = |word: &str| word.to_owned();
    assert_eq!(words("/components/schemas/DeviceType/enum"), DeviceType::ALL.map(|kind| owned(kind.as_str())).into());
    let levels = TrustLevel::ALL.map(|level| owned(level.as_str()));
    assert_eq!(words("/components/schemas/TrustLevel/enum"), levels.into());
    let reasons = end_reason::ALL.into_iter().map(|reason| reason.as_str().to_owned());
    assert_eq!(words("/components/schemas/EndReason/enum"), reasons.collect());
    let signals = Signal::ALL.map(|signal| owned(signal.as_str()));
    assert_eq!(words("/components/schemas/RiskSignal/enum"), signals.into());
    let verdicts = Verdict::ALL.map(|verdict| owned(verdict.as_str()));
    assert_eq!(words("/components/schemas/Risk/properties/verdict/enum"), verdicts.into());
    let standings = shared::core::standing::ALL.map(|standing| owned(standing.as_str()));
    assert_eq!(words("/components/schemas/Risk/properties/standing/enum"), standings.into());
    let shareable = SHAREABLE.map(|scope| owned(scope.as_str()));
    assert_eq!(words("/components/schemas/SharedScopes/items/enum"), shareable.into());
    let scopes = [
        Scope::SessionsCreate,
        Scope::SessionsRead,
        Scope::SessionsWrite,
        Scope::UsersManage,
        Scope::DevicesManage,
        Scope::AnalyticsRead,
        Scope::AuditRead,
        Scope::PrivacyManage,
    ];
    let scopes: BTreeSet<&str> = scopes.into_iter().map(Scope::as_str).collect();
    let types = shared::core::audit::EVENT_TYPES.map(owned);
    assert_eq!(words("/components/schemas/AuditEvent/properties/type/enum"), types.into());
    for (_, _, pointer) in operations() {
        let requirements = document().pointer(&format!("{pointer}/security")).and_then(Value::as_array);
        for requirement in requirements.expect("security").iter().filter_map(Value::as_object) {
            for (scheme, roles) in requirement {
                let roles = roles.as_array().expect("roles").iter().map(|role| role.as_str().expect("a scope"));
                let roles: Vec<_> = roles.collect();
                assert!(roles.iter().all(|role| scopes.contains(role)), "{pointer}: {roles:?}");
                assert_eq!(roles.is_empty(), scheme == "accessToken", "{pointer}: applications need a scope");
            }
        }
    }
}

#[test]
fn limits_are_those_of_the_code() {
    let schemas = "/components/schemas";
    let lock = format!("{schemas}/LockRequest/properties/ttlSeconds");
    assert_eq!(number(&format!("{lock}/default")), limits::LOCK_SECONDS_DEFAULT);
    assert_eq!(number(&format!("{lock}/maximum")), limits::LOCK_SECONDS_MAX);
    let renewals = number(&format!("{schemas}/Lock/properties/renewalsLeft/maximum"));
    assert_eq!(renewals, u64::from(limits::LOCK_RENEWALS_MAX));
    let usize_limits = [
        ("ShortText/maxLength", limits::SHORT_TEXT_BYTES_MAX),
        ("SessionData/x-max-bytes", limits::SESSION_DATA_BYTES_MAX),
        ("ClientContext/properties/fingerprint/maxLength", limits::FINGERPRINT_BYTES_MAX),
        ("ClientContext/properties/acceptLanguage/maxLength", limits::USER_AGENT_BYTES_MAX),
        ("ClientContext/properties/userAgent/maxLength", 8 * limits::USER_AGENT_BYTES_MAX),
        ("IntrospectionForm/properties/client_user_agent/maxLength", 8 * limits::USER_AGENT_BYTES_MAX),
        ("IntrospectionForm/properties/client_accept_language/maxLength", limits::USER_AGENT_BYTES_MAX),
        ("IntrospectionForm/properties/client_fingerprint/maxLength", limits::FINGERPRINT_BYTES_MAX),
        ("ClientView/properties/userAgent/maxLength", limits::USER_AGENT_BYTES_MAX),
        ("NewSession/properties/amr/maxItems", limits::AMR_ENTRIES_MAX),
        ("NewSession/properties/legacySession/maxLength", limits::LEGACY_SESSION_BYTES_MAX),
        ("Session/properties/amr/maxItems", limits::AMR_ENTRIES_MAX),
        ("ActiveToken/properties/amr/maxItems", limits::AMR_ENTRIES_MAX),
        ("SessionPage/properties/sessions/maxItems", limits::PAGE_SIZE_MAX),
        ("DeviceList/properties/devices/maxItems", limits::DEVICES_MAX),
        ("UserId/maxLength", shared::core::id::UserId::BYTES_MAX),
        ("Session/properties/sharedWith/maxItems", limits::SHARES_MAX as usize),
        ("StepUpRequest/properties/amr/maxItems", limits::AMR_ENTRIES_MAX),
        ("SharedScopes/maxItems", SHAREABLE.len()),
    ];
    for (pointer, limit) in usize_limits {
        assert_eq!(number(&format!("{schemas}/{pointer}")), limit as u64, "{pointer}");
    }
    let timeouts = [
        ("idleTimeoutSeconds", limits::IDLE_TIMEOUT_SECONDS_MIN, limits::IDLE_TIMEOUT_SECONDS_MAX),
        ("absoluteTimeoutSeconds", limits::ABSOLUTE_TIMEOUT_SECONDS_MIN, limits::ABSOLUTE_TIMEOUT_SECONDS_MAX),
    ];
    for (field, min, max) in timeouts {
        for body in ["NewSession", "StepUpRequest"] {
            let at = format!("{schemas}/{body}/properties/{field}");
            assert_eq!((number(&format!("{at}/minimum")), number(&format!("{at}/maximum"))), (min, max), "{at}");
        }
    }
    assert_eq!(number(&format!("{schemas}/AccessTokenSeconds/maximum")), limits::ACCESS_TOKEN_SECONDS);
    assert_eq!(number(&format!("{schemas}/Version/maximum")), u64::from(u32::MAX));
    let minute = number("/components/headers/RetryAfterMinute/schema/maximum");
    assert_eq!(minute, limits::RATE_WINDOW_SECONDS);
    let key = "/components/parameters/IdempotencyKey/schema/maxLength";
    assert_eq!(number(key), limits::IDEMPOTENCY_KEY_BYTES_MAX as u64);
    assert_eq!(document()["components"]["headers"]["RetryAfter"]["example"], json!(limits::RETRY_AFTER_SECONDS));
    let page = &document()["paths"]["/sessions/user/{userId}"]["get"]["parameters"][0]["schema"];
    assert_eq!(page["default"], json!(limits::PAGE_SIZE_DEFAULT));
    assert_eq!(page["maximum"], json!(limits::PAGE_SIZE_MAX));
    let wait = &document()["paths"]["/users/{userId}/state"]["get"]["parameters"][1]["schema"];
    assert_eq!(wait["maximum"], json!(limits::LONG_POLL_SECONDS_MAX));
    for (_, _, pointer) in operations() {
        let at = format!("{pointer}/requestBody");
        if document().pointer(&at).is_some() {
            let (_, body) = resolve(&at);
            let form = body["content"]["application/x-www-form-urlencoded"].is_object();
            let limit = if form { limits::FORM_BYTES_MAX } else { limits::BODY_BYTES_MAX };
            assert_eq!(body["x-max-bytes"], json!(limit), "{pointer}");
        }
    }
}

/// Numbers in sentences age unnoticed: each one that is a limit is checked here.
#[test]
fn numbers_in_sentences_are_those_of_the_code() {
    let thousands = |number: usize| match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    };
    let says = |pointer: &str, text: String| {
        let sentence = document().pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}"));
        assert!(sentence.contains(&text), "{pointer} does not say {text:?}: {sentence}");
    };
    let schemas = "/components/schemas";
    says(&format!("{schemas}/UserId/description"), format!("{} bytes", shared::core::id::UserId::BYTES_MAX));
    says(&format!("{schemas}/ShortText/description"), format!("{} bytes", limits::SHORT_TEXT_BYTES_MAX));
    let data = format!("{} bytes", thousands(limits::SESSION_DATA_BYTES_MAX));
    says(&format!("{schemas}/SessionData/description"), data.clone());
    says(&format!("{schemas}/DataPatch/properties/data/description"), data);
    let agent =
        format!("{} bytes; kept up to {}", thousands(8 * limits::USER_AGENT_BYTES_MAX), limits::USER_AGENT_BYTES_MAX);
    says(&format!("{schemas}/ClientContext/properties/userAgent/description"), agent);
    let fingerprint = format!("{} bytes", limits::FINGERPRINT_BYTES_MAX);
    says(&format!("{schemas}/ClientContext/properties/fingerprint/description"), fingerprint);
    let leeway = format!("({} seconds", limits::CLOCK_LEEWAY_SECONDS);
    for body in ["NewSession", "StepUpRequest"] {
        says(&format!("{schemas}/{body}/properties/authTime/description"), leeway.clone());
    }
    let code = format!("{} seconds", limits::SHARE_CODE_SECONDS);
    says("/paths/~1sessions~1{sessionId}~1share/post/description", code.clone());
    says(&format!("{schemas}/ShareCode/description"), code);
    let hours = format!("{} hours", limits::IDEMPOTENCY_SECONDS / 3600);
    says("/components/parameters/IdempotencyKey/description", hours);
    let legacy = format!("{schemas}/NewSession/properties/legacySession/description");
    let (seconds, days) = (limits::LEGACY_REPEAT_SECONDS, limits::LEGACY_REMEMBERED_SECONDS_MIN / 86_400);
    says(&legacy, format!("{seconds} seconds"));
    says(&legacy, format!("{days} days"));
    let refresh = "/paths/~1sessions~1{sessionId}~1refresh/post/description";
    says(refresh, format!("({} seconds by default)", limits::REFRESH_GRACE_SECONDS_DEFAULT));
    let lock = "/paths/~1sessions~1{sessionId}~1lock/post/description";
    let (lasts, default) = (limits::LOCK_SECONDS_MAX, limits::LOCK_SECONDS_DEFAULT);
    says(lock, format!("1 to {lasts} seconds ({default} by default)"));
    says(lock, format!("{} times, for {} seconds", limits::LOCK_RENEWALS_MAX, limits::LOCK_HOLD_SECONDS_MAX));
    let token = format!("{} seconds", limits::ACCESS_TOKEN_SECONDS);
    says("/components/securitySchemes/accessToken/description", token);
    let form = format!("{} bytes", thousands(limits::FORM_BYTES_MAX));
    says("/components/requestBodies/TokenForm/description", form.clone());
    says("/components/requestBodies/IntrospectionForm/description", form);
    for operation in
        ["~1sessions/post", "~1sessions~1{sessionId}/put", "~1sessions~1{sessionId}/patch", "~1sessions~1redeem/post"]
    {
        let body = format!("{} bytes", thousands(limits::BODY_BYTES_MAX));
        says(&format!("/paths/{operation}/requestBody/description"), body);
    }
    let forgotten = format!("{} days", limits::DEVICE_FORGOTTEN_AFTER_SECONDS / 86_400);
    says("/paths/~1users~1{userId}~1devices/get/description", forgotten);
    let removed = format!("{} days", limits::LEDGER_SECONDS / 86_400);
    says("/paths/~1users~1{userId}~1devices~1{deviceId}/delete/description", removed);
    says("/components/headers/KeepForMinutes/description", "five minutes".to_owned());
    assert_eq!(document()["components"]["headers"]["KeepForMinutes"]["schema"]["const"], "public, max-age=300");
}
