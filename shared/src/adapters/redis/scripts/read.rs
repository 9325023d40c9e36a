//! Reading sessions: plain commands, no script.

use super::{Reply, UnexpectedReply, bytes, items, record, text};
use crate::adapters::redis::keys;
use crate::core::family::Family;
use crate::core::id::{SessionId, UserSlot};
use crate::core::record::SessionRecord;
use redis::Value;

/// A session with its user's epoch, as plain commands read it: `MGET record… epoch`.
pub fn read(sessions: &[SessionId], slot: UserSlot) -> redis::Cmd {
    let mut command = redis::cmd("MGET");
    for session in sessions {
        command.arg(keys::session(session));
    }
    command.arg(keys::epoch(slot));
    command
}

/// [`read`] with the user's history behind the epoch, in the same command.
pub fn read_with_history(sessions: &[SessionId], slot: UserSlot) -> redis::Cmd {
    let mut command = read(sessions, slot);
    command.arg(keys::history(slot));
    command
}

/// Records, absent ones as `None`, and the user's epoch.
pub type Read = (Vec<Option<SessionRecord>>, u32);

/// Reads the reply to [`read`].
pub fn read_reply(reply: Value) -> Reply<Read> {
    let mut values = items(reply)?;
    let epoch = match values.pop() {
        Some(Value::Nil) => 0,
        value => text(value.as_ref())?.parse().map_err(|_| UnexpectedReply)?,
    };
    let record = |value: &Value| match value {
        Value::Nil => Ok(None),
        value => record(Some(value)).map(Some),
    };
    Ok((values.iter().map(record).collect::<Reply<_>>()?, epoch))
}

/// Records and epoch as in [`Read`], and the bytes of the history, empty when there is none.
pub type ReadWithHistory = (Vec<Option<SessionRecord>>, u32, Vec<u8>);

/// Reads the reply to [`read_with_history`].
pub fn read_with_history_reply(reply: Value) -> Reply<ReadWithHistory> {
    let mut values = items(reply)?;
    let history = match values.pop() {
        Some(Value::Nil) => Vec::new(),
        Some(Value::BulkString(bytes)) => bytes,
        _ => return Err(UnexpectedReply),
    };
    let (records, epoch) = read_reply(Value::Array(values))?;
    Ok((records, epoch, history))
}

/// The family of an application under a shared session: `HGET families tag`.
pub fn family(session: &SessionId, application_tag: [u8; 8]) -> redis::Cmd {
    let mut command = redis::cmd("HGET");
    command.arg(keys::families(session)).arg(&application_tag[..]);
    command
}

/// Reads the reply to [`family`].
pub fn family_reply(reply: &Value) -> Reply<Option<Family>> {
    match reply {
        Value::Nil => Ok(None),
        value => Ok(Some(Family::decode(bytes(Some(value))?)?)),
    }
}
