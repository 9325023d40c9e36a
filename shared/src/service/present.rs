//! What callers see of a session, and the tokens they get.

use super::key_store::OpenRing;
use super::runtime::Service;
use crate::core::access_token::{self, Claims, Confirmation};
use crate::core::family::Family;
use crate::core::id::SessionId;
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::record::SessionRecord;
use crate::core::refresh_token::RefreshToken;
use crate::core::session::idle_expires_at;
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::random;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The device of a session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// The device as the application names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its kind.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    device_type: Option<String>,
}

/// The client of a session: never the whole address.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientView {
    /// The address prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    address_prefix: Option<String>,
    /// The user agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// How the risk of a session was last judged; absent while nothing has ever spoken against it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RiskView {
    /// 0 to 100.
    score: u8,
    /// What the score means under the policy; without effect in shadow mode.
    verdict: &'static str,
    /// The signals behind it.
    reasons: Vec<&'static str>,
    /// What the session may do.
    standing: &'static str,
}

/// An application that a session is shared with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedWith {
    /// The application.
    application_id: String,
    /// What it may do with the session.
    scopes: Vec<&'static str>,
    /// Since when.
    since: Timestamp,
}

/// A session as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    session_id: String,
    user_id: String,
    application_id: String,
    version: u32,
    created_at: Timestamp,
    last_activity_at: Timestamp,
    idle_expires_at: Timestamp,
    absolute_expires_at: Timestamp,
    idle_timeout_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amr: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<ClientView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shared_with: Vec<SharedWith>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk: Option<RiskView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

/// The data of a session.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Data {
    /// As an operation has made it.
    Object(Map<String, Value>),
    /// As it was sealed.
    Text(Box<RawValue>),
}

impl SessionView {
    /// The view of a record; `data` is opened by the caller.
    pub fn new(session: SessionId, record: SessionRecord, data: Option<Data>) -> Self {
        let SessionRecord { header, attributes, sealed: _ } = record;
        let known =
            attributes.device_id.is_some() || attributes.device_name.is_some() || attributes.device_type.is_some();
        let device = known.then_some(DeviceView {
            device_id: attributes.device_id,
            name: attributes.device_name,
            device_type: attributes.device_type,
        });
        let known = attributes.address_prefix.is_some() || attributes.user_agent.is_some();
        let client = known
            .then_some(ClientView { address_prefix: attributes.address_prefix, user_agent: attributes.user_agent });
        let risk = attributes.risk.map(|note| RiskView {
            score: header.risk_score,
            verdict: note.verdict.as_str(),
            reasons: note.reasons.words(),
            standing: header.standing.as_str(),
        });
        SessionView {
            session_id: session.to_string(),
            user_id: attributes.user_id,
            application_id: attributes.application_id,
            version: header.version,
            created_at: header.created_at,
            last_activity_at: header.last_activity_at,
            idle_expires_at: idle_expires_at(&header).min(header.absolute_expires_at),
            absolute_expires_at: header.absolute_expires_at,
            idle_timeout_seconds: header.idle_timeout_seconds,
            acr: attributes.acr,
            amr: attributes.amr,
            auth_time: attributes.auth_time,
            device,
            client,
            place: attributes.place.map(|place| place.name),
            risk,
            shared_with: Vec::new(),
            shared_from: None,
            current: None,
            data,
        }
    }

    /// Says with whom the session is shared.
    pub fn with_shares(mut self, families: &[Family]) -> Self {
        self.shared_with = families
            .iter()
            .map(|family| SharedWith {
                application_id: family.application_id.as_str().to_owned(),
                scopes: family.scopes.names(),
                since: family.created_at,
            })
            .collect();
        self.shared_with.sort_by(|one, other| one.application_id.cmp(&other.application_id));
        self
    }

    /// Says which application shares the session with the one that asks.
    pub fn with_shared_from(self, owner_id: &str) -> Self {
        SessionView { shared_from: Some(owner_id.to_owned()), ..self }
    }

    /// Says whether this is the caller's own session.
    pub fn with_current(self, current: Option<bool>) -> Self {
        SessionView { current, ..self }
    }

    /// The version: the `ETag`.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The handle.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }
}

/// A pair of tokens.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenPair {
    /// The access token.
    pub access_token: String,
    /// How to present it.
    pub token_type: &'static str,
    /// Its life in seconds.
    pub expires_in: u64,
    /// The refresh token.
    pub refresh_token: String,
}

/// How an access token is presented (RFC 9449 §5); one that is good as a cookie only has a type of its own.
pub fn token_type(confirmation: Option<&Confirmation>) -> &'static str {
    match confirmation {
        None => "Bearer",
        Some(Confirmation::Proof(_)) => "DPoP",
        Some(Confirmation::Cookie(_)) => "DBSC",
    }
}

/// The tokens of a session at a generation of its family.
pub async fn tokens(
    service: &Service,
    session: SessionId,
    record: &SessionRecord,
    generation: u32,
    now: Timestamp,
) -> Result<TokenPair> {
    let ring = service.keys.ring(Purpose::Token).await?;
    let (access_token, claims) = sign(service, &ring, session, record, now)?;
    let expires_in = life_seconds(&claims);
    let refresh_token = refresh_token(&ring, session, record, generation)?;
    Ok(TokenPair { access_token, token_type: token_type(claims.cnf.as_ref()), expires_in, refresh_token })
}

/// An access token alone, with its life in seconds.
pub async fn access_token(
    service: &Service,
    session: SessionId,
    record: &SessionRecord,
    now: Timestamp,
) -> Result<(String, u64)> {
    let ring = service.keys.ring(Purpose::Token).await?;
    let (token, claims) = sign(service, &ring, session, record, now)?;
    Ok((token, life_seconds(&claims)))
}

fn life_seconds(claims: &Claims) -> u64 {
    u64::try_from(claims.exp - claims.iat).unwrap_or(0)
}

fn sign(
    service: &Service,
    ring: &OpenRing,
    session: SessionId,
    record: &SessionRecord,
    now: Timestamp,
) -> Result<(String, Claims)> {
    let claims = access_token::claims(
        &service.issuer,
        session,
        &record.attributes,
        record.header.absolute_expires_at,
        now,
        random::bytes()?,
    );
    let token = ring
        .signing_key(now)?
        .sign(&claims)
        .ok_or_else(|| Error::unavailable(Dependency::Kms, "the signing key is unusable"))?;
    Ok((token, claims))
}

fn refresh_token(ring: &OpenRing, session: SessionId, record: &SessionRecord, generation: u32) -> Result<String> {
    let header = &record.header;
    let key = ring
        .by_id(KeyUse::Mac, header.mac_key_id)
        .ok_or_else(|| Error::unavailable(Dependency::Kms, "the session's MAC key is not in the ring"))?;
    let token =
        RefreshToken { mac_key_id: header.mac_key_id, session, application_tag: header.application_tag, generation };
    Ok(token.encode(key))
}
