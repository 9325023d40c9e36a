//! Using up a proof of possession: no script, one plain command.

use super::{Reply, UnexpectedReply};
use crate::adapters::redis::keys;
use crate::core::id::Bucket;
use crate::limits::PROOF_MEMORY_SECONDS;
use redis::Value;

/// Puts `mark` where the proof's use is remembered, unless another mark is there: `SET … NX GET`.
pub fn use_proof(bucket: Bucket, digest: &str, mark: &[u8; 16]) -> redis::Cmd {
    let mut command = redis::cmd("SET");
    command.arg(keys::used_proof(bucket, digest)).arg(mark).arg("NX").arg("GET");
    command.arg("PX").arg(PROOF_MEMORY_SECONDS * 1000);
    command
}

/// Whether [`use_proof`] was the first use, its own repetition included.
pub fn is_first_use(reply: &Value, mark: &[u8; 16]) -> Reply<bool> {
    match reply {
        Value::Nil => Ok(true),
        Value::BulkString(earlier) => Ok(earlier == mark),
        _ => Err(UnexpectedReply),
    }
}
