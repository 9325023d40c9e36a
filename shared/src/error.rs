//! What can go wrong, without HTTP. `adapters::http::problem` is the one table from here to status and code.

use crate::core::application::Scope;
use crate::core::end_reason::EndReason;
use crate::core::json::FieldError;
use crate::core::rate::Quota;
use crate::core::risk::Signals;

/// A dependency that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    /// Redis.
    Redis,
    /// DynamoDB.
    DynamoDb,
    /// KMS.
    Kms,
    /// PostgreSQL.
    Postgres,
    /// Where anchors of the audit lie.
    Anchors,
    /// A clock that agrees with the store's.
    Clock,
}

/// Who asked for a session that is over: an application hears 404, the holder's own credential 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A backend with its key.
    Application,
    /// The holder of a token of the session.
    Holder,
}

/// The service's errors. Each says what happened; sentences for callers are made at the edge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong, field by field.
    #[error("invalid request: {0:?}")]
    InvalidRequest(Vec<FieldError>),
    /// No credential was presented.
    #[error("no credential")]
    CredentialMissing,
    /// The credential is not accepted; the text is for the log only.
    #[error("credential refused: {0}")]
    CredentialInvalid(&'static str),
    /// The proof of possession is missing, or not accepted; the text is for the log only.
    #[error("proof of possession refused: {0}")]
    DpopProofInvalid(&'static str),
    /// The proof of possession must carry the nonce that comes with the answer.
    #[error("proof of possession without a good nonce")]
    DpopNonceRequired,
    /// The browser's proof is not accepted; the text is for the log only.
    #[error("device proof refused: {0}")]
    DeviceProofInvalid(&'static str),
    /// The browser must answer the challenge that comes with the answer.
    #[error("device proof required")]
    DeviceProofRequired,
    /// The token endpoint knows the refresh token grant only.
    #[error("unsupported grant type")]
    UnsupportedGrantType,
    /// Not a refresh token of this service, session, or family.
    #[error("refresh token refused")]
    RefreshTokenInvalid,
    /// Proof of replay: the session has been ended.
    #[error("refresh token replayed")]
    RefreshTokenReused,
    /// The session is over.
    #[error("session ended: {reason:?}")]
    SessionEnded {
        /// Why.
        reason: EndReason,
        /// Who asked.
        asker: Asker,
    },
    /// The application lacks a scope.
    #[error("scope {0:?} is missing")]
    InsufficientScope(Scope),
    /// Holders may not do this.
    #[error("only an application may do this")]
    ApplicationOnly,
    /// The device is blocked: no session begins on it.
    #[error("the device is blocked")]
    DeviceBlocked,
    /// The wanted trust level of a device is not proved.
    #[error("trust not proved")]
    TrustNotProved,
    /// The holder's authentication is too old, or its session too doubtful, for this operation (RFC 9470).
    #[error("a recent authentication is required")]
    StepUpRequired {
        /// How old the authentication may be, in seconds.
        max_age_seconds: u64,
    },
    /// It does not exist, or not for this caller.
    #[error("not found")]
    NotFound,
    /// The concurrent limit rejects one more session.
    #[error("session limit reached")]
    SessionLimitReached,
    /// The session changed while it was judged; the same request may succeed.
    #[error("session changed meanwhile")]
    SessionChanged,
    /// `If-Match` names another version than the current one.
    #[error("version mismatch, current is {current}")]
    VersionMismatch {
        /// The version to use.
        current: u32,
    },
    /// `If-Match` is required.
    #[error("If-Match is missing")]
    IfMatchRequired,
    /// Body or data exceed their limit.
    #[error("payload too large")]
    PayloadTooLarge {
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// The body is of another media type or coding than the route takes.
    #[error("unsupported media type")]
    UnsupportedMediaType {
        /// What the route takes.
        expected: &'static str,
    },
    /// The idempotency key stood for another payload.
    #[error("idempotency key reused")]
    IdempotencyKeyReused,
    /// The legacy session was exchanged for a session before.
    #[error("legacy session exchanged before")]
    LegacySessionExchanged,
    /// The session is bound to the network it began at, and the request comes from another one.
    #[error("bound to another network")]
    BindingMismatch,
    /// The session may do nothing but re-authenticate.
    #[error("session quarantined: {:?}", .0.words())]
    SessionQuarantined(Signals),
    /// The asserted authentication is too old, or not later than the recorded one.
    #[error("stale step-up")]
    StepUpStale,
    /// A step-up put the refresh token out of use; the session goes on with a newer one.
    #[error("refresh token superseded by a step-up")]
    RefreshTokenSuperseded,
    /// The session can not be shared with that application, or not by more applications.
    #[error("sharing refused")]
    SharingRefused,
    /// The law asks to keep what is held of the user.
    #[error("legal hold")]
    LegalHold,
    /// Only the application that owns the session may do this.
    #[error("only the owner may do this")]
    OwnerOnly,
    /// Somebody else holds the session's lock.
    #[error("session locked for {retry_after_seconds} s")]
    SessionLocked {
        /// When the lock ends at the latest, unless it is renewed.
        retry_after_seconds: u64,
    },
    /// The lock of the presented token is not held, or not by that token.
    #[error("lock lost")]
    LockLost,
    /// The lock is held and can not be renewed any more.
    #[error("lock not renewable")]
    LockNotRenewable,
    /// The caller has asked too much in this minute.
    #[error("rate limited for {retry_after_seconds} s by {quota:?}")]
    RateLimited {
        /// Of what.
        quota: Quota,
        /// When the minute is over.
        retry_after_seconds: u64,
    },
    /// A dependency did not do its part; nothing is half done, and the same request may succeed.
    #[error("{dependency:?} unavailable: {detail}")]
    Unavailable {
        /// Which one.
        dependency: Dependency,
        /// For the log only.
        detail: String,
    },
    /// A defect of ours; the text is for the log only.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// An outage of a dependency.
    pub fn unavailable(dependency: Dependency, detail: impl std::fmt::Display) -> Self {
        Error::Unavailable { dependency, detail: detail.to_string() }
    }

    /// One wrong field.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Error::InvalidRequest(vec![FieldError::new(field, detail)])
    }
}

/// Shorthand of the crate.
pub type Result<T> = std::result::Result<T, Error>;
