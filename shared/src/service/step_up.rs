//! Recording a re-authentication: raised assurance and new tokens; everything from before is dead at once.

use super::authenticate::{self, Caller};
use super::get;
use super::inbound::Inbound;
use super::present::{self, SessionView};
use super::rate;
use super::reach;
use super::refresh::RefreshedSession;
use super::risk::Asking;
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, SteppedUp};
use crate::core::application::Scope;
use crate::core::audit::Actor;
use crate::core::context::ClientContext;
use crate::core::id::SessionId;
use crate::core::record::SessionRecord;
use crate::core::risk::{self, Commitment};
use crate::core::step_up::{Assertion, Refused, decide};
use crate::error::{Asker, Error, Result};

/// How often the decision is taken anew when the record changes underneath it.
const DECISIONS_MAX: usize = 3;

/// Steps a session up: read, decide, commit under the revision that was judged. Two round trips.
///
/// With the `client` that authenticated, one more: the session goes on in its context, which the history learns. Without it
/// the session's context stays, and a request from another one is judged as ever.
pub async fn step_up_session(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    assertion: &Assertion,
    client: Option<&ClientContext>,
) -> Result<RefreshedSession> {
    rate::watch(service, inbound, step_up(service, inbound, session, assertion, client)).await
}

async fn step_up(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    assertion: &Assertion,
    client: Option<&ClientContext>,
) -> Result<RefreshedSession> {
    let now = inbound.now;
    let application = authenticate::application(service, inbound, Scope::SessionsWrite).await?;
    let caller = Caller::Application(application.clone());
    let slot = session.user_slot(service.keys.routing().await?);
    let operation = inbound.operation(&Actor::Application)?;
    for _ in 0..DECISIONS_MAX {
        let reached = get::reached(service, &caller, session, slot, now).await?;
        reached.require_owner()?;
        let record = reached.record;
        let rules = reach::rules(&application, &record);
        let stepped = decide(&record, &rules, assertion, operation.mark, now).map_err(|refused| match refused {
            Refused::Stale => Error::StepUpStale,
            Refused::Invalid(errors) => Error::InvalidRequest(errors),
        })?;
        let (stepped, history) = match client {
            None => (stepped, None),
            Some(client) => {
                let asking = Asking {
                    policy: &application.policy,
                    client,
                    actor: &Actor::Application,
                    request_id: &inbound.request_id,
                    session,
                    slot,
                    now,
                    active: true,
                };
                let adopted = adopt(service, asking, &stepped).await?;
                (adopted.record, adopted.history)
            }
        };
        let revision = record.header.revision;
        let call = scripts::step_up(&session, slot, revision, &stepped, history.as_deref(), &operation, now);
        match scripts::stepped_up(service.state.run(&call).await?)? {
            SteppedUp::Done(record) => {
                return Ok(RefreshedSession {
                    tokens: present::tokens(service, session, &record, record.header.generation, now).await?,
                    session: SessionView::new(session, *record, None),
                });
            }
            SteppedUp::Moved => {}
            SteppedUp::Missing => return Err(Error::NotFound),
            SteppedUp::Ended(reason) => return Err(Error::SessionEnded { reason, asker: Asker::Application }),
        }
    }
    Err(Error::SessionChanged)
}

/// The stepped record in the context of the re-authentication.
async fn adopt(service: &Service, asking: Asking<'_>, stepped: &SessionRecord) -> Result<Commitment> {
    let reply = service.state.command(&scripts::read_with_history(&[], asking.slot)).await?;
    let (_, _, history) = scripts::read_with_history_reply(reply)?;
    let digests = asking.digests(service).await?;
    let scene = asking.scene(service, digests, stepped, &history).await?;
    Ok(risk::adopt(stepped, &scene, true))
}
