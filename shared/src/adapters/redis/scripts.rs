//! The scripts, one typed function each: named parameters in, an enum out.
//!
//! A script is constant text addressed by its digest; values travel in ARGV only. `record.lua` stands in front of each.

use super::keys;
use crate::core::end_reason::EndReason;
use crate::core::id::{Bucket, SessionId, UserSlot};
use crate::core::ledger::Spared;
use crate::core::policy::{OnLimit, SessionLimit};
use crate::core::record::{SessionRecord, Unreadable};
use crate::core::refresh_decision::Presented;
use crate::core::time::Timestamp;
use crate::limits;
use redis::{Script, Value};
use std::sync::LazyLock;

/// A script's text with its digest, which the server knows it by.
struct Lua {
    text: &'static str,
    digest: LazyLock<String>,
}

macro_rules! script {
    ($name:ident, $file:literal) => {
        script!($name, $file, "");
    };
    ($name:ident, $file:literal, $flags:literal) => {
        static $name: Lua = Lua {
            text: concat!($flags, include_str!("scripts/record.lua"), include_str!($file)),
            digest: LazyLock::new(|| Script::new($name.text).get_hash().to_owned()),
        };
    };
}

// Those that shrink a record or write it in place also run when memory is short: what they add is one small event. F-06.
script!(CREATE, "scripts/create.lua");
script!(REFRESH, "scripts/refresh.lua", "#!lua flags=allow-oom\n");
script!(UPDATE, "scripts/update.lua");
script!(END, "scripts/end.lua", "#!lua flags=allow-oom\n");
script!(REVOKE_USER, "scripts/revoke_user.lua", "#!lua flags=allow-oom\n");
script!(TOUCH, "scripts/touch.lua", "#!lua flags=allow-oom\n");
script!(LIST, "scripts/list.lua");
script!(SWEEP, "scripts/sweep.lua", "#!lua flags=allow-oom\n");

/// A script with its keys and arguments, ready to be sent any number of times.
pub struct Call {
    script: &'static Lua,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    fn new(script: &'static Lua, keys: Vec<String>) -> Self {
        Call { script, keys, arguments: Vec::new() }
    }

    fn arg(mut self, value: impl AsRef<[u8]>) -> Self {
        self.arguments.push(value.as_ref().to_vec());
        self
    }

    fn number(self, value: impl std::fmt::Display) -> Self {
        let text = value.to_string();
        self.arg(text)
    }

    /// The command that names the script by its digest.
    pub fn by_digest(&self) -> redis::Cmd {
        self.command("EVALSHA", &self.script.digest)
    }

    /// The command that carries the text, for a server that has lost its script cache.
    pub fn by_text(&self) -> redis::Cmd {
        self.command("EVAL", self.script.text)
    }

    fn command(&self, verb: &str, script: &str) -> redis::Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(self.keys.len());
        for key in &self.keys {
            command.arg(key);
        }
        for argument in &self.arguments {
            command.arg(argument.as_slice());
        }
        command
    }
}

/// Who does something, once: the operation's id and what its events say in common.
#[derive(Debug, Clone)]
pub struct Operation {
    /// 16 random bytes as base64url: the id of the operation's first event.
    pub event_id: String,
    /// The first eight of those bytes, kept in the record.
    pub mark: [u8; 8],
    /// [`crate::core::audit::common`].
    pub common: String,
}

/// The keys that most scripts take: session, index, epoch, expiry queue, outbox.
fn session_keys(session: &SessionId, slot: UserSlot) -> Vec<String> {
    vec![
        keys::session(session),
        keys::index(slot),
        keys::epoch(slot),
        keys::expiry_queue(slot.bucket),
        keys::outbox(slot.bucket),
    ]
}

fn tombstone_millis() -> u64 {
    limits::TOMBSTONE_SECONDS * 1000
}

/// A reply that is not what the script is written to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnexpectedReply;

impl From<Unreadable> for UnexpectedReply {
    fn from(_: Unreadable) -> Self {
        UnexpectedReply
    }
}

type Reply<T> = Result<T, UnexpectedReply>;

fn items(value: Value) -> Reply<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(UnexpectedReply),
    }
}

fn bytes(value: Option<&Value>) -> Reply<&[u8]> {
    match value {
        Some(Value::BulkString(bytes)) => Ok(bytes),
        _ => Err(UnexpectedReply),
    }
}

fn text(value: Option<&Value>) -> Reply<&str> {
    std::str::from_utf8(bytes(value)?).map_err(|_| UnexpectedReply)
}

fn integer(value: Option<&Value>) -> Reply<i64> {
    match value {
        Some(Value::Int(number)) => Ok(*number),
        _ => Err(UnexpectedReply),
    }
}

fn reason(value: Option<&Value>) -> Reply<EndReason> {
    u8::try_from(integer(value)?).ok().and_then(EndReason::from_code).ok_or(UnexpectedReply)
}

fn record(value: Option<&Value>) -> Reply<SessionRecord> {
    Ok(SessionRecord::decode(bytes(value)?)?)
}

fn sessions(bucket: Bucket, values: &[Value]) -> Reply<Vec<SessionId>> {
    let session = |value: &Value| SessionId::from_key_text(bucket, text(Some(value))?).ok_or(UnexpectedReply);
    values.iter().map(session).collect()
}

/// An idempotency key's claim on a payload.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Keyed digest of application and key: the claim's name.
    pub name: String,
    /// Digest of the payload.
    pub payload: [u8; 16],
}

/// Outcome of [`create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// Admitted under this epoch; these sessions made room.
    Admitted {
        /// The user's epoch that the record carries.
        epoch: u32,
        /// Ended to make room.
        evicted: Vec<SessionId>,
    },
    /// The same idempotency key and payload came before: this session was the result.
    Replayed {
        /// The session of the first call.
        session: SessionId,
        /// What the first call evicted.
        evicted: Vec<SessionId>,
    },
    /// The idempotency key stood for another payload.
    KeyReused,
    /// The limit rejects.
    LimitReached,
}

/// Admits a session. The record's epoch is set by the script.
pub fn create(
    session: &SessionId,
    slot: UserSlot,
    record: &SessionRecord,
    limit: SessionLimit,
    operation: &Operation,
    claim: Option<&Claim>,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
    keys.push(keys::idempotency_claim(slot.bucket, claim.map_or("none", |claim| &claim.name)));
    let on_limit = match limit.on_limit {
        OnLimit::Reject => 0,
        OnLimit::EvictOldest => 1,
        OnLimit::EvictLeastRecent => 2,
    };
    Call::new(&CREATE, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(record.encode())
        .number(limit.max)
        .number(on_limit)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .arg(&record.attributes.application_id)
        .number(tombstone_millis())
        .arg(claim.map_or(&[][..], |claim| &claim.payload))
        .number(limits::IDEMPOTENCY_SECONDS * 1000)
}

/// Reads the reply to [`create`].
pub fn created(bucket: Bucket, reply: Value) -> Reply<Created> {
    let reply = items(reply)?;
    let epoch = |value| u32::try_from(integer(value)?).map_err(|_| UnexpectedReply);
    Ok(match text(reply.first())? {
        "created" | "repeated" => {
            Created::Admitted { epoch: epoch(reply.get(1))?, evicted: sessions(bucket, &reply[2..])? }
        }
        "replayed" => {
            let mut named = sessions(bucket, &reply[1..])?;
            if named.is_empty() {
                return Err(UnexpectedReply);
            }
            Created::Replayed { session: named.remove(0), evicted: named }
        }
        "mismatch" => Created::KeyReused,
        "limit" => Created::LimitReached,
        _ => return Err(UnexpectedReply),
    })
}

/// Outcome of [`refresh`]; the cases are those of [`crate::core::refresh_decision`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// Case 1, or no record.
    Missing,
    /// Case 2.
    Ended(EndReason),
    /// Case 3; the tombstone is set.
    Lapsed(EndReason),
    /// Cases 5 to 7; the tombstone is set.
    Replay,
    /// Cases 4 and 8.
    Successor(SessionRecord),
    /// Case 11.
    Rotated(SessionRecord),
    /// Case 12.
    Healed(SessionRecord),
    /// Case 9.
    ContextChanged(SessionRecord),
    /// Case 10.
    Moved,
}

/// Presents a refresh token.
pub fn refresh(
    session: &SessionId,
    slot: UserSlot,
    presented: &Presented,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    Call::new(&REFRESH, session_keys(session, slot))
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(presented.application_tag)
        .number(presented.generation)
        .arg(presented.operation)
        .arg(presented.address)
        .arg(presented.device)
        .number(presented.judged_revision.map_or(-1, i64::from))
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
}

/// Reads the reply to [`refresh`].
pub fn refreshed(reply: Value) -> Reply<Refreshed> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "missing" => Refreshed::Missing,
        "ended" => Refreshed::Ended(reason(second)?),
        "lapsed" => Refreshed::Lapsed(reason(second)?),
        "replay" => Refreshed::Replay,
        "successor" => Refreshed::Successor(record(second)?),
        "rotated" => Refreshed::Rotated(record(second)?),
        "healed" => Refreshed::Healed(record(second)?),
        "context" => Refreshed::ContextChanged(record(second)?),
        "moved" => Refreshed::Moved,
        _ => return Err(UnexpectedReply),
    })
}

/// Outcome of [`update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Updated {
    /// Replaced; the record without its sealed data.
    Done(Box<SessionRecord>),
    /// No such session of this application.
    Missing,
    /// Over.
    Ended(EndReason),
    /// The current version is another.
    OtherVersion(u32),
}

/// Replaces the sealed data at an expected version; `expected_seal` is the mark of the data that a patch was made from.
pub fn update(
    session: &SessionId,
    slot: UserSlot,
    application_tag: [u8; 8],
    expected_version: u32,
    expected_seal: Option<&[u8]>,
    sealed: &[u8],
    operation: &Operation,
    now: Timestamp,
) -> Call {
    Call::new(&UPDATE, session_keys(session, slot))
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(application_tag)
        .number(expected_version)
        .arg(operation.mark)
        .arg(sealed)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .arg(expected_seal.map_or("any", |_| "this"))
        .arg(expected_seal.unwrap_or_default())
}

/// Reads the reply to [`update`].
pub fn updated(reply: Value) -> Reply<Updated> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "updated" => Updated::Done(Box::new(record(second)?)),
        "missing" => Updated::Missing,
        "ended" | "lapsed" => Updated::Ended(reason(second)?),
        "version" => Updated::OtherVersion(u32::try_from(integer(second)?).map_err(|_| UnexpectedReply)?),
        _ => return Err(UnexpectedReply),
    })
}

/// Outcome of [`end`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Over, here or before, for this reason.
    Done(EndReason),
    /// No such session of this application.
    Missing,
    /// The calling holder's own session is over.
    CallerOver(Option<EndReason>),
}

/// Ends a session; `caller` is the holder's own session when a holder asks.
pub fn end(
    session: &SessionId,
    slot: UserSlot,
    caller: Option<&SessionId>,
    application_tag: [u8; 8],
    end_reason: EndReason,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
    keys.extend(caller.map(keys::session));
    Call::new(&END, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(application_tag)
        .number(end_reason.code())
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
}

/// Reads the reply to [`end`].
pub fn ended(reply: Value) -> Reply<Ended> {
    let reply = items(reply)?;
    Ok(match text(reply.first())? {
        "ended" => Ended::Done(reason(reply.get(1))?),
        "missing" => Ended::Missing,
        "caller" => Ended::CallerOver(u8::try_from(integer(reply.get(1))?).ok().and_then(EndReason::from_code)),
        _ => return Err(UnexpectedReply),
    })
}

/// Raises a user's epoch and ends what the index names.
pub fn revoke_user(
    slot: UserSlot,
    epoch: u32,
    spared: Option<&Spared>,
    application_id: &str,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys =
        vec![keys::epoch(slot), keys::index(slot), keys::outbox(slot.bucket), keys::expiry_queue(slot.bucket)];
    keys.extend(spared.map(|spared| keys::session(&spared.session)));
    Call::new(&REVOKE_USER, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .number(epoch)
        .arg(spared.map(|spared| spared.session.key_text()).unwrap_or_default())
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .number(limits::REVOKE_BATCH)
        .number((limits::LEDGER_SECONDS + 24 * 3600) * 1000)
        .arg(slot.tag.text())
        .arg(application_id)
        .number(spared.map_or(0, |spared| spared.floor))
}

/// How many sessions [`revoke_user`] ended itself; all others of an earlier epoch are over as well.
pub fn revoked(reply: Value) -> Reply<u64> {
    let reply = items(reply)?;
    u64::try_from(integer(reply.first())?).map_err(|_| UnexpectedReply)
}

/// Records activity.
pub fn touch(session: &SessionId, slot: UserSlot, now: Timestamp) -> Call {
    Call::new(&TOUCH, vec![keys::session(session), keys::epoch(slot)]).number(now.millis())
}

/// Whether [`touch`] found the session alive.
pub fn touched(reply: &Value) -> Reply<bool> {
    Ok(integer(Some(reply))? == 1)
}

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
    /// Live sessions, newest first; one more than the page size when there is another page.
    Page(Vec<(SessionId, SessionRecord)>),
    /// The calling holder's own session is over.
    CallerOver(Option<EndReason>),
}

/// One page of a user's sessions; `caller` is the holder's own session when a holder asks.
pub fn list(
    slot: UserSlot,
    caller: Option<&SessionId>,
    application_tag: [u8; 8],
    after: Option<&PageCursor>,
    page_size: usize,
    now: Timestamp,
) -> Call {
    let mut keys = vec![keys::index(slot), keys::epoch(slot)];
    keys.extend(caller.map(keys::session));
    Call::new(&LIST, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(application_tag)
        .arg(after.map(|after| after.created_at.millis().to_string()).unwrap_or_default())
        .arg(after.map(|after| after.key_text.clone()).unwrap_or_default())
        .number(page_size)
}

/// Reads the reply to [`list`].
pub fn listed(bucket: Bucket, reply: Value) -> Reply<Listed> {
    let reply = items(reply)?;
    match text(reply.first())? {
        "caller" => Ok(Listed::CallerOver(u8::try_from(integer(reply.get(1))?).ok().and_then(EndReason::from_code))),
        "page" => {
            let item = |value: &Value| {
                let Value::Array(pair) = value else { return Err(UnexpectedReply) };
                let session = SessionId::from_key_text(bucket, text(pair.first())?).ok_or(UnexpectedReply)?;
                Ok((session, record(pair.get(1))?))
            };
            reply[1..].iter().map(item).collect::<Reply<_>>().map(Listed::Page)
        }
        _ => Err(UnexpectedReply),
    }
}

/// What a sweep of one bucket did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries of the expiry queue looked at.
    pub looked_at: u64,
    /// Sessions ended.
    pub ended: u64,
    /// Records this release can not read.
    pub unreadable: u64,
}

/// Ends what has expired in one bucket.
pub fn sweep(bucket: Bucket, operation: &Operation, now: Timestamp) -> Call {
    Call::new(&SWEEP, vec![keys::expiry_queue(bucket), keys::outbox(bucket)])
        .arg(keys::hash_tag(bucket))
        .number(now.millis())
        .number(limits::SWEEP_BATCH)
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
}

/// Reads the reply to [`sweep`].
pub fn swept(reply: Value) -> Reply<Swept> {
    let reply = items(reply)?;
    let count = |index: usize| u64::try_from(integer(reply.get(index))?).map_err(|_| UnexpectedReply);
    Ok(Swept { looked_at: count(0)?, ended: count(1)?, unreadable: count(2)? })
}

/// A session with its user's epoch, as plain commands read it: `MGET record… epoch`.
pub fn read(sessions: &[SessionId], slot: UserSlot) -> redis::Cmd {
    let mut command = redis::cmd("MGET");
    for session in sessions {
        command.arg(keys::session(session));
    }
    command.arg(keys::epoch(slot));
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
