//! Listing a user's sessions.

use super::{Call, Own, Reply, UnexpectedReply, bytes, holder_context, integer, items, record, text};
use crate::adapters::redis::keys;
use crate::core::context::ContextDigests;
use crate::core::end_reason::EndReason;
use crate::core::family::Family;
use crate::core::id::{Bucket, SessionId, UserSlot};
use crate::core::record::SessionRecord;
use crate::core::time::Timestamp;
use redis::Value;

script!(SCRIPT, "list.lua");

/// Where a page of [`list`] begins: after this item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCursor {
    /// Creation time of the last item seen.
    pub created_at: Timestamp,
    /// Its key text.
    pub key_text: String,
}

/// Outcome of [`list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// Live sessions with families, newest first; one more than the page size when there is another page. Families of a
    /// session that the application owns are all it is shared with; of another's, the application's own.
    Page(Vec<(SessionId, SessionRecord, Vec<Family>)>),
    /// The calling holder's own session is over.
    CallerOver(Option<EndReason>),
    /// The calling holder is quarantined, or its context has to be judged first.
    Unjudged,
}

/// One page of a user's sessions; `caller` is the holder's own session and context when a holder asks.
pub fn list(
    slot: UserSlot,
    caller: Option<(&Own, ContextDigests)>,
    application_tag: [u8; 8],
    after: Option<&PageCursor>,
    page_size: usize,
    now: Timestamp,
) -> Call {
    let mut keys = vec![keys::index(slot), keys::epoch(slot)];
    keys.extend(caller.map(|(own, _)| keys::session(&own.session)));
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(application_tag)
        .arg(after.map(|after| after.created_at.millis().to_string()).unwrap_or_default())
        .arg(after.map(|after| after.key_text.clone()).unwrap_or_default())
        .number(page_size)
        .arg(caller.map(|(own, _)| own.auth_time_text()).unwrap_or_default())
        .arg(holder_context(caller.map(|(_, context)| context)))
}

/// Reads the reply to [`list`].
pub fn listed(bucket: Bucket, reply: Value) -> Reply<Listed> {
    let reply = items(reply)?;
    match text(reply.first())? {
        "caller" => Ok(Listed::CallerOver(u8::try_from(integer(reply.get(1))?).ok().and_then(EndReason::from_code))),
        "unjudged" => Ok(Listed::Unjudged),
        "page" => {
            let item = |value: &Value| {
                let Value::Array(parts) = value else { return Err(UnexpectedReply) };
                let session = SessionId::from_key_text(bucket, text(parts.first())?).ok_or(UnexpectedReply)?;
                let families = parts.iter().skip(2).map(|family| Ok(Family::decode(bytes(Some(family))?)?));
                Ok((session, record(parts.get(1))?, families.collect::<Reply<_>>()?))
            };
            reply[1..].iter().map(item).collect::<Reply<_>>().map(Listed::Page)
        }
        _ => Err(UnexpectedReply),
    }
}
