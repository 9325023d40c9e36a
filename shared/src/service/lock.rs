//! Locking a session's data, and letting it go.

use super::authenticate::{Caller, authenticate};
use super::get;
use super::inbound::Inbound;
use super::rate;
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, Locked, Unlocked};
use crate::core::application::Scope;
use crate::core::id::{SessionId, UserSlot};
use crate::core::lock::{self, LockToken, Wanted};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::random;
use serde::Serialize;

/// A request for a session's lock.
pub struct LockRequest {
    /// The session.
    pub session: SessionId,
    /// How long the lock shall last from here, in seconds.
    pub ttl_seconds: u64,
    /// The token of the lock to renew; a new lock without one.
    pub renews: Option<LockToken>,
}

/// A lock as its owner hears of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantedLock {
    /// The owner token, for `Session-Lock`.
    pub lock_token: String,
    /// Higher than that of any earlier lock of the session.
    pub fence: u64,
    /// When the lock ends unless it is renewed. The store's clock decides; this is its end by the clock of the answer.
    pub expires_at: Timestamp,
    /// How often it can still be renewed.
    pub renewals_left: u8,
}

/// Grants the lock of a session to a new owner, or renews it for its owner.
pub async fn lock_session(service: &Service, inbound: &Inbound, request: LockRequest) -> Result<GrantedLock> {
    rate::watch(service, inbound, grant(service, inbound, request)).await
}

async fn grant(service: &Service, inbound: &Inbound, request: LockRequest) -> Result<GrantedLock> {
    let (now, session) = (inbound.now, request.session);
    let (caller, slot) = writer(service, inbound, session).await?;
    let (wanted, token) = match request.renews {
        Some(token) => (Wanted::Renew, token),
        None => (Wanted::Acquire, LockToken::new(random::bytes()?)),
    };
    let (tag, operation) = (caller.application_tag(), inbound.operation(&caller.actor())?);
    let call = scripts::lock(&session, slot, tag, wanted, token.owner(), request.ttl_seconds, &operation, now);
    match scripts::locked(service.state.run(&call).await?)? {
        Locked::Granted { fence, left_millis, renewals } => Ok(GrantedLock {
            lock_token: token.expose(),
            fence,
            expires_at: Timestamp::from_millis(now.millis().saturating_add_unsigned(left_millis)),
            renewals_left: lock::renewals_left(renewals),
        }),
        Locked::HeldByAnother(left_millis) => {
            Err(Error::SessionLocked { retry_after_seconds: left_millis.div_ceil(1000) })
        }
        Locked::Lost => Err(Error::LockLost),
        Locked::NotRenewable => Err(Error::LockNotRenewable),
        Locked::Missing => Err(caller.not_there()),
        Locked::Ended(reason) => Err(Error::SessionEnded { reason, asker: caller.asker() }),
    }
}

/// Releases the lock of a session for the owner of its token.
pub async fn unlock_session(service: &Service, inbound: &Inbound, session: SessionId, token: LockToken) -> Result<()> {
    rate::watch(service, inbound, release(service, inbound, session, token)).await
}

async fn release(service: &Service, inbound: &Inbound, session: SessionId, token: LockToken) -> Result<()> {
    let (caller, slot) = writer(service, inbound, session).await?;
    let (tag, operation) = (caller.application_tag(), inbound.operation(&caller.actor())?);
    let call = scripts::unlock(&session, slot, tag, token.owner(), &operation, inbound.now);
    match scripts::unlocked(service.state.run(&call).await?)? {
        Unlocked::Done => Ok(()),
        Unlocked::Lost => Err(Error::LockLost),
        Unlocked::Missing => Err(caller.not_there()),
        Unlocked::Ended(reason) => Err(Error::SessionEnded { reason, asker: caller.asker() }),
    }
}

/// Who may change a session's data: an application, and the holder of that very session, which is looked at first: its
/// token may be from before a step-up, and its context is judged.
async fn writer(service: &Service, inbound: &Inbound, session: SessionId) -> Result<(Caller, UserSlot)> {
    let caller = authenticate(service, inbound).await?;
    caller.require(Scope::SessionsWrite)?;
    let slot = session.user_slot(service.keys.routing().await?);
    match &caller {
        Caller::Application(_) => {}
        Caller::Holder(holder) if holder.session != session => return Err(Error::NotFound),
        Caller::Holder(_) => drop(get::load(service, &caller, session, slot, inbound.now).await?),
    }
    Ok((caller, slot))
}
