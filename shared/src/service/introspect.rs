//! Token introspection, RFC 7662: access and refresh tokens, one round trip (two through a share), no activity recorded.

use super::authenticate::{confirmed, limited_oauth_client, verify_token};
use super::inbound::Inbound;
use super::present::token_type;
use super::rate;
use super::reach::{Reached, reach};
use super::risk::{self, Asking};
use super::runtime::Service;
use crate::adapters::redis::scripts;
use crate::core::access_token::{Confirmation, confirmation};
use crate::core::application::{KnownApplication, Scope};
use crate::core::assurance;
use crate::core::audit::Actor;
use crate::core::context::ClientContext;
use crate::core::id::SessionId;
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::record::SessionRecord;
use crate::core::refresh_token::RefreshToken;
use crate::core::session::{Liveness, liveness};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use serde::Serialize;

/// What a token is worth.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Introspection {
    /// Nothing; whether it is unknown, expired, revoked or another application's is not told.
    Inactive {
        /// `false`
        active: bool,
    },
    /// It is good.
    Active(Box<ActiveToken>),
}

/// An active token.
#[derive(Debug, Serialize)]
pub struct ActiveToken {
    active: bool,
    token_type: &'static str,
    iss: String,
    sub: String,
    aud: String,
    client_id: String,
    sid: String,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amr: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

const INACTIVE: Introspection = Introspection::Inactive { active: false };

/// Introspects a token for one of the applications.
///
/// When the application states the `client` that presented the token, the session is judged by it, if it is the
/// application's own: a token in the hands of a thief is inactive from the first look on. T-01.
pub async fn introspect(
    service: &Service,
    inbound: &Inbound,
    token: &str,
    client: Option<&ClientContext>,
) -> Result<Introspection> {
    rate::watch(service, inbound, look_up(service, inbound, token, client)).await
}

async fn look_up(
    service: &Service,
    inbound: &Inbound,
    token: &str,
    client: Option<&ClientContext>,
) -> Result<Introspection> {
    let now = inbound.now;
    let application = limited_oauth_client(service, inbound).await?;
    if !application.may(Scope::SessionsRead) {
        return Err(Error::InsufficientScope(Scope::SessionsRead));
    }
    if RefreshToken::looks_like(token) {
        return introspect_refresh(service, inbound, &application, token, client).await;
    }
    // An environment whose clock is off finds good tokens expired; it has to say that it can not tell.
    let claims = match confirmed(service, verify_token(service, token, now).await).await {
        Ok(claims) => claims,
        Err(Error::CredentialInvalid(_)) => return Ok(INACTIVE),
        Err(error) => return Err(error),
    };
    let Some(session) = SessionId::parse(&claims.sid).filter(|_| claims.client_id == application.application_id) else {
        return Ok(INACTIVE);
    };
    // A token from before a step-up is not: its successor tells of the newer authentication. T-34.
    let is_good = |record: &SessionRecord| assurance::is_current(claims.auth_time, record);
    Ok(match live_record(service, inbound, session, &application, client, is_good).await? {
        None => INACTIVE,
        Some(_) => Introspection::Active(Box::new(ActiveToken {
            active: true,
            token_type: token_type(claims.cnf.as_ref()),
            iss: claims.iss.clone(),
            sub: claims.sub.clone(),
            aud: claims.aud.clone(),
            client_id: claims.client_id.clone(),
            sid: claims.sid.clone(),
            iat: claims.iat,
            exp: claims.exp,
            jti: Some(claims.jti.clone()),
            acr: claims.acr.clone(),
            amr: claims.amr.clone(),
            auth_time: claims.auth_time,
            cnf: claims.cnf.clone(),
        })),
    })
}

/// A refresh token is active while it is the current one of a live family.
async fn introspect_refresh(
    service: &Service,
    inbound: &Inbound,
    application: &KnownApplication,
    token: &str,
    client: Option<&ClientContext>,
) -> Result<Introspection> {
    let ring = service.keys.ring(Purpose::Token).await?;
    let tag = application.tag();
    let token = RefreshToken::verify(token, |id| ring.by_id(KeyUse::Mac, id));
    let Some(token) = token.filter(|token| token.application_tag == tag) else {
        return Ok(INACTIVE);
    };
    let is_good = |record: &SessionRecord| token.generation >= record.header.generation;
    let Some(record) = live_record(service, inbound, token.session, application, client, is_good).await? else {
        return Ok(INACTIVE);
    };
    let attributes = record.attributes;
    let cnf = confirmation(&attributes);
    Ok(Introspection::Active(Box::new(ActiveToken {
        active: true,
        token_type: "refresh_token",
        iss: service.issuer.clone(),
        sub: attributes.user_id,
        aud: attributes.application_id.clone(),
        client_id: attributes.application_id,
        sid: token.session.to_string(),
        iat: record.header.rotated_at.seconds(),
        exp: record.header.absolute_expires_at.seconds(),
        jti: None,
        acr: attributes.acr,
        amr: attributes.amr,
        auth_time: attributes.auth_time.map(Timestamp::seconds),
        cnf,
    })))
}

/// The record of a live session for which the token is good, and which may go on with the client.
async fn live_record(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    application: &KnownApplication,
    client: Option<&ClientContext>,
    is_good: impl Fn(&SessionRecord) -> bool,
) -> Result<Option<SessionRecord>> {
    let now = inbound.now;
    let slot = session.user_slot(service.keys.routing().await?);
    let reply = service.state.command(&scripts::read_with_history(&[session], slot)).await?;
    let (records, epoch, history) = scripts::read_with_history_reply(reply)?;
    let tag = application.tag();
    let reached = reach(service, session, records.into_iter().next().flatten(), tag).await?;
    let live = reached.filter(|reached| liveness(&reached.record.header, epoch, now) == Liveness::Alive);
    let good = live.filter(|reached| is_good(&reached.record) && risk::refuse_quarantined(&reached.record).is_ok());
    let Some(Reached { record, share }) = good else { return Ok(None) };
    let (Some(client), None) = (client, share) else { return Ok(Some(record)) };
    let (actor, request_id) = (&Actor::Application, inbound.request_id.as_str());
    let asking = Asking { policy: &application.policy, client, actor, request_id, session, slot, now, active: false };
    match asking.admit(service, record, history).await {
        Ok(record) => Ok(Some(record).filter(is_good)),
        Err(Error::SessionQuarantined(_) | Error::BindingMismatch | Error::SessionEnded { .. } | Error::NotFound) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
