//! Ending all sessions of a user, or those of one device.

use super::authenticate::{Caller, identify};
use super::devices;
use super::end::{Progress, in_order};
use super::get;
use super::inbound::Inbound;
use super::rate;
use super::reach;
use super::runtime::Service;
use crate::adapters::redis::scripts;
use crate::core::application::Scope;
use crate::core::id::{SessionId, UserId, UserSlot};
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::ledger::LedgerEntry;
use crate::error::{Error, Result};

/// Which sessions to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// All but one.
    Except(SessionId),
    /// Those of a device.
    Device(String),
}

/// Ends sessions of a user. All (or all but one) is an epoch: complete whatever the index says, in constant time.
pub async fn end_user_sessions(service: &Service, inbound: &Inbound, user: &UserId, which: Which) -> Result<Progress> {
    rate::watch(service, inbound, end(service, inbound, user, which)).await
}

async fn end(service: &Service, inbound: &Inbound, user: &UserId, which: Which) -> Result<Progress> {
    let now = inbound.now;
    let caller = identify(service, inbound).await?;
    caller.require(Scope::UsersManage)?;
    let slot = user_slot(service, inbound, &caller, user).await?;
    if let Caller::Holder(holder) = &caller {
        // A holder whose session is over must not end the others: 300 seconds of token life are not 300 of power.
        let own = get::load(service, &caller, holder.session, slot, now).await?;
        reach::require_recent(&holder.application, &own, now)?;
    }
    match which {
        Which::Device(device_id) => devices::sign_out(service, &caller, slot, &device_id, inbound).await,
        Which::All => revoke_all(service, &caller, slot, None, inbound).await,
        Which::Except(session) => {
            if session.user_slot(service.keys.routing().await?) != slot {
                return Err(Error::field("except", "must be a session of this user"));
            }
            revoke_all(service, &caller, slot, Some(session), inbound).await
        }
    }
}

/// Where a user's state lives, for callers to whom the user exists.
pub async fn user_slot(service: &Service, inbound: &Inbound, caller: &Caller, user: &UserId) -> Result<UserSlot> {
    if let Caller::Holder(holder) = caller
        && holder.claims.sub != user.as_str()
    {
        return Err(Error::NotFound);
    }
    let ring = service.keys.ring(Purpose::Pseudonym).await?;
    let (_, key) = ring.active(KeyUse::Pseudonym, inbound.now)?;
    let slot = UserSlot::of(key, &caller.application().group_id, user);
    inbound.notes.set_subject(slot);
    Ok(slot)
}

async fn revoke_all(
    service: &Service,
    caller: &Caller,
    slot: UserSlot,
    spared: Option<SessionId>,
    inbound: &Inbound,
) -> Result<Progress> {
    let now = inbound.now;
    let (epoch, spared) = service.users.raise_epoch(slot, spared, now).await?;
    let entry = LedgerEntry::User { slot, epoch, spared };
    let operation = inbound.operation(&caller.actor())?;
    let application_id = &caller.application().application_id;
    let call = scripts::revoke_user(slot, epoch, spared.as_ref(), application_id, &operation, now);
    match in_order(service, &entry, &call, now).await? {
        None => Ok(Progress::Accepted),
        Some(reply) => {
            scripts::revoked(reply)?;
            Ok(Progress::Done)
        }
    }
}
