//! Queueing activities of a session.

use super::{
    Call, Operation, Own, Reply, UnexpectedReply, Writer, bytes, holder_context, items, millis, reason, record,
    session_keys, text, tombstone_millis,
};
use crate::adapters::redis::keys;
use crate::core::activity::Activity;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::privacy::Privacy;
use crate::core::record::SessionRecord;
use crate::core::risk::Commitment;
use crate::core::time::Timestamp;
use crate::limits::{CLOCK_LEEWAY_SECONDS, HISTORY_SECONDS};
use redis::Value;

script!(SCRIPT, "activity.lua");

/// Outcome of [`record_activity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Queued; the session is touched.
    Done,
    /// Not queued, since the user does not want it; the session is touched.
    OptedOut,
    /// One of them is from before the session began.
    TooEarly,
    /// No such session of this application, or the holder's token is from before a step-up.
    Missing,
    /// Shared with the application, but not for writing.
    NotShared,
    /// Over.
    Ended(EndReason),
    /// The holder is quarantined, or its context has to be judged first.
    Unjudged {
        /// The record without its sealed data.
        record: Box<SessionRecord>,
        /// The bytes of the user's history, empty when there is none.
        history: Vec<u8>,
    },
    /// What was judged is not the record any more.
    Moved,
}

/// Queues activities of a session, for the application of the caller. `defaults` hold for a user who has not chosen.
pub fn record_activity(
    session: &SessionId,
    slot: UserSlot,
    (application_tag, application_id): ([u8; 8], &str),
    activities: &[Activity],
    defaults: Privacy,
    writer: Writer<'_>,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
    keys.extend([keys::privacy(slot), keys::history(slot)]);
    let earliest = activities.iter().map(Activity::at).min().unwrap_or(now).plus_seconds(CLOCK_LEEWAY_SECONDS);
    Call::new(&SCRIPT, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(application_tag)
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .arg(writer.own.map_or("any".to_owned(), Own::auth_time_text))
        .arg(holder_context(writer.context))
        .arg(writer.judgement.map(Commitment::encode).unwrap_or_default())
        .number(HISTORY_SECONDS * 1000)
        .arg(application_id)
        .number(earliest.millis())
        .arg(serde_json::to_string(activities).unwrap_or_default())
        .number(defaults.bits())
}

/// Reads the reply to [`record_activity`].
pub fn recorded(reply: Value) -> Reply<Recorded> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "recorded" => Recorded::Done,
        "opted_out" => Recorded::OptedOut,
        "early" => millis(second).map(|_| Recorded::TooEarly)?,
        "missing" => Recorded::Missing,
        "scope" => Recorded::NotShared,
        "ended" | "lapsed" => Recorded::Ended(reason(second)?),
        "unjudged" => Recorded::Unjudged { record: Box::new(record(second)?), history: bytes(reply.get(2))?.to_vec() },
        "moved" => Recorded::Moved,
        _ => return Err(UnexpectedReply),
    })
}
