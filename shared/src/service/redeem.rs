//! Redeeming a code: the related application's own family of tokens under the shared session.

use super::authenticate;
use super::inbound::Inbound;
use super::present::{self, SessionView, TokenPair};
use super::rate;
use super::reach::{self, Reached};
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, Redeemed, Redemption};
use crate::core::application::Scope;
use crate::core::audit::Actor;
use crate::core::context::ClientContext;
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::share_code::ShareCode;
use crate::error::{Asker, Error, Result};
use serde::Serialize;

/// A session that was shared, with the application's own tokens.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedeemedSession {
    /// The session, without its data.
    pub session: SessionView,
    /// The first tokens of the application's family.
    #[serde(flatten)]
    pub tokens: TokenPair,
    /// What the application may do with the session.
    pub scopes: Vec<&'static str>,
}

/// Takes a code. The record is read first, since the grace window is of the policy for its device; then one script.
pub async fn redeem_share(
    service: &Service,
    inbound: &Inbound,
    code: &str,
    client: ClientContext,
) -> Result<RedeemedSession> {
    rate::watch(service, inbound, take_share(service, inbound, code, client)).await
}

async fn take_share(
    service: &Service,
    inbound: &Inbound,
    code: &str,
    client: ClientContext,
) -> Result<RedeemedSession> {
    let now = inbound.now;
    let application = authenticate::application(service, inbound, Scope::SessionsCreate).await?;
    let code = ShareCode::parse(code).ok_or(Error::NotFound)?;
    let application_id = application.id().ok_or_else(|| Error::Internal("application id out of grammar".into()))?;
    let (ring, routing) = tokio::try_join!(service.keys.ring(Purpose::Token), service.keys.routing())?;
    let (mac_key_id, _) = ring.active(KeyUse::Mac, now)?;
    let slot = code.session.user_slot(routing);
    let read = service.state.command(&scripts::read(&[code.session], slot)).await?;
    let record = scripts::read_reply(read)?.0.into_iter().next().flatten().ok_or(Error::NotFound)?;
    let rules = reach::rules(&application, &record);
    if rules.binding.require_key {
        // A family is not bound to a key, and this application takes no sessions without one.
        return Err(Error::SharingRefused);
    }
    let redemption = Redemption {
        code: &code,
        application_id: &application_id,
        mac_key_id,
        grace_seconds: rules.grace_seconds(false),
        digests: client.digests(routing, &code.session, application.policy.finest_bits()),
    };
    let operation = inbound.operation(&Actor::Application)?;
    let call = scripts::redeem(slot, &redemption, &operation, now);
    match scripts::redeemed(service.state.run(&call).await?)? {
        Redeemed::Done(record, family) => {
            let (generation, scopes) = (family.generation, family.scopes.names());
            let reached = Reached::new(*record, Some(family));
            Ok(RedeemedSession {
                tokens: present::tokens(service, code.session, &reached.record, generation, now).await?,
                session: reached.view(code.session, None),
                scopes,
            })
        }
        Redeemed::Missing => {
            if code.application_tag != application_id.tag() {
                tracing::warn!(event = "share_code_leaked", "a code was presented by another application");
            }
            Err(Error::NotFound)
        }
        Redeemed::Refused => {
            // Its code was right.
            inbound.notes.set_session(code.session);
            Err(Error::SharingRefused)
        }
        Redeemed::Ended(reason) => Err(Error::SessionEnded { reason, asker: Asker::Application }),
    }
}
