//! What the job that moves buckets runs on either store: no prelude, since it is the one that the marker does not hold back.

use super::{Call, Lua, Reply, UnexpectedReply, bytes, integer, items};
use crate::adapters::redis::fence::Marker;
use crate::adapters::redis::keys;
use crate::core::id::Bucket;
use redis::Value;
use std::sync::LazyLock;

/// A script of a file alone.
macro_rules! bare {
    ($name:ident, $file:literal) => {
        static $name: Lua = Lua {
            text: include_str!($file),
            digest: LazyLock::new(|| redis::Script::new($name.text).get_hash().to_owned()),
        };
    };
}

bare!(TAKE, "take.lua");
bare!(MARK, "mark.lua");
bare!(RESTORE, "restore.lua");
bare!(DIGEST, "digest.lua");

/// Whose turn a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The caller's, under this number.
    Turn(u64),
    /// Another job's.
    Elsewhere,
    /// Nobody's any more: it was moved.
    Moved,
}

/// Takes a bucket's turn and begins to list its keys.
pub fn take(bucket: Bucket, lease_millis: u64) -> Call {
    Call::new(&TAKE, vec![keys::marker(bucket), keys::turns(bucket)]).number(lease_millis)
}

/// Reads the reply to [`take`].
pub fn taken(reply: &Value) -> Reply<Taken> {
    Ok(match integer(Some(reply))? {
        -1 => Taken::Moved,
        0 => Taken::Elsewhere,
        turn => Taken::Turn(u64::try_from(turn).map_err(|_| UnexpectedReply)?),
    })
}

/// Changes a marker, for `lease_millis` or for good.
pub fn mark(bucket: Bucket, has: Marker, next: Option<Marker>, lease_millis: Option<u64>) -> Call {
    Call::new(&MARK, vec![keys::marker(bucket)])
        .arg(has.text())
        .arg(next.map(Marker::text).unwrap_or_default())
        .arg(lease_millis.map(|millis| millis.to_string()).unwrap_or_default())
}

/// Whether [`mark`] changed it.
pub fn marked(reply: &Value) -> Reply<bool> {
    Ok(integer(Some(reply))? == 1)
}

/// A key as [`redis::cmd`] `DUMP` and `PEXPIRETIME` give it; empty when it is gone.
pub struct Dumped {
    /// The key.
    pub key: Vec<u8>,
    /// What it holds, as the store writes it down.
    pub payload: Vec<u8>,
    /// When it expires, in milliseconds; 0 for never.
    pub expires: i64,
}

impl Dumped {
    /// A key that is to be gone.
    pub fn nothing(key: Vec<u8>) -> Self {
        Dumped { key, payload: Vec::new(), expires: 0 }
    }
}

/// What became of a [`restore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// Written.
    Done,
    /// A later turn has begun.
    TurnLost,
    /// The store was itself left by an earlier move.
    LeftOnce,
}

/// Writes keys in a bucket's turn.
pub fn restore(bucket: Bucket, turn: u64, dumped: &[Dumped]) -> Call {
    let names = [keys::marker(bucket).into_bytes(), keys::turns(bucket).into_bytes()];
    let names = names.into_iter().chain(dumped.iter().map(|key| key.key.clone())).collect();
    dumped
        .iter()
        .fold(Call::with_names(&RESTORE, names).number(turn), |call, key| call.number(key.expires).arg(&key.payload))
}

/// Reads the reply to [`restore`].
pub fn restored(reply: &Value) -> Reply<Restored> {
    match integer(Some(reply))? {
        1 => Ok(Restored::Done),
        0 => Ok(Restored::TurnLost),
        -1 => Ok(Restored::LeftOnce),
        _ => Err(UnexpectedReply),
    }
}

/// What a key holds: a digest, `None` when it is not there, and when it expires, -1 for never.
pub type Contents = (Option<Vec<u8>>, i64);

/// Reads what keys hold.
pub fn digest(names: &[Vec<u8>]) -> Call {
    Call::with_names(&DIGEST, names.to_vec())
}

/// Reads the reply to [`digest`].
pub fn digested(reply: Value) -> Reply<Vec<Contents>> {
    let contents = |pair: &[Value]| {
        let digest = Some(bytes(pair.first())?.to_vec()).filter(|digest| !digest.is_empty());
        Ok((digest, integer(pair.get(1))?))
    };
    items(reply)?.chunks(2).map(contents).collect()
}
