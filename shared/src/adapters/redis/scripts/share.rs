//! Sharing a session with a related application: the code, its redemption, the withdrawal.

use super::{
    Call, Operation, Own, Reply, UnexpectedReply, bytes, integer, items, reason, record, session_keys, text,
    tombstone_millis,
};
use crate::adapters::redis::keys;
use crate::core::context::ContextDigests;
use crate::core::end_reason::EndReason;
use crate::core::family::{Family, SharedScopes};
use crate::core::id::{ApplicationId, SessionId, UserSlot};
use crate::core::record::SessionRecord;
use crate::core::share_code::ShareCode;
use crate::core::time::Timestamp;
use crate::limits;
use redis::Value;

script!(SHARE, "share.lua");
script!(REDEEM, "redeem.lua");
script!(WITHDRAW, "withdraw_share.lua", allow_oom);

/// Outcome of [`share`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shared {
    /// The code waits.
    Done,
    /// Quarantined, or shared with too many.
    Refused,
    /// No such session of this application.
    Missing,
    /// Over.
    Ended(EndReason),
}

/// Keeps a code for an application.
pub fn share(
    slot: UserSlot,
    owner_tag: [u8; 8],
    code: &ShareCode,
    scopes: SharedScopes,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(&code.session, slot);
    keys.push(keys::share_code(&code.session, code.application_tag));
    Call::new(&SHARE, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(code.session.key_text())
        .arg(owner_tag)
        .arg(code.application_tag)
        .number(scopes.bits())
        .arg(code.digest())
        .number(limits::SHARES_MAX)
        .number(limits::SHARE_CODE_SECONDS * 1000)
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
}

/// Reads the reply to [`share`].
pub fn shared(reply: Value) -> Reply<Shared> {
    let reply = items(reply)?;
    Ok(match text(reply.first())? {
        "shared" => Shared::Done,
        "refused" => Shared::Refused,
        "missing" => Shared::Missing,
        "ended" | "lapsed" => Shared::Ended(reason(reply.get(1))?),
        _ => return Err(UnexpectedReply),
    })
}

/// What an application presents with a code.
#[derive(Debug, Clone)]
pub struct Redemption<'a> {
    /// The code.
    pub code: &'a ShareCode,
    /// The application that presents it.
    pub application_id: &'a ApplicationId,
    /// Which MAC key its family will use.
    pub mac_key_id: u8,
    /// Its grace window in seconds.
    pub grace_seconds: u16,
    /// The client it asks for.
    pub digests: ContextDigests,
}

/// Outcome of [`redeem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// The family began; the record without its sealed data.
    Done(Box<SessionRecord>, Family),
    /// No such code for this application.
    Missing,
    /// Quarantined, or shared with too many.
    Refused,
    /// The session is over.
    Ended(EndReason),
}

/// Takes a code.
pub fn redeem(slot: UserSlot, redemption: &Redemption<'_>, operation: &Operation, now: Timestamp) -> Call {
    let code = redemption.code;
    let mut keys = session_keys(&code.session, slot);
    keys.push(keys::share_code(&code.session, code.application_tag));
    Call::new(&REDEEM, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(code.session.key_text())
        .arg(redemption.application_id.tag())
        .arg(code.application_tag)
        .arg(code.digest())
        .arg(operation.mark)
        .number(redemption.mac_key_id)
        .number(redemption.grace_seconds)
        .arg(redemption.digests.address)
        .arg(redemption.digests.device)
        .arg(redemption.application_id.as_str())
        .number(limits::SHARES_MAX)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .number(tombstone_millis())
}

/// Reads the reply to [`redeem`].
pub fn redeemed(reply: Value) -> Reply<Redeemed> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "redeemed" => Redeemed::Done(Box::new(record(second)?), Family::decode(bytes(reply.get(2))?)?),
        "missing" => Redeemed::Missing,
        "refused" => Redeemed::Refused,
        "ended" | "lapsed" => Redeemed::Ended(reason(second)?),
        _ => return Err(UnexpectedReply),
    })
}

/// Who takes a session from whom, and as of when: a share that began later stays.
#[derive(Debug, Clone, Copy)]
pub struct Withdrawal {
    /// The application that asks: the owner, or the one that is to lose it.
    pub asking_tag: [u8; 8],
    /// The application to lose it.
    pub application_tag: [u8; 8],
    /// When it was asked for.
    pub asked_at: Timestamp,
}

/// Outcome of [`withdraw_share`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawn {
    /// Not shared any more.
    Done,
    /// Nothing that the application could withdraw.
    Missing,
    /// The session is over, and every share with it.
    Ended(EndReason),
    /// The calling holder's own session is over.
    CallerOver(Option<EndReason>),
}

/// Withdraws a share; `caller` is the holder's own session when a holder asks.
pub fn withdraw_share(
    session: &SessionId,
    slot: UserSlot,
    caller: Option<&Own>,
    withdrawal: &Withdrawal,
    operation: &Operation,
    now: Timestamp,
) -> Call {
    let mut keys = session_keys(session, slot);
    keys.extend(caller.map(|own| keys::session(&own.session)));
    Call::new(&WITHDRAW, keys)
        .arg(keys::hash_tag(slot.bucket))
        .number(now.millis())
        .arg(session.key_text())
        .arg(withdrawal.asking_tag)
        .arg(withdrawal.application_tag)
        .number(withdrawal.asked_at.millis())
        .arg(operation.mark)
        .arg(&operation.event_id)
        .arg(&operation.common)
        .arg(caller.map(Own::auth_time_text).unwrap_or_default())
}

/// Reads the reply to [`withdraw_share`].
pub fn withdrawn(reply: Value) -> Reply<Withdrawn> {
    let reply = items(reply)?;
    let second = reply.get(1);
    Ok(match text(reply.first())? {
        "withdrawn" => Withdrawn::Done,
        "missing" => Withdrawn::Missing,
        "ended" => Withdrawn::Ended(reason(second)?),
        "caller" => Withdrawn::CallerOver(u8::try_from(integer(second)?).ok().and_then(EndReason::from_code)),
        _ => return Err(UnexpectedReply),
    })
}
