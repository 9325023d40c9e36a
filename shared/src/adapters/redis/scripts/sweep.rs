//! Ending what has expired in a bucket.

use super::{Call, Operation, Reply, UnexpectedReply, integer, items, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::id::Bucket;
use crate::core::time::Timestamp;
use crate::limits;
use redis::Value;

script!(SCRIPT, "sweep.lua", allow_oom);

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
    Call::new(&SCRIPT, vec![keys::expiry_queue(bucket), keys::outbox(bucket)])
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
