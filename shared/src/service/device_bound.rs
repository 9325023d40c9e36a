//! Device Bound Session Credentials in cookie mode: a browser registers a key once, right after its session was
//! created, and shows it again whenever its short cookie has run out. T-16, T-17.
//!
//! The browser drops its session over any 4xx but the one that brings a challenge, so an outage is never one.

use super::inbound::Inbound;
use super::possession;
use super::present;
use super::rate;
use super::risk;
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, KeyBound};
use crate::core::application::ApplicationStatus;
use crate::core::audit::Actor;
use crate::core::dbsc::{self, NewKey, Registration};
use crate::core::id::{ApplicationId, SessionId};
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::public_key::PublicKey;
use crate::core::rate::Party;
use crate::core::record::SessionRecord;
use crate::core::session::{Liveness, liveness, touch_due};
use crate::error::{Dependency, Error, Result};
use crate::random;
use serde::Serialize;

/// The cookie that stands for a device bound session.
pub const COOKIE: &str = "__Host-session";
/// Its attributes, its life aside.
pub const COOKIE_ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
/// Where a browser registers its key.
pub const REGISTRATION_PATH: &str = "/dbsc/registration";
/// Where it shows it again.
pub const REFRESH_PATH: &str = "/dbsc/refresh";

/// What a browser has to know of its session.
#[derive(Debug, Serialize)]
pub struct Configuration {
    session_identifier: String,
    #[serde(rename = "continue")]
    goes_on: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    credentials: Vec<Credential>,
}

#[derive(Debug, Serialize)]
struct Scope {
    origin: String,
    include_site: bool,
    scope_specification: [(); 0],
}

#[derive(Debug, Serialize)]
struct Credential {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    attributes: &'static str,
}

/// A short cookie.
pub struct Cookie {
    /// Its value: an access token that is worth something as this cookie only.
    pub value: String,
    /// Its life in seconds.
    pub max_age_seconds: u64,
}

/// An answer to the browser; no cookie when the session is over.
pub struct Answer {
    /// The body.
    pub configuration: Configuration,
    /// The cookie.
    pub cookie: Option<Cookie>,
}

/// The value of `Secure-Session-Registration`, which an application passes on to the browser of a new session.
pub async fn offer(service: &Service, session: SessionId, record: &SessionRecord) -> Result<String> {
    let ring = service.keys.ring(Purpose::Token).await?;
    let key = ring.by_id(KeyUse::Mac, record.header.mac_key_id).ok_or_else(no_mac_key)?;
    let registration = Registration::of(session, &record.header);
    let (challenge, code) = (registration.challenge(key), registration.code(key));
    let path = format!("{}{REGISTRATION_PATH}", service.issuer);
    Ok(format!("(ES256);path=\"{path}\";challenge=\"{challenge}\";authorization=\"{code}\""))
}

/// Binds a new session to the key of a proof.
pub async fn register(service: &Service, inbound: &Inbound, proof: &str) -> Result<Answer> {
    let refused = Error::DeviceProofInvalid;
    let now = inbound.now;
    let ring = service.keys.ring(Purpose::Token).await?;
    let new = NewKey::parse(proof).ok_or(refused("malformed"))?;
    let code = new.authorization().ok_or(refused("no registration code"))?;
    let registration = Registration::verify(code, |id| ring.by_id(KeyUse::Mac, id)).ok_or(refused("foreign code"))?;
    if !registration.is_open(now) {
        return Err(refused("the code's time is over"));
    }
    let mac_key = ring.by_id(KeyUse::Mac, registration.mac_key_id).ok_or_else(no_mac_key)?;
    if !new.answers(&registration.challenge(mac_key)) {
        return Err(refused("another challenge, or not by the key"));
    }
    let session = registration.session;
    let record = live(service, inbound, session).await?.ok_or(refused("the session is over"))?;
    inbound.notes.set_caller(Party::Holder(session), &record.attributes.application_id);
    risk::refuse_quarantined(&record)?;
    let slot = session.user_slot(service.keys.routing().await?);
    let operation = inbound.operation(&Actor::Holder)?;
    let call = scripts::bind_key(&session, slot, record.header.application_tag, &new.key, &operation, now);
    match scripts::key_bound(service.state.run(&call).await?)? {
        KeyBound::Done(record) => going_on(service, inbound, session, &record).await,
        KeyBound::Missing | KeyBound::Ended(_) => Err(refused("the session is over")),
        KeyBound::Taken => {
            tracing::warn!(event = "authn_key_refused", "a second key for a session that has one");
            Err(refused("the session has a key"))
        }
    }
}

/// Gives a new cookie to whoever answers a challenge with the session's key. Whoever sends no answer, or one to a
/// challenge that is stale or has been answered, gets a challenge; a session that is over is told as such.
pub async fn refresh(service: &Service, inbound: &Inbound, session: SessionId, proof: Option<&str>) -> Result<Answer> {
    let now = inbound.now;
    let record = live(service, inbound, session).await?;
    let bound = record.and_then(|record| Some((PublicKey::from_bytes(record.attributes.device_key?), record)));
    let Some((key, record)) = bound else {
        return Ok(Answer { configuration: Configuration::over(session), cookie: None });
    };
    let ring = service.keys.ring(Purpose::Token).await?;
    let mac_key = ring.by_id(KeyUse::Mac, record.header.mac_key_id).ok_or_else(no_mac_key)?;
    let ask = || -> Result<Error> {
        let challenge = dbsc::challenge(mac_key, session, now, random::bytes()?);
        inbound.notes.set("secure-session-challenge", format!("\"{challenge}\";id=\"{session}\""));
        Ok(Error::DeviceProofRequired)
    };
    let Some(proof) = proof else { return Err(ask()?) };
    let Some(challenge) = dbsc::answered_challenge(proof, &key) else {
        tracing::warn!(event = "authn_proof_fail", "a refresh without the key of the session");
        return Err(Error::DeviceProofInvalid("malformed, or not by the key of the session"));
    };
    inbound.notes.set_caller(Party::Holder(session), &record.attributes.application_id);
    if !dbsc::is_fresh(mac_key, session, &challenge, now)
        || !possession::first_use(service, session.bucket(), &[key.bytes(), challenge.as_bytes()]).await?
    {
        return Err(ask()?);
    }
    // Told to whoever has the key only. T-74.
    risk::refuse_quarantined(&record)?;
    if touch_due(&record.header, now) {
        let slot = session.user_slot(service.keys.routing().await?);
        let reply = service.state.run(&scripts::touch(&session, slot, now)).await?;
        if !scripts::touched(&reply)? {
            return Ok(Answer { configuration: Configuration::over(session), cookie: None });
        }
    }
    going_on(service, inbound, session, &record).await
}

/// The record of a session that lives, of an application that is served.
async fn live(service: &Service, inbound: &Inbound, session: SessionId) -> Result<Option<SessionRecord>> {
    let slot = session.user_slot(service.keys.routing().await?);
    let reply = service.state.command(&scripts::read(&[session], slot)).await?;
    let (records, epoch) = scripts::read_reply(reply)?;
    let record = records.into_iter().next().flatten();
    let Some(record) = record.filter(|record| liveness(&record.header, epoch, inbound.now) == Liveness::Alive) else {
        return Ok(None);
    };
    let Some(id) = ApplicationId::parse(&record.attributes.application_id) else { return Ok(None) };
    let application = service.applications.get(&id, inbound.now).await?;
    rate::admit_source(service, inbound, application.clone()).await?;
    let served = application.is_some_and(|application| application.status == ApplicationStatus::Active);
    Ok(served.then_some(record))
}

async fn going_on(service: &Service, inbound: &Inbound, session: SessionId, record: &SessionRecord) -> Result<Answer> {
    let (value, max_age_seconds) = present::access_token(service, session, record, inbound.now).await?;
    let configuration = Configuration {
        session_identifier: session.to_string(),
        goes_on: true,
        refresh_url: Some(format!("{}{REFRESH_PATH}", service.issuer)),
        scope: Some(Scope { origin: service.issuer.clone(), include_site: false, scope_specification: [] }),
        credentials: vec![Credential { kind: "cookie", name: COOKIE, attributes: COOKIE_ATTRIBUTES }],
    };
    Ok(Answer { configuration, cookie: Some(Cookie { value, max_age_seconds }) })
}

impl Configuration {
    /// What ends the browser's session without an error.
    fn over(session: SessionId) -> Self {
        Configuration {
            session_identifier: session.to_string(),
            goes_on: false,
            refresh_url: None,
            scope: None,
            credentials: Vec::new(),
        }
    }
}

fn no_mac_key() -> Error {
    Error::unavailable(Dependency::Kms, "the session's MAC key is not in the ring")
}
