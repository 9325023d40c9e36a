//! Bringing a Redis up to date with the revocation ledger.

use super::patience::Patience;
use super::store::Store;
use crate::adapters::dynamodb::revocations::Revocations;
use crate::adapters::redis::connection::{self, Connection};
use crate::adapters::redis::fence::{self, Answer};
use crate::adapters::redis::scripts::{self, Operation, Withdrawal};
use crate::core::audit::{self, Actor};
use crate::core::crypto;
use crate::core::id::{UserSlot, UserTag};
use crate::core::ledger::{LedgerEntry, Recorded};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::{CATCH_UP_CONCURRENCY, CLOCK_LEEWAY_SECONDS, MOVE_PATIENCE_MILLIS};
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// Applies what this Redis may not know: ends that were never acknowledged, and, when this incarnation is met for the
/// first time (it restarted, failed over or was restored), the whole ledger.
///
/// `left` is the store that buckets leave for this one. What is pending for a bucket that is still there is none of this store's
/// business, and what a store that was left can not apply any more is none of its own: the copy had it.
pub async fn catch_up(
    connection: &mut Connection,
    left: Option<&Store>,
    ledger: &Revocations,
    now: Timestamp,
) -> Result<()> {
    let incarnation = connection.incarnation().await.map_err(|error| connection::classify(&error))?;
    let standing = ledger.standing(&incarnation, now).await?;
    if !standing.caught_up {
        let entries = ledger.all(now).await?;
        let connection = &*connection;
        stream::iter(entries)
            .map(|recorded| async move { apply(&mut connection.clone(), &recorded, now).await.map(drop) })
            .buffer_unordered(CATCH_UP_CONCURRENCY)
            .try_collect::<()>()
            .await?;
        ledger.mark_caught_up(&incarnation, now).await?;
    }
    apply_pending(connection, left, ledger, &standing.pending, now).await
}

/// Applies pending ends and removes their marks.
async fn apply_pending(
    connection: &mut Connection,
    left: Option<&Store>,
    ledger: &Revocations,
    pending: &[Recorded],
    now: Timestamp,
) -> Result<()> {
    for recorded in pending {
        if let Some(left) = left
            && !left.has_left(recorded.entry.bucket()).await?
        {
            continue;
        }
        match apply(connection, recorded, now).await? {
            Applied::Done => ledger.clear_pending(recorded).await?,
            Applied::Unreadable | Applied::Elsewhere => {}
        }
    }
    Ok(())
}

/// How applying an entry went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Redis knows the end.
    Done,
    /// The record is of another release; nothing can use it here, and the entry stays for a release that reads it. It
    /// must not keep everybody else from being served.
    Unreadable,
    /// The bucket was moved to another store.
    Elsewhere,
}

/// Applies one durable end. A Redis that knows it already does not change.
pub async fn apply(connection: &mut Connection, recorded: &Recorded, now: Timestamp) -> Result<Applied> {
    let Recorded { entry, at } = recorded;
    let operation = operation_of(entry, now);
    // What was shared anew after the withdrawal stays, as far as two clocks can tell.
    let asked_at = at.plus_seconds(CLOCK_LEEWAY_SECONDS);
    let call = match entry {
        LedgerEntry::Session { session, reason, application_tag } => {
            // The index entry is found through the record; the slot only names the keys of the bucket.
            let slot = UserSlot { bucket: session.bucket(), tag: UserTag::NOBODY };
            scripts::end_as_of(session, slot, None, *application_tag, *reason, &operation, now, asked_at)
        }
        LedgerEntry::Family { session, application_tag, asking_tag } => {
            let slot = UserSlot { bucket: session.bucket(), tag: UserTag::NOBODY };
            let withdrawal = Withdrawal { asking_tag: *asking_tag, application_tag: *application_tag, asked_at };
            scripts::withdraw_share(session, slot, None, &withdrawal, &operation, now)
        }
        LedgerEntry::User { slot, epoch, spared } => {
            scripts::revoke_user(*slot, *epoch, spared.as_ref(), "", &operation, now)
        }
        LedgerEntry::Erased { slot, epoch, privacy_version } => {
            scripts::erase_user(*slot, *epoch, *privacy_version, "", &operation, now)
        }
        LedgerEntry::Privacy { slot, privacy, version, told } => {
            scripts::set_privacy(*slot, *privacy, *version, &told.application_id, &told.detail, &operation)
        }
        LedgerEntry::Device { slot, device, epoch, reason } => {
            scripts::end_device(*slot, *device, *epoch, *reason, "", &operation, now)
        }
    };
    let mut patience = Patience::of_millis(MOVE_PATIENCE_MILLIS);
    loop {
        match fence::run(connection, &call).await {
            Ok(Answer::Value(_)) => return Ok(Applied::Done),
            Ok(Answer::Moved) => return Ok(Applied::Elsewhere),
            // Whoever moves it has what it holds, and not what this would change: the bucket may yet stay.
            Ok(Answer::Moving) => {
                if !patience.pause().await {
                    return Err(Error::unavailable(Dependency::Redis, "an end waits for a bucket that is being moved"));
                }
            }
            Err(error) if connection::is_unreadable_record(&error) => {
                tracing::error!(bucket = %entry.bucket(), "an end waits for a release that can read its record");
                return Ok(Applied::Unreadable);
            }
            Err(error) => return Err(connection::classify(&error)),
        }
    }
}

/// Two environments that apply one entry at once do the same operation, so their events are one event.
pub fn operation_of(entry: &LedgerEntry, now: Timestamp) -> Operation {
    let digest = match entry {
        LedgerEntry::Session { session, .. } => crypto::hash(&[b"ledger session", session.to_string().as_bytes()]),
        LedgerEntry::Family { session, application_tag, .. } => {
            crypto::hash(&[b"ledger family", session.to_string().as_bytes(), application_tag])
        }
        LedgerEntry::User { slot, epoch, .. } => {
            crypto::hash(&[b"ledger user", slot.subject().as_bytes(), &epoch.to_be_bytes()])
        }
        LedgerEntry::Erased { slot, epoch, .. } => {
            crypto::hash(&[b"ledger erased", slot.subject().as_bytes(), &epoch.to_be_bytes()])
        }
        LedgerEntry::Privacy { slot, version, .. } => {
            crypto::hash(&[b"ledger privacy", slot.subject().as_bytes(), &version.to_be_bytes()])
        }
        LedgerEntry::Device { slot, device, epoch, .. } => {
            crypto::hash(&[b"ledger device", slot.subject().as_bytes(), device.bytes(), &epoch.to_be_bytes()])
        }
    };
    let mut mark = [0; 8];
    mark.copy_from_slice(&digest[..8]);
    let common = match entry {
        LedgerEntry::Privacy { told, .. } => told.common.clone(),
        LedgerEntry::Session { .. }
        | LedgerEntry::Family { .. }
        | LedgerEntry::User { .. }
        | LedgerEntry::Erased { .. }
        | LedgerEntry::Device { .. } => audit::common(&Actor::Service, "ledger", now),
    };
    Operation { event_id: crypto::encode(&digest[..16]), mark, common }
}
