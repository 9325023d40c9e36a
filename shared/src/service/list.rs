//! Listing a user's sessions.

use super::authenticate::{Caller, authenticate};
use super::end_user::user_slot;
use super::get;
use super::inbound::Inbound;
use super::present::SessionView;
use super::rate;
use super::reach::Reached;
use super::risk::{Asking, JUDGEMENTS_MAX};
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, Listed, PageCursor};
use crate::core::application::Scope;
use crate::core::crypto;
use crate::core::family::Family;
use crate::core::id::{SessionId, UserId};
use crate::core::record::SessionRecord;
use crate::core::time::Timestamp;
use crate::error::{Asker, Error, Result};
use serde::Serialize;

/// A page of sessions, newest first, without their data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionView>,
    /// Pass it as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Lists the live sessions of a user.
pub async fn list_user_sessions(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    cursor: Option<PageCursor>,
    page_size: usize,
) -> Result<SessionPage> {
    rate::watch(service, inbound, page(service, inbound, user, cursor, page_size)).await
}

async fn page(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    cursor: Option<PageCursor>,
    page_size: usize,
) -> Result<SessionPage> {
    let now = inbound.now;
    let caller = authenticate(service, inbound).await?;
    caller.require(Scope::SessionsRead)?;
    let slot = user_slot(service, inbound, &caller, user).await?;
    let tag = caller.application_tag();
    let context = match &caller {
        Caller::Application(_) => None,
        Caller::Holder(holder) => Some(Asking::of_holder(holder, slot, now).digests(service).await?),
    };
    let own = caller.own();
    let call = scripts::list(slot, own.as_ref().zip(context), tag, cursor.as_ref(), page_size, now);
    let mut looks = 0..JUDGEMENTS_MAX;
    let mut page = loop {
        match scripts::listed(slot.bucket, service.state.run(&call).await?)? {
            Listed::Page(page) => break page,
            Listed::CallerOver(Some(reason)) => return Err(Error::SessionEnded { reason, asker: Asker::Holder }),
            Listed::CallerOver(None) => {
                return Err(Error::CredentialInvalid("the token is good for its session no more"));
            }
            // Judged on the way; refused there when it may not go on.
            Listed::Unjudged => match (own, looks.next()) {
                (Some(own), Some(_)) => drop(get::load(service, &caller, own.session, slot, now).await?),
                (Some(_) | None, None) | (None, Some(_)) => return Err(Error::SessionChanged),
            },
        }
    };
    let more = page.len() > page_size;
    page.truncate(page_size);
    let next_cursor = page.last().filter(|_| more).map(|(session, record, _)| {
        encode_cursor(&PageCursor { created_at: record.header.created_at, key_text: session.key_text() })
    });
    let sessions = page.into_iter().map(|(session, record, families)| {
        view(session, record, families, tag).with_current(get::is_current(&caller, session))
    });
    Ok(SessionPage { sessions: sessions.collect(), next_cursor })
}

/// An owner sees with whom its session is shared, everybody else from whom it comes.
fn view(session: SessionId, record: SessionRecord, families: Vec<Family>, tag: [u8; 8]) -> SessionView {
    if record.header.application_tag == tag {
        return SessionView::new(session, record, None).with_shares(&families);
    }
    Reached::new(record, families.into_iter().next()).view(session, None)
}

/// A cursor as callers carry it: opaque, not secret.
pub fn encode_cursor(cursor: &PageCursor) -> String {
    crypto::encode(format!("{}.{}", cursor.created_at.millis(), cursor.key_text).as_bytes())
}

/// Reads a cursor back.
pub fn decode_cursor(text: &str) -> Option<PageCursor> {
    let plain = String::from_utf8(crypto::decode_vec(text)?).ok()?;
    let (created_at, key_text) = plain.split_once('.')?;
    crypto::decode::<16>(key_text)?;
    let created_at = created_at.parse::<i64>().ok().filter(|millis| (0..=Timestamp::MAX.millis()).contains(millis))?;
    Some(PageCursor { created_at: Timestamp::from_millis(created_at), key_text: key_text.to_owned() })
}
