//! Reading requests. Anything ambiguous is refused before a store is asked.

use super::edge;
use super::fields::first_language;
use crate::clock;
use crate::core::context::ClientContext;
use crate::core::id::{SessionId, UserId};
use crate::core::json;
use crate::core::lock::LockToken;
use crate::error::{Error, Result};
use crate::limits::{BODY_BYTES_MAX, SHORT_TEXT_BYTES_MAX, USER_AGENT_BYTES_MAX};
use crate::service::authenticate::Credential;
use crate::service::device_bound;
use crate::service::inbound::{Inbound, Notes, Target};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::header::{
    ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderName, IF_MATCH, IF_NONE_MATCH,
    USER_AGENT,
};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use serde::de::DeserializeOwned;
use std::sync::OnceLock;

/// A request as handlers see it.
pub struct Incoming {
    request: Request,
    /// API Gateway's request id: `X-Request-Id`, logs and audit carry it.
    pub request_id: String,
    /// What operations want the answer to carry.
    pub notes: Notes,
}

/// The header that carries the owner token of a lock.
pub const SESSION_LOCK: &str = "Session-Lock";

// Names that are made once: looking a text up means reading it as a name first.
const DPOP: HeaderName = HeaderName::from_static("dpop");
const PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

/// The `If-Match` header.
pub use crate::service::update::Expected;

impl Incoming {
    /// Wraps an event.
    pub fn new(request: Request) -> Self {
        let gateway = match request.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
            _ => None,
        };
        let lambda = request.lambda_context_ref().map(|context| context.request_id.clone());
        let request_id = gateway.or(lambda).unwrap_or_default();
        let request_id =
            request_id.chars().filter(|c| c.is_ascii_alphanumeric() || "-_=".contains(*c)).take(64).collect();
        Incoming { request, request_id, notes: Notes::default() }
    }

    /// The method.
    pub fn method(&self) -> &lambda_http::http::Method {
        self.request.method()
    }

    /// The path, as the gateway decoded it.
    pub fn raw_path(&self) -> &str {
        self.request.raw_http_path()
    }

    /// A path parameter, as the gateway decoded it.
    fn path(&self, name: &str) -> Option<String> {
        self.request.path_parameters_ref()?.first(name).map(str::to_owned)
    }

    /// `{sessionId}`. What can not be a session id is not found, like an id that was never issued.
    pub fn session_id(&self) -> Result<SessionId> {
        self.path("sessionId").as_deref().and_then(SessionId::parse).ok_or(Error::NotFound)
    }

    /// `{userId}`.
    pub fn user_id(&self) -> Result<UserId> {
        let text = self.path("userId").unwrap_or_default();
        UserId::parse(&text).map_err(|detail| Error::field("userId", detail))
    }

    /// `{report}`.
    pub fn report(&self) -> Option<String> {
        self.path("report")
    }

    /// `{deviceId}`. What can not be a device id is not found, like an id that nobody named.
    pub fn device_id(&self) -> Result<String> {
        let id = self.path("deviceId").unwrap_or_default();
        let grammar = (1..=SHORT_TEXT_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
        if grammar { Ok(id) } else { Err(Error::NotFound) }
    }

    /// A query parameter that may be stated once; unknown parameters are refused by [`Incoming::only_query`].
    pub fn query(&self, name: &str) -> Result<Option<String>> {
        let Some(parameters) = self.request.query_string_parameters_ref() else { return Ok(None) };
        match parameters.all(name).unwrap_or_default().as_slice() {
            [] => Ok(None),
            [one] => Ok(Some((*one).to_owned())),
            _ => Err(Error::field(name, "must be stated once")),
        }
    }

    /// Refuses query parameters that the route does not know. A token in a query is refused with them.
    pub fn only_query(&self, known: &[&str]) -> Result<()> {
        let parameters = self.request.query_string_parameters_ref();
        match parameters.into_iter().flat_map(|all| all.iter()).find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) if name.len() <= 64 && name.bytes().all(|c| c.is_ascii_graphic()) => {
                Err(Error::field(name, "is not a parameter of this route"))
            }
            Some(_) => Err(Error::field("query", "has a parameter that this route does not know")),
        }
    }

    /// A header that carries one value. The gateway joins repeated headers with commas.
    pub fn header(
        &self,
        name: impl lambda_http::http::header::AsHeaderName + std::fmt::Display + Copy,
    ) -> Result<Option<&str>> {
        let mut values = self.request.headers().get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().ok().filter(|text| !text.contains(',')).filter(|_| values.next().is_none());
        text.map(Some).ok_or_else(|| Error::field(name.to_string(), "must be one value of visible ASCII"))
    }

    /// The credential in `Authorization`.
    pub fn credential(&self) -> Result<Option<Credential>> {
        let Some(value) = self.header(&AUTHORIZATION)? else { return Ok(None) };
        let (scheme, rest) = value.split_once(' ').ok_or(Error::CredentialInvalid("malformed Authorization"))?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Some(Credential::Bearer(rest.to_owned())));
        }
        if scheme.eq_ignore_ascii_case("dpop") {
            return Ok(Some(Credential::Dpop(rest.to_owned())));
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
            // RFC 6749 §2.3.1: both halves are form-encoded, and some clients encode more than they have to.
            let pair = pair.and_then(|(user, password)| Some((form_decoded(user)?, form_decoded(password)?)));
            let (user, password) = pair.ok_or(Error::CredentialInvalid("malformed Basic credential"))?;
            return Ok(Some(Credential::Basic { user, password }));
        }
        Err(Error::CredentialInvalid("unsupported scheme"))
    }

    /// The cookie of a device bound session. Whatever changes something takes it only where the browser says that the
    /// request is from this site (`Sec-Fetch-Site`): another one can not make it say so (CSRF, T-44). A cookie that is
    /// there twice is none.
    fn cookie(&self) -> Option<Credential> {
        let headers = self.request.headers();
        let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
        let safe = self.method().is_safe();
        if !safe && !matches!(site, Some("same-origin" | "same-site")) {
            return None;
        }
        let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == device_bound::COOKIE).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Some(Credential::Cookie(value.to_owned())),
            _ => None,
        }
    }

    /// A header of a single structured item (RFC 9651 §3.3): a string or a token, without parameters.
    pub fn item(&self, name: &'static str) -> Result<Option<&str>> {
        let Some(text) = self.header(name)?.map(str::trim) else { return Ok(None) };
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let plain = !bare.is_empty() && bare.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        plain.then_some(Some(bare)).ok_or_else(|| Error::field(name, "must be one structured item"))
    }

    /// `If-Match`: `"<version>"` or `*`.
    pub fn if_match(&self) -> Result<Expected> {
        let value = self.header(&IF_MATCH)?.ok_or(Error::IfMatchRequired)?.trim();
        if value == "*" {
            return Ok(Expected::Any);
        }
        let version = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        // Entity tags are compared as they are: `"01"` was never sent and matches nothing.
        let version =
            version.and_then(|digits| digits.parse::<u32>().ok().filter(|version| version.to_string() == digits));
        version.map(Expected::Version).ok_or_else(|| Error::field("If-Match", "must be \"<version>\" or *"))
    }

    /// Whether `If-None-Match` names a version.
    pub fn has_version(&self, version: u32) -> Result<bool> {
        self.has_entity_tag(&version.to_string())
    }

    /// Whether `If-None-Match` names an entity tag (RFC 9110 §13.1.2): a list of tags, compared weakly, or `*`.
    pub fn has_entity_tag(&self, tag: &str) -> Result<bool> {
        let mut found = false;
        let own = format!("\"{tag}\"");
        for value in self.request.headers().get_all(IF_NONE_MATCH) {
            let text = value.to_str().map_err(|_| Error::field("If-None-Match", "must be visible ASCII"))?;
            found |= text.trim() == "*";
            found |= text.split(',').any(|tag| tag.trim().trim_start_matches("W/") == own);
        }
        Ok(found)
    }

    /// `Session-Lock`: the owner token of a lock.
    pub fn session_lock(&self) -> Result<Option<LockToken>> {
        let Some(value) = self.header(SESSION_LOCK)? else { return Ok(None) };
        LockToken::parse(value.trim()).map(Some).ok_or_else(|| Error::field(SESSION_LOCK, "must be a lock token"))
    }

    /// What every operation takes from a request.
    pub fn inbound(&self) -> Result<Inbound> {
        Ok(Inbound {
            credential: self.credential()?.or_else(|| self.cookie()),
            client: self.client(),
            target: self.target(),
            request_id: self.request_id.clone(),
            now: clock::now(),
            notes: self.notes.clone(),
            account: OnceLock::new(),
        })
    }

    /// What was called, and the proof that came along. Repeated headers stay joined: no proof holds a comma, so
    /// they are refused like any other malformed proof (RFC 9449 §4.3).
    fn target(&self) -> Target {
        let proofs: Vec<_> = self.request.headers().get_all(DPOP).iter().map(|value| value.as_bytes()).collect();
        let proof = (!proofs.is_empty()).then(|| String::from_utf8_lossy(&proofs.join(&b","[..])).into_owned());
        Target { method: self.method().as_str().to_owned(), path: self.raw_path().to_owned(), proof }
    }

    /// Where the request comes from: the gateway's own view, or that of a CloudFront distribution that has proved itself.
    /// Forwarding headers are never read. T-90.
    pub fn client(&self) -> ClientContext {
        let address = match self.request.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => {
                context.http.source_ip.as_deref().and_then(|ip| ip.parse().ok())
            }
            _ => None,
        };
        let agent = self.request.headers().get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let user_agent = agent.map(|agent| {
            let cut = agent.floor_char_boundary(USER_AGENT_BYTES_MAX);
            agent[..cut].to_owned()
        });
        let text = |name: HeaderName| self.request.headers().get(name).and_then(|value| value.to_str().ok());
        let platform = text(PLATFORM).map(|text| text.trim_matches('"'));
        let viewer = edge::viewer(self.request.headers()).unwrap_or_default();
        ClientContext {
            address: viewer.address.or(address),
            user_agent,
            fingerprint: None,
            language: text(ACCEPT_LANGUAGE).and_then(first_language),
            platform: platform.filter(|text| (1..=32).contains(&text.len())).map(str::to_owned),
            place: viewer.place,
        }
    }

    /// The body, of a media type that the route takes, within its limit.
    pub fn body(&self, media_types: &'static [&'static str], bytes_max: usize) -> Result<&[u8]> {
        let expected = media_types.first().copied().unwrap_or_default();
        if self.request.headers().contains_key(CONTENT_ENCODING) {
            return Err(Error::UnsupportedMediaType { expected });
        }
        let stated = self.header(&CONTENT_TYPE)?.unwrap_or_default();
        let (essence, parameters) = stated.split_once(';').unwrap_or((stated, ""));
        let parameters = parameters.trim();
        let utf8 = parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8");
        if !utf8 || !media_types.iter().any(|known| essence.trim().eq_ignore_ascii_case(known)) {
            return Err(Error::UnsupportedMediaType { expected });
        }
        let body: &[u8] = self.request.body().as_ref();
        if body.len() > bytes_max {
            return Err(Error::PayloadTooLarge { bytes_max });
        }
        Ok(body)
    }

    /// The body as strict JSON.
    pub fn json<T: DeserializeOwned>(&self, media_types: &'static [&'static str]) -> Result<T> {
        json::parse(self.body(media_types, BODY_BYTES_MAX)?).map_err(|error| Error::InvalidRequest(vec![error]))
    }

    /// When Lambda will stop this invocation, in milliseconds since the epoch.
    pub fn deadline_millis(&self) -> Option<u64> {
        self.request.lambda_context_ref().map(|context| context.deadline)
    }
}

/// A text in the encoding of forms, plain.
fn form_decoded(text: &str) -> Option<String> {
    let mut pairs: Vec<(String, String)> = serde_urlencoded::from_str(&format!("text={text}")).ok()?;
    let decoded = pairs.pop()?.1;
    pairs.is_empty().then_some(decoded)
}

/// JSON bodies.
pub const JSON: &[&str] = &["application/json"];
/// Merge patches; plain JSON is taken for one.
pub const MERGE_PATCH: &[&str] = &["application/merge-patch+json", "application/json"];
/// OAuth forms.
pub const FORM: &[&str] = &["application/x-www-form-urlencoded"];
