//! Reading a session: one round trip of plain commands, a second one when the activity is due to be recorded.

use super::authenticate::{Caller, Holder, authenticate};
use super::inbound::Inbound;
use super::present::{Data, SessionView};
use super::rate;
use super::reach::{Reached, reach};
use super::risk::{self, Asking};
use super::runtime::Service;
use super::session_data;
use crate::adapters::redis::scripts;
use crate::core::application::Scope;
use crate::core::assurance::is_current as is_current_token;
use crate::core::id::{SessionId, UserSlot};
use crate::core::record::{Header, SHARED, SessionRecord, State};
use crate::core::session::{Liveness, liveness, touch_due};
use crate::core::time::Timestamp;
use crate::error::{Asker, Error, Result};

/// Reads a session with its data, and slides its idle timeout. Boxed, since every layer above hands it on.
pub async fn get_session(service: &Service, inbound: &Inbound, session: SessionId) -> Result<Box<SessionView>> {
    rate::watch(service, inbound, read(service, inbound, session)).await
}

async fn read(service: &Service, inbound: &Inbound, session: SessionId) -> Result<Box<SessionView>> {
    let now = inbound.now;
    let caller = authenticate(service, inbound).await?;
    caller.require(Scope::SessionsRead)?;
    let slot = session.user_slot(service.keys.routing().await?);
    let mut reached = reached(service, &caller, session, slot, now).await?;
    reached.require(Scope::SessionsRead)?;
    let adopted = match &caller {
        Caller::Holder(holder)
            if holder.session == session && is_owned(&reached) && touch_due(&reached.record.header, now) =>
        {
            let asking = Asking::of_holder(holder, slot, now);
            Box::pin(asking.adopt(service, &reached.record)).await?
        }
        Caller::Holder(_) | Caller::Application(_) => None,
    };
    let record = &mut reached.record;
    if let Some(adopted) = adopted {
        *record = adopted;
    } else if touch_due(&record.header, now) {
        let reply = Box::pin(service.state.run(&scripts::touch(&session, slot, now))).await?;
        if !scripts::touched(&reply)? {
            // It ended between the two round trips; read again to say why.
            Box::pin(load(service, &caller, session, slot, now)).await?;
            return Err(Error::SessionChanged);
        }
        record.header.last_activity_at = now.max(record.header.last_activity_at);
    }
    let data = session_data::open_as_text(service, session, record).await?;
    Ok(Box::new(reached.view(session, Some(Data::Text(data))).with_current(is_current(&caller, session))))
}

/// As [`reached`], the record alone: what was shared with the caller's application is for the operation to ask.
pub async fn load(
    service: &Service,
    caller: &Caller,
    session: SessionId,
    slot: UserSlot,
    now: Timestamp,
) -> Result<SessionRecord> {
    Ok(reached(service, caller, session, slot, now).await?.record)
}

/// Loads a live session that exists for the caller: its application owns it, or shares it. A holder's own session is
/// checked in the same command, and judged when the holder's context has changed: one round trip more.
pub async fn reached(
    service: &Service,
    caller: &Caller,
    session: SessionId,
    slot: UserSlot,
    now: Timestamp,
) -> Result<Reached> {
    match caller {
        Caller::Application(_) => {
            let reply = service.state.command(&scripts::read(&[session], slot)).await?;
            let (records, epoch) = scripts::read_reply(reply)?;
            alive(service, session, records.into_iter().next().flatten(), caller, epoch, now).await
        }
        // Boxed, as what is rare here: the future of a read is moved to where it runs, and every byte of it with it.
        Caller::Holder(holder) => Box::pin(reached_by_holder(service, caller, holder, session, slot, now)).await,
    }
}

async fn reached_by_holder(
    service: &Service,
    caller: &Caller,
    holder: &Holder,
    session: SessionId,
    slot: UserSlot,
    now: Timestamp,
) -> Result<Reached> {
    let mut sessions = vec![session];
    if holder.session != session {
        // Another user's session lies under another tag; only one's own user's sessions exist for a holder.
        if holder.session.user_slot(service.keys.routing().await?) != slot {
            return Err(Error::NotFound);
        }
        sessions.push(holder.session);
    }
    let reply = service.state.command(&scripts::read_with_history(&sessions, slot)).await?;
    let (records, epoch, history) = scripts::read_with_history_reply(reply)?;
    let mut records = records.into_iter();
    let record = records.next().flatten();
    let asking = Asking::of_holder(holder, slot, now);
    if let Some(own) = records.next() {
        let own = alive(service, holder.session, own, caller, epoch, now).await?;
        admitted(service, holder, &asking, own, history).await?;
        return alive(service, session, record, caller, epoch, now).await;
    }
    let own = alive(service, session, record, caller, epoch, now).await?;
    admitted(service, holder, &asking, own, history).await
}

/// A holder's own session that may go on from this context. What another application shares is not judged, and refused
/// all the same while it is quarantined.
async fn admitted(
    service: &Service,
    holder: &Holder,
    asking: &Asking<'_>,
    own: Reached,
    history: Vec<u8>,
) -> Result<Reached> {
    risk::refuse_quarantined(&own.record)?;
    if !is_owned(&own) {
        return Ok(own);
    }
    let record = asking.admit(service, own.record, history).await?;
    match is_current_token(holder.claims.auth_time, &record) {
        true => Ok(Reached::new(record, None)),
        // Stepped up while it was judged.
        false => Err(Error::CredentialInvalid("the token is good for its session no more")),
    }
}

fn is_owned(reached: &Reached) -> bool {
    reached.share.is_none()
}

/// A session that is there, that the caller's application owns or shares, and that lives. A holder's own token must also
/// tell of the authentication that the record tells of.
async fn alive(
    service: &Service,
    session: SessionId,
    record: Option<SessionRecord>,
    caller: &Caller,
    epoch: u32,
    now: Timestamp,
) -> Result<Reached> {
    let own = caller.own().filter(|own| own.session == session);
    let (asker, gone) = match own {
        None => (Asker::Application, Error::NotFound),
        Some(_) => (Asker::Holder, Error::CredentialInvalid("the token is good for its session no more")),
    };
    // The shares of a tombstone are gone with it; its own token proves to a holder that there was one.
    if let (Some(_), Some(Header { state: State::Ended(reason), flags, .. })) =
        (own, record.as_ref().map(|r| &r.header))
        && flags & SHARED != 0
    {
        return Err(Error::SessionEnded { reason: *reason, asker });
    }
    let reached = reach(service, session, record, caller.application_tag()).await?;
    let Some(reached) = reached else { return Err(gone) };
    match liveness(&reached.record.header, epoch, now) {
        Liveness::Ended(reason) | Liveness::Lapsed(reason) => Err(Error::SessionEnded { reason, asker }),
        Liveness::Alive => match own {
            Some(own) if !is_current_token(own.auth_time, &reached.record) => Err(gone),
            Some(_) | None => Ok(reached),
        },
    }
}

/// Whether a session is the calling holder's own; applications have none.
pub fn is_current(caller: &Caller, session: SessionId) -> Option<bool> {
    match caller {
        Caller::Application(_) => None,
        Caller::Holder(holder) => Some(holder.session == session),
    }
}
