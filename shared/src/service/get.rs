//! Reading a session: one round trip of plain commands, a second one when the activity is due to be recorded.

use super::authenticate::{Caller, authenticate};
use super::inbound::Inbound;
use super::present::SessionView;
use super::rate;
use super::runtime::Service;
use super::session_data;
use crate::adapters::redis::scripts;
use crate::core::application::Scope;
use crate::core::id::{SessionId, UserSlot};
use crate::core::record::SessionRecord;
use crate::core::session::{Liveness, liveness, touch_due};
use crate::core::time::Timestamp;
use crate::error::{Asker, Error, Result};

/// Reads a session with its data, and slides its idle timeout.
pub async fn get_session(service: &Service, inbound: &Inbound, session: SessionId) -> Result<SessionView> {
    rate::watch(service, inbound, read(service, inbound, session)).await
}

async fn read(service: &Service, inbound: &Inbound, session: SessionId) -> Result<SessionView> {
    let now = inbound.now;
    let caller = authenticate(service, inbound).await?;
    caller.require(Scope::SessionsRead)?;
    let slot = session.user_slot(service.keys.routing().await?);
    let mut record = load(service, &caller, session, slot, now).await?;
    if touch_due(&record.header, now) {
        let reply = service.state.run(&scripts::touch(&session, slot, now)).await?;
        if !scripts::touched(&reply)? {
            // It ended between the two round trips; read again to say why.
            load(service, &caller, session, slot, now).await?;
            return Err(Error::SessionChanged);
        }
        record.header.last_activity_at = now.max(record.header.last_activity_at);
    }
    let data = session_data::open(service, session, &record).await?;
    Ok(SessionView::new(session, &record, Some(data)).with_current(is_current(&caller, session)))
}

/// Loads a live session that exists for the caller. A holder's own session is checked in the same command.
pub async fn load(
    service: &Service,
    caller: &Caller,
    session: SessionId,
    slot: UserSlot,
    now: Timestamp,
) -> Result<SessionRecord> {
    let own = match caller {
        Caller::Application(_) => None,
        Caller::Holder(holder) => Some(holder.session),
    };
    let mut sessions = vec![session];
    if let Some(own) = own.filter(|own| *own != session) {
        // Another user's session lies under another tag; only one's own user's sessions exist for a holder.
        if own.user_slot(service.keys.routing().await?) != slot {
            return Err(Error::NotFound);
        }
        sessions.push(own);
    }
    let reply = service.state.command(&scripts::read(&sessions, slot)).await?;
    let (records, epoch) = scripts::read_reply(reply)?;
    let mut records = records.into_iter();
    let record = records.next().flatten();
    if let Some(own) = records.next() {
        alive(own, caller, epoch, now, Asker::Holder)?;
    }
    let asker = if own == Some(session) { Asker::Holder } else { Asker::Application };
    alive(record, caller, epoch, now, asker)
}

/// A record that is there, belongs to the caller's application, and lives.
fn alive(
    record: Option<SessionRecord>,
    caller: &Caller,
    epoch: u32,
    now: Timestamp,
    asker: Asker,
) -> Result<SessionRecord> {
    let gone = match asker {
        Asker::Application => Error::NotFound,
        Asker::Holder => Error::CredentialInvalid("the token's session is not there"),
    };
    let tag = caller.application_tag()?;
    let record = record.filter(|record| record.header.application_tag == tag).ok_or(gone)?;
    match liveness(&record.header, epoch, now) {
        Liveness::Alive => Ok(record),
        Liveness::Ended(reason) | Liveness::Lapsed(reason) => Err(Error::SessionEnded { reason, asker }),
    }
}

/// Whether a session is the calling holder's own; applications have none.
pub fn is_current(caller: &Caller, session: SessionId) -> Option<bool> {
    match caller {
        Caller::Application(_) => None,
        Caller::Holder(holder) => Some(holder.session == session),
    }
}
