//! Ending one session: ledger first, then Redis. Needs neither KMS nor PostgreSQL.

use super::authenticate::{Caller, identify};
use super::get;
use super::inbound::Inbound;
use super::rate;
use super::reach;
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, Ended};
use crate::core::application::Scope;
use crate::core::end_reason::EndReason;
use crate::core::id::SessionId;
use crate::core::ledger::LedgerEntry;
use crate::core::time::Timestamp;
use crate::error::{Asker, Dependency, Error, Result};

/// How far an end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// In force everywhere (204).
    Done,
    /// Durable, and applied before Redis serves again (202).
    Accepted,
}

/// Ends a session for its owner's application or its holder; for an application that shares it and for the holder of such
/// a share, the share. Idempotent.
pub async fn end_session(service: &Service, inbound: &Inbound, session: SessionId) -> Result<Progress> {
    rate::watch(service, inbound, end(service, inbound, session)).await
}

async fn end(service: &Service, inbound: &Inbound, session: SessionId) -> Result<Progress> {
    let now = inbound.now;
    let caller = identify(service, inbound).await?;
    caller.require(Scope::SessionsWrite)?;
    let slot = session.user_slot(service.keys.routing().await?);
    let reason = match &caller {
        Caller::Application(_) => EndReason::Admin,
        Caller::Holder(holder) => {
            if holder.session.user_slot(service.keys.routing().await?) != slot {
                return Err(Error::NotFound);
            }
            if holder.session != session {
                // The ledger learns of an end before Redis is asked, so a holder whose own session is over stops here.
                let own = get::load(service, &caller, holder.session, slot, now).await?;
                reach::require_recent(&holder.application, &own, now)?;
            }
            EndReason::User
        }
    };
    let application_tag = caller.application_tag();
    let entry = LedgerEntry::Session { session, reason, application_tag };
    let operation = inbound.operation(&caller.actor())?;
    let call = scripts::end(&session, slot, caller.own().as_ref(), application_tag, reason, &operation, now);
    match in_order(service, &entry, &call, now).await? {
        None => Ok(Progress::Accepted),
        Some(reply) => match scripts::ended(reply)? {
            Ended::Done(_) => Ok(Progress::Done),
            Ended::Missing => Err(Error::NotFound),
            Ended::CallerOver(Some(reason)) => Err(Error::SessionEnded { reason, asker: Asker::Holder }),
            Ended::CallerOver(None) => Err(Error::CredentialInvalid("the token is good for its session no more")),
        },
    }
}

/// Writes the ledger, then runs the script. When Redis is away the end is marked as pending, and `None` says that it
/// will be applied before that Redis serves anything. When the ledger is away nothing is promised: 503, although
/// Redis may have ended the session already.
pub async fn in_order(
    service: &Service,
    entry: &LedgerEntry,
    call: &scripts::Call,
    now: Timestamp,
) -> Result<Option<redis::Value>> {
    let recorded = service.ledger.record(entry, now).await;
    let ran = service.state.run(call).await;
    match (recorded, ran) {
        (Err(error), _) => Err(error),
        (Ok(()), Ok(reply)) => Ok(Some(reply)),
        (Ok(()), Err(Error::Unavailable { dependency: Dependency::Redis | Dependency::Clock, detail })) => {
            tracing::warn!(detail, "end accepted while Redis is out of reach");
            service.ledger.mark_pending(entry, now).await?;
            // Redis may be back by now, and may have served others before the mark was there: look again.
            if let Err(error) = service.state.bring_up_to_date().await {
                tracing::debug!(%error, "still away");
            }
            Ok(None)
        }
        (Ok(()), Err(error)) => Err(error),
    }
}
