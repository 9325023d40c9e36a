//! The token endpoint of OAuth (RFC 6749 §6): the refresh token grant, for standard clients.

use super::authenticate::limited_oauth_client;
use super::inbound::Inbound;
use super::rate;
use super::refresh::{self, OnBehalf};
use super::runtime::Service;
use crate::core::application::Scope;
use crate::core::id::ApplicationId;
use crate::error::{Error, Result};
use serde::Serialize;

/// A request for the refresh token grant.
pub struct GrantRequest {
    /// The presented token.
    pub refresh_token: String,
    /// The client as it names itself. It is enough for a public client; whoever authenticates needs none.
    pub client_id: Option<String>,
}

/// The next pair, as RFC 6749 §5.1 has it.
#[derive(Serialize)]
pub struct Granted {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
}

/// Exchanges a refresh token for the next pair. The decision, and its cost, are those of [`refresh::present_token`].
pub async fn grant(service: &Service, inbound: &Inbound, request: GrantRequest) -> Result<Granted> {
    rate::watch(service, inbound, exchange(service, inbound, request)).await
}

async fn exchange(service: &Service, inbound: &Inbound, request: GrantRequest) -> Result<Granted> {
    let token = refresh::verify(service, &request.refresh_token).await?;
    let on_behalf = match (&inbound.credential, &request.client_id) {
        (Some(_), _) => {
            let application = limited_oauth_client(service, inbound).await?;
            if !application.may(Scope::SessionsWrite) {
                return Err(Error::InsufficientScope(Scope::SessionsWrite));
            }
            if application.tag() != token.application_tag {
                return Err(Error::RefreshTokenInvalid);
            }
            OnBehalf::Application { application, client: None }
        }
        (None, Some(client_id)) => {
            // A refresh token is good for the client it was issued to (RFC 6749 §10.4).
            let id = ApplicationId::parse(client_id).ok_or(Error::RefreshTokenInvalid)?;
            if id.tag() != token.application_tag {
                return Err(Error::RefreshTokenInvalid);
            }
            OnBehalf::Itself
        }
        (None, None) => return Err(Error::CredentialMissing),
    };
    let tokens = refresh::present_token(service, inbound, token, on_behalf).await?.tokens;
    Ok(Granted {
        access_token: tokens.access_token,
        token_type: tokens.token_type,
        expires_in: tokens.expires_in,
        refresh_token: tokens.refresh_token,
    })
}
