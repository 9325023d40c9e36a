//! Checks of single fields that several routes share.

use crate::core::context::ClientContext;
use crate::core::device::{DeviceType, TrustLevel};
use crate::core::id::SessionId;
use crate::core::json::FieldError;
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::{
    AMR_ENTRIES_MAX, CLOCK_LEEWAY_SECONDS, FINGERPRINT_BYTES_MAX, SHORT_TEXT_BYTES_MAX, USER_AGENT_BYTES_MAX,
};
use serde::Deserialize;

/// Collects what is wrong with a request, so that a caller hears all of it at once.
#[derive(Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes that a field is wrong.
    pub fn refuse(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push(FieldError::new(field, detail));
    }

    /// Text of 1 to 128 bytes without control characters.
    pub fn short_text(&mut self, field: &str, value: Option<String>) -> Option<String> {
        self.text(field, value, SHORT_TEXT_BYTES_MAX)
    }

    /// Text of 1 to `bytes_max` bytes without control characters.
    pub fn text(&mut self, field: &str, value: Option<String>, bytes_max: usize) -> Option<String> {
        let value = value?;
        if value.is_empty() || value.len() > bytes_max {
            self.refuse(field, format!("must be 1 to {bytes_max} bytes long"));
        } else if value.chars().any(char::is_control) {
            self.refuse(field, "must not contain control characters");
        }
        Some(value)
    }

    /// Opaque text of 1 to `bytes_max` visible ASCII characters.
    pub fn visible(&mut self, field: &str, value: Option<String>, bytes_max: usize) -> Option<String> {
        let value = self.text(field, value, bytes_max)?;
        if value.chars().any(|c| !c.is_ascii_graphic() && !c.is_control()) {
            self.refuse(field, "must be visible ASCII");
        }
        Some(value)
    }

    /// `amr`: names of authentication methods.
    pub fn methods(&mut self, field: &str, methods: Vec<String>) -> Vec<String> {
        if methods.len() > AMR_ENTRIES_MAX {
            self.refuse(field, format!("must have at most {AMR_ENTRIES_MAX} entries"));
        }
        for (index, method) in methods.iter().enumerate() {
            self.short_text(&format!("{field}[{index}]"), Some(method.clone()));
        }
        methods
    }

    /// When a user authenticated: not in the future, the leeway of clocks aside.
    pub fn auth_time(&mut self, field: &str, value: Option<&str>, now: Timestamp) -> Option<Timestamp> {
        let instant = value.map(Timestamp::parse)?;
        let latest = now.plus_seconds(CLOCK_LEEWAY_SECONDS);
        if instant.is_none_or(|instant| instant > latest) {
            self.refuse(field, "must be an RFC 3339 time that is not in the future");
        }
        instant
    }

    /// A word of [`DeviceType`].
    pub fn device_type(&mut self, field: &str, value: Option<String>) -> Option<DeviceType> {
        let kind = DeviceType::parse(value.as_deref()?);
        if kind.is_none() {
            self.refuse(field, format!("must be one of {}", DeviceType::ALL.map(DeviceType::as_str).join(", ")));
        }
        kind
    }

    /// A word of [`TrustLevel`].
    pub fn trust_level(&mut self, field: &str, value: Option<String>) -> Option<TrustLevel> {
        let level = TrustLevel::parse(value.as_deref()?);
        if level.is_none() {
            self.refuse(field, format!("must be one of {}", TrustLevel::ALL.map(TrustLevel::as_str).join(", ")));
        }
        level
    }

    /// A session id.
    pub fn session_id(&mut self, field: &str, value: Option<String>) -> Option<SessionId> {
        let session = SessionId::parse(value.as_deref()?);
        if session.is_none() {
            self.refuse(field, "must be a session id");
        }
        session
    }

    /// The client as an application states it.
    pub fn client(&mut self, client: Option<ClientBody>) -> ClientContext {
        let Some(client) = client else { return ClientContext::default() };
        let address = client.ip.as_deref().and_then(|ip| ip.parse().ok());
        if client.ip.is_some() && address.is_none() {
            self.refuse("client.ip", "must be an IPv4 or IPv6 address");
        }
        let language = self.text("client.acceptLanguage", client.accept_language, USER_AGENT_BYTES_MAX);
        ClientContext {
            address,
            user_agent: self.text("client.userAgent", client.user_agent, 8 * USER_AGENT_BYTES_MAX),
            fingerprint: self.text("client.fingerprint", client.fingerprint, FINGERPRINT_BYTES_MAX),
            language: language.as_deref().and_then(first_language),
            platform: None,
            place: None,
        }
    }

    /// Whether everything was right.
    pub fn done(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::InvalidRequest(self.0)) }
    }
}

/// The first language of an `Accept-Language`, without its region: regions come and go with travel.
pub fn first_language(header: &str) -> Option<String> {
    let first = header.split([',', ';', '-']).next()?.trim().to_ascii_lowercase();
    (!first.is_empty() && first.len() <= 8 && first.bytes().all(|c| c.is_ascii_lowercase())).then_some(first)
}

/// `client` in a body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientBody {
    /// The client's address.
    pub ip: Option<String>,
    /// Its `User-Agent`.
    pub user_agent: Option<String>,
    /// An opaque fingerprint.
    pub fingerprint: Option<String>,
    /// Its `Accept-Language`; the first language is part of the fingerprint.
    pub accept_language: Option<String>,
}
