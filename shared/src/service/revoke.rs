//! Token revocation, RFC 7009: revoking any token of a session ends the session; one of a share, the share.

use super::authenticate::oauth_client;
use super::end::in_order;
use super::inbound::Inbound;
use super::rate;
use super::runtime::Service;
use crate::adapters::redis::scripts;
use crate::core::access_token;
use crate::core::application::Scope;
use crate::core::audit::Actor;
use crate::core::end_reason::EndReason;
use crate::core::id::SessionId;
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::ledger::LedgerEntry;
use crate::core::refresh_token::RefreshToken;
use crate::error::{Error, Result};

/// Ends the session of a token. A token that is not this application's, or no token at all, is answered like a
/// revoked one (RFC 7009 §2.2); an outage is an error, never a false success.
pub async fn revoke(service: &Service, inbound: &Inbound, token: &str) -> Result<()> {
    rate::watch(service, inbound, end_session_of(service, inbound, token)).await
}

async fn end_session_of(service: &Service, inbound: &Inbound, token: &str) -> Result<()> {
    let now = inbound.now;
    let application = oauth_client(service, inbound).await?;
    if !application.may(Scope::SessionsWrite) {
        return Err(Error::InsufficientScope(Scope::SessionsWrite));
    }
    let application_tag = application.tag();
    let Some(session) = session_of(service, token, &application.application_id, application_tag).await? else {
        return Ok(());
    };
    let slot = session.user_slot(service.keys.routing().await?);
    let reason = EndReason::TokenRevoked;
    let entry = LedgerEntry::Session { session, reason, application_tag };
    let operation = inbound.operation(&Actor::Application)?;
    let call = scripts::end(&session, slot, None, application_tag, reason, &operation, now);
    if let Some(reply) = in_order(service, &entry, &call, now).await? {
        scripts::ended(reply)?;
    }
    Ok(())
}

/// The session of a genuine token of this application. An expired access token still names its session.
async fn session_of(
    service: &Service,
    token: &str,
    application_id: &str,
    application_tag: [u8; 8],
) -> Result<Option<SessionId>> {
    if RefreshToken::looks_like(token) {
        let ring = service.keys.ring(Purpose::Token).await?;
        let token = RefreshToken::verify(token, |id| ring.by_id(KeyUse::Mac, id));
        return Ok(token.filter(|token| token.application_tag == application_tag).map(|token| token.session));
    }
    let keys = service.keys.verifying_keys().await?;
    Ok(match access_token::verify_at_any_time(token, &keys, &service.issuer) {
        Ok(claims) if claims.client_id == application_id => SessionId::parse(&claims.sid),
        Ok(_) => None,
        Err(refusal) => {
            tracing::debug!(%refusal, "token to revoke not recognised");
            None
        }
    })
}
