//! Recording what users do in their sessions.

use super::authenticate::{Caller, authenticate};
use super::inbound::Inbound;
use super::rate;
use super::risk::{Asking, JUDGEMENTS_MAX};
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, Recorded, Writer};
use crate::core::activity::Activity;
use crate::core::application::Scope;
use crate::core::id::SessionId;
use crate::error::{Error, Result};

/// Records activities of a session and touches it: one round trip. Returns how many were recorded, none when the user has
/// opted out.
pub async fn record_activity(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    activities: Vec<Activity>,
) -> Result<usize> {
    rate::watch(service, inbound, record(service, inbound, session, activities)).await
}

async fn record(service: &Service, inbound: &Inbound, session: SessionId, activities: Vec<Activity>) -> Result<usize> {
    let now = inbound.now;
    let caller = authenticate(service, inbound).await?;
    caller.require(Scope::SessionsWrite)?;
    if let Caller::Holder(holder) = &caller
        && holder.session != session
    {
        return Err(Error::NotFound);
    }
    let slot = session.user_slot(service.keys.routing().await?);
    let operation = inbound.operation(&caller.actor())?;
    let asking = match &caller {
        Caller::Application(_) => None,
        Caller::Holder(holder) => Some(Asking::of_holder(holder, slot, now)),
    };
    let context = match &asking {
        None => None,
        Some(asking) => Some(asking.digests(service).await?),
    };
    let own = caller.own();
    let defaults = caller.application().policy.privacy_defaults.privacy();
    let application = (caller.application_tag(), caller.application().application_id.as_str());
    let mut judgement = None;
    let mut judgements = 0..JUDGEMENTS_MAX;
    let recorded = loop {
        let writer = Writer { own: own.as_ref(), context, judgement: judgement.as_deref(), ..Writer::default() };
        let call =
            scripts::record_activity(&session, slot, application, &activities, defaults, writer, &operation, now);
        let recorded = scripts::recorded(service.state.run(&call).await?)?;
        judgement = match (recorded, asking.zip(context)) {
            (Recorded::Unjudged { record, history }, Some((asking, digests))) => {
                Some(asking.let_pass(service, digests, &record, &history).await?)
            }
            (Recorded::Unjudged { .. } | Recorded::Moved, _) => None,
            (recorded, _) => break recorded,
        };
        if judgements.next().is_none() {
            return Err(Error::SessionChanged);
        }
    };
    match recorded {
        Recorded::Done => Ok(activities.len()),
        Recorded::OptedOut => Ok(0),
        Recorded::TooEarly => Err(Error::field("activities", "must not be from before the session began")),
        Recorded::NotShared => Err(Error::InsufficientScope(Scope::SessionsWrite)),
        Recorded::Missing => Err(caller.not_there()),
        Recorded::Ended(reason) => Err(Error::SessionEnded { reason, asker: caller.asker() }),
        Recorded::Unjudged { .. } | Recorded::Moved => Err(Error::SessionChanged),
    }
}
