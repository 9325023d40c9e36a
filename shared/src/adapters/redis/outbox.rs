//! Entries of an outbox as Redis replies with them. A reply is taken apart once, without a map per entry: a drain reads
//! millions.

use super::keys;
use crate::core::id::Bucket;
use redis::{Cmd, Value, cmd};

/// Reads how many entries wait.
pub fn length(bucket: Bucket) -> Cmd {
    let mut command = cmd("XLEN");
    command.arg(keys::outbox(bucket));
    command
}

/// Reads the oldest entries, behind one if it is given.
pub fn oldest(bucket: Bucket, after: Option<&str>, count: usize) -> Cmd {
    let start = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
    let mut command = cmd("XRANGE");
    command.arg(keys::outbox(bucket)).arg(start).arg("+").arg("COUNT").arg(count);
    command
}

/// Removes entries.
pub fn remove(bucket: Bucket, ids: &[String]) -> Cmd {
    let mut command = cmd("XDEL");
    command.arg(keys::outbox(bucket)).arg(ids);
    command
}

/// An entry, with the fields that scripts write; which of them it has depends on what it tells.
#[derive(Debug, Default)]
pub struct Entry {
    /// The store's id of the entry: milliseconds and a number.
    pub id: String,
    /// `i`: the id of the event.
    pub event_id: Option<Vec<u8>>,
    /// `t`: its type.
    pub event_type: Option<Vec<u8>>,
    /// `r`: its reason.
    pub reason: Option<Vec<u8>>,
    /// `s`: the session, as in key names.
    pub session: Option<Vec<u8>>,
    /// `u`: the user's tag.
    pub user: Option<Vec<u8>>,
    /// `a`: the application.
    pub application: Option<Vec<u8>>,
    /// `c`: what the caller of the script says about itself.
    pub common: Option<Vec<u8>>,
    /// `d`: the detail.
    pub detail: Option<Vec<u8>>,
    /// `p`: attributes of the record.
    pub attributes: Option<Vec<u8>>,
    /// `b`: when an ended session had begun.
    pub began: Option<Vec<u8>>,
    /// `y`: activities or samples.
    pub body: Option<Vec<u8>>,
}

/// The entries of a reply to [`oldest`]. What is no entry is left out.
pub fn entries(reply: Value) -> Vec<Entry> {
    let Value::Array(entries) = reply else { return Vec::new() };
    entries.into_iter().filter_map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let mut entry = Entry { id: String::from_utf8(bytes(parts.next()?)?).ok()?, ..Entry::default() };
    let Some(Value::Array(fields)) = parts.next() else { return Some(entry) };
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let place = match bytes(name)?.as_slice() {
            b"i" => &mut entry.event_id,
            b"t" => &mut entry.event_type,
            b"r" => &mut entry.reason,
            b"s" => &mut entry.session,
            b"u" => &mut entry.user,
            b"a" => &mut entry.application,
            b"c" => &mut entry.common,
            b"d" => &mut entry.detail,
            b"p" => &mut entry.attributes,
            b"b" => &mut entry.began,
            b"y" => &mut entry.body,
            _ => continue,
        };
        *place = bytes(value);
    }
    Some(entry)
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn an_entry_has_its_fields_and_skips_those_of_another_release() {
        let fields = ["i", "id", "zz", "later", "t", "session.ended", "b", "17"].map(text);
        let reply = Value::Array(vec![
            Value::Array(vec![text("5-1"), Value::Array(fields.to_vec())]),
            Value::Int(3),
            Value::Array(vec![text("6-0"), Value::Nil]),
        ]);
        let entries = entries(reply);
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["5-1", "6-0"]);
        assert_eq!(entries[0].event_id.as_deref(), Some(b"id".as_slice()));
        assert_eq!(entries[0].event_type.as_deref(), Some(b"session.ended".as_slice()));
        assert_eq!(entries[0].began.as_deref(), Some(b"17".as_slice()));
        assert!(entries[0].common.is_none() && entries[1].event_id.is_none());
    }
}
