//! Sharing a session with a related application, and withdrawing the share.

use super::authenticate::{Caller, authenticate};
use super::end::{Progress, in_order};
use super::get;
use super::inbound::Inbound;
use super::rate;
use super::reach;
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, Shared, Withdrawal, Withdrawn};
use crate::core::application::{Application, ApplicationStatus, Scope};
use crate::core::family::SharedScopes;
use crate::core::id::{ApplicationId, SessionId};
use crate::core::ledger::LedgerEntry;
use crate::core::share_code::ShareCode;
use crate::core::time::Timestamp;
use crate::error::{Asker, Error, Result};
use crate::limits::SHARE_CODE_SECONDS;
use crate::random;
use serde::Serialize;

/// A request to share a session.
pub struct ShareSession {
    /// With whom.
    pub application_id: ApplicationId,
    /// For what, at most.
    pub scopes: SharedScopes,
}

/// A code for the related application.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedSession {
    /// Good once, for the named application only.
    code: String,
    /// Until when.
    expires_at: Timestamp,
    /// The application that may redeem it.
    application_id: String,
    /// What it will be able to do.
    scopes: Vec<&'static str>,
}

/// Makes a code with which a related application takes a share of a session: read, then one script.
pub async fn share_session(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    request: ShareSession,
) -> Result<SharedSession> {
    rate::watch(service, inbound, begin_share(service, inbound, session, request)).await
}

async fn begin_share(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    request: ShareSession,
) -> Result<SharedSession> {
    let now = inbound.now;
    let caller = authenticate(service, inbound).await?;
    caller.require(Scope::SessionsWrite)?;
    own_session(&caller, session)?;
    let slot = session.user_slot(service.keys.routing().await?);
    let reached = get::reached(service, &caller, session, slot, now).await?;
    // A share can not be shared on: depth 1.
    reached.require_owner()?;
    if let Caller::Holder(holder) = &caller {
        reach::require_recent(&holder.application, &reached.record, now)?;
    }
    let target = service.applications.get(&request.application_id, now).await?;
    let scopes = target.and_then(|target| granted(caller.application(), &target, request.scopes));
    let scopes = scopes.ok_or(Error::SharingRefused)?;
    let code = ShareCode::new(session, request.application_id.tag(), random::bytes()?);
    let operation = inbound.operation(&caller.actor())?;
    let call = scripts::share(slot, caller.application_tag(), &code, scopes, &operation, now);
    match scripts::shared(service.state.run(&call).await?)? {
        Shared::Done => Ok(SharedSession {
            code: code.text(),
            expires_at: now.plus_seconds(SHARE_CODE_SECONDS),
            application_id: request.application_id.as_str().to_owned(),
            scopes: scopes.names(),
        }),
        Shared::Refused => Err(Error::SharingRefused),
        // It was there a moment ago.
        Shared::Missing => Err(Error::SessionChanged),
        Shared::Ended(reason) => Err(Error::SessionEnded { reason, asker: caller.asker() }),
    }
}

/// What an application would get of another's session; `None` when the two are not related, or nothing is left. T-61.
fn granted(owner: &Application, target: &Application, asked: SharedScopes) -> Option<SharedScopes> {
    let related = target.group_id == owner.group_id
        && target.application_id != owner.application_id
        && target.status == ApplicationStatus::Active;
    let scopes = asked.within(owner).within(target);
    (related && !scopes.is_empty()).then_some(scopes)
}

/// Takes a session from an application: for its owner, or for that application itself. In the ledger first, like an end.
pub async fn withdraw_share(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    application_id: &ApplicationId,
) -> Result<Progress> {
    rate::watch(service, inbound, end_share(service, inbound, session, application_id)).await
}

async fn end_share(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    application_id: &ApplicationId,
) -> Result<Progress> {
    let now = inbound.now;
    let caller = authenticate(service, inbound).await?;
    caller.require(Scope::SessionsWrite)?;
    own_session(&caller, session)?;
    let slot = session.user_slot(service.keys.routing().await?);
    let (application_tag, asking_tag) = (application_id.tag(), caller.application_tag());
    let entry = LedgerEntry::Family { session, application_tag, asking_tag };
    let withdrawal = Withdrawal { asking_tag, application_tag, asked_at: Timestamp::MAX };
    let operation = inbound.operation(&caller.actor())?;
    let call = scripts::withdraw_share(&session, slot, caller.own().as_ref(), &withdrawal, &operation, now);
    match in_order(service, &entry, &call, now).await? {
        None => Ok(Progress::Accepted),
        Some(reply) => match scripts::withdrawn(reply)? {
            Withdrawn::Done => Ok(Progress::Done),
            Withdrawn::Missing => Err(Error::NotFound),
            Withdrawn::Ended(reason) => Err(Error::SessionEnded { reason, asker: caller.asker() }),
            Withdrawn::CallerOver(Some(reason)) => Err(Error::SessionEnded { reason, asker: Asker::Holder }),
            Withdrawn::CallerOver(None) => Err(Error::CredentialInvalid("the token is good for its session no more")),
        },
    }
}

/// Holders decide about the session that they hold.
fn own_session(caller: &Caller, session: SessionId) -> Result<()> {
    match caller {
        Caller::Holder(holder) if holder.session != session => Err(Error::NotFound),
        Caller::Holder(_) | Caller::Application(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::Policy;

    fn application(id: &str, group: &str, scopes: &[Scope]) -> Application {
        Application {
            application_id: id.into(),
            group_id: group.into(),
            name: id.into(),
            scopes: scopes.to_vec(),
            status: ApplicationStatus::Active,
            policy: Policy::default(),
            keys: Vec::new(),
            receivers: Vec::new(),
            created_at: 0,
            version: 1,
        }
    }

    #[test]
    fn t_61_only_active_relatives_get_what_both_have() {
        let (read, write) = (Scope::SessionsRead, Scope::SessionsWrite);
        let owner = application("shop", "acme", &[read, write]);
        let asked = SharedScopes::all();
        let of = |target: &Application, asked| granted(&owner, target, asked).map(SharedScopes::names);
        assert_eq!(of(&application("help", "acme", &[read, Scope::UsersManage]), asked), Some(vec!["sessions:read"]));
        assert_eq!(
            of(&application("help", "acme", &[read, write]), SharedScopes::of([write])),
            Some(vec!["sessions:write"])
        );
        assert_eq!(of(&application("help", "acme", &[read]), SharedScopes::of([write])), None);
        assert_eq!(of(&application("help", "other", &[read, write]), asked), None);
        assert_eq!(of(&application("shop", "acme", &[read, write]), asked), None);
        let disabled = Application { status: ApplicationStatus::Disabled, ..application("help", "acme", &[read]) };
        assert_eq!(of(&disabled, asked), None);
    }
}
