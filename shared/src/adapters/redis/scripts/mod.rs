//! The scripts, one typed function each beside its Lua file: named parameters in, an enum out.
//!
//! A script is constant text addressed by its digest; values travel in ARGV only. `record.lua` stands in front of each but
//! those of [`transfer`].

use super::connection::{self, Connection};
use super::keys;
use crate::core::context::ContextDigests;
use crate::core::end_reason::EndReason;
use crate::core::family::Family;
use crate::core::id::{Bucket, SessionId, UserSlot};
use crate::core::record::{SessionRecord, Unreadable};
use crate::limits;
use redis::{RedisResult, Value};
use std::sync::LazyLock;

/// A script's text with its digest, which the server knows it by.
struct Lua {
    text: &'static str,
    digest: LazyLock<String>,
}

/// A script of a file. `allow_oom` lets it run when memory is short: for scripts that shrink a record or write it in place,
/// where what they add is one small event. F-06.
macro_rules! script {
    ($name:ident, $file:literal) => {
        script!($name, $file, flags "");
    };
    ($name:ident, $file:literal, allow_oom) => {
        script!($name, $file, flags "#!lua flags=allow-oom\n");
    };
    ($name:ident, $file:literal, flags $flags:literal) => {
        static $name: super::Lua = super::Lua {
            text: concat!($flags, include_str!("record.lua"), include_str!($file)),
            digest: std::sync::LazyLock::new(|| redis::Script::new($name.text).get_hash().to_owned()),
        };
    };
}

mod activity;
mod bind_key;
mod create;
mod end;
mod end_device;
mod erase_user;
mod fenced;
mod judge;
mod list;
mod lock;
mod miss;
mod note;
mod note_session;
mod proof;
mod rate;
mod read;
mod refresh;
mod refused;
mod revoke_user;
mod set_privacy;
mod share;
mod step_up;
mod sweep;
mod touch;
pub mod transfer;
mod unlock;
mod update;

pub use activity::{Recorded, record_activity, recorded};
pub use bind_key::{KeyBound, bind_key, key_bound};
pub use create::{Claim, ClaimOn, Created, Limits, create, created};
pub use end::{Ended, end, end_as_of, ended};
pub use end_device::{device_ended, end_device};
pub use erase_user::erase_user;
pub use fenced::fenced;
pub use judge::{Judged, judge, judged};
pub use list::{Listed, PageCursor, list, listed};
pub use lock::{Locked, lock, locked};
pub use miss::{Missed, miss, missed};
pub use note::{note, note_detail};
pub use note_session::note_session;
pub use proof::{is_first_use, use_proof};
pub use rate::{Leased, lease, leased};
pub use read::{
    Read, ReadWithHistory, family, family_reply, read, read_reply, read_with_history, read_with_history_reply,
};
pub use refresh::{Refreshed, refresh, refreshed};
pub use refused::refused;
pub use revoke_user::{revoke_user, revoked};
pub use set_privacy::{privacy_set, set_privacy};
pub use share::{
    Redeemed, Redemption, Shared, Withdrawal, Withdrawn, redeem, redeemed, share, shared, withdraw_share, withdrawn,
};
pub use step_up::{SteppedUp, step_up, stepped_up};
pub use sweep::{Swept, sweep, swept};
pub use touch::{touch, touched};
pub use unlock::{Unlocked, unlock, unlocked};
pub use update::{Updated, Writer, update, updated};

/// A script with its keys and arguments, ready to be sent any number of times.
pub struct Call {
    script: &'static Lua,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    fn new(script: &'static Lua, keys: Vec<String>) -> Self {
        Call::with_names(script, keys.into_iter().map(String::into_bytes).collect())
    }

    fn with_names(script: &'static Lua, keys: Vec<Vec<u8>>) -> Self {
        Call { script, keys, arguments: Vec::new() }
    }

    /// The bucket of its keys.
    pub fn bucket(&self) -> Option<Bucket> {
        self.keys.first().and_then(|key| keys::bucket_of(key))
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
            command.arg(key.as_slice());
        }
        for argument in &self.arguments {
            command.arg(argument.as_slice());
        }
        command
    }
}

/// Runs a script on a connection: one round trip, two when the server has lost the script.
pub async fn run(connection: &mut Connection, call: &Call) -> RedisResult<Value> {
    match connection.command(&call.by_digest()).await {
        Err(error) if connection::is_unknown_script(&error) => connection.command(&call.by_text()).await,
        outcome => outcome,
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

/// What a calling holder's token says of its own session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// The session.
    pub session: SessionId,
    /// When its user authenticated, in seconds: a token from before a step-up is not good any more.
    pub auth_time: Option<i64>,
}

impl Own {
    fn auth_time_text(&self) -> String {
        self.auth_time.map(|seconds| seconds.to_string()).unwrap_or_default()
    }
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

/// The context of a holder as scripts take it; applications have none to be judged.
fn holder_context(context: Option<ContextDigests>) -> Vec<u8> {
    context.map(|context| [context.address, context.device].concat()).unwrap_or_default()
}

/// [`session_keys`] with the session's lock and the fences issued for it.
fn lock_keys(session: &SessionId, slot: UserSlot) -> Vec<String> {
    let mut keys = session_keys(session, slot);
    keys.extend([keys::lock(session), keys::issued_fences(session)]);
    keys
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

fn millis(value: Option<&Value>) -> Reply<u64> {
    u64::try_from(integer(value)?).map_err(|_| UnexpectedReply)
}

fn reason(value: Option<&Value>) -> Reply<EndReason> {
    u8::try_from(integer(value)?).ok().and_then(EndReason::from_code).ok_or(UnexpectedReply)
}

fn record(value: Option<&Value>) -> Reply<SessionRecord> {
    Ok(SessionRecord::decode(bytes(value)?)?)
}

/// A record with the family through which the caller sees it, when it does not own the session.
fn seen_record(value: Option<&Value>, family: Option<&Value>) -> Reply<SessionRecord> {
    let record = record(value)?;
    match bytes(family)? {
        [] => Ok(record),
        family => Ok(Family::decode(family)?.merged_record(&record)),
    }
}

fn sessions(bucket: Bucket, values: &[Value]) -> Reply<Vec<SessionId>> {
    let session = |value: &Value| SessionId::from_key_text(bucket, text(Some(value))?).ok_or(UnexpectedReply);
    values.iter().map(session).collect()
}
