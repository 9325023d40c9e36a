//! Granting and renewing the lock of a session.

use super::{Call, Operation, Reply, UnexpectedReply, items, lock_keys, millis, reason, text, tombstone_millis};
use crate::adapters::redis::keys;
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserSlot};
use crate::core::lock::{Owner, Wanted};
use crate::core::time::Timestamp;
use crate::limits::{LOCK_HOLD_SECONDS_MAX, LOCK_RENEWALS_MAX};
use redis::Value;

script!(SCRIPT, "lock.lua");

/// Outcome of [`lock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locked {
    /// The caller holds it.
    Granted {
        /// Its fencing number.
        fence: u64,
        /// What is left of it, by the store's clock.
        left_millis: u64,
        /// How often it has been renewed.
        renewals: u8,
    },
    /// Somebody else holds it for so many milliseconds.
    HeldByAnother(u64),
    /// The lock to renew is not held any more.
    Lost,
    /// It can not be renewed any more.
    NotRenewable,
    /// No such session of this application.
    Missing,
    /// Over.
    Ended(EndReason),
}

/// Asks for the lock of a session, or for more time.
pub fn lock(
    session: &SessionId,
    slot: UserSlot,
    application_tag: [u8; 8],
    wanted: Wanted,
    owner: Owner,
    ttl_seconds: u64,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    Call::new(&SCRIPT, lock_keys(session, slot))
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(application_tag)
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
        .arg(owner.0)
        .arg(match wanted {
            Wanted::Acquire => "acquire",
            Wanted::Renew => "renew",
        })
        .number(ttl_seconds * 1000)
        .number(LOCK_RENEWALS_MAX)
        .number(LOCK_HOLD_SECONDS_MAX * 1000)
}

/// Reads the reply to [`lock`].
pub fn locked(reply: Value) -> Reply<Locked> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "granted" => Locked::Granted {
            fence: millis(second)?,
            left_millis: millis(reply.get(2))?,
            renewals: u8::try_from(millis(reply.get(3))?).map_err(|_| UnexpectedReply)?,
        },
        "held" => Locked::HeldByAnother(millis(second)?),
        "lost" => Locked::Lost,
        "exhausted" => Locked::NotRenewable,
        "missing" => Locked::Missing,
        "ended" | "lapsed" => Locked::Ended(reason(second)?),
        _ => return Err(UnexpectedReply),
    })
}
