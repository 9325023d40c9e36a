//! Replacing and patching session data under `If-Match`.

use super::authenticate::{Caller, authenticate};
use super::get;
use super::inbound::Inbound;
use super::present::{Data, SessionView};
use super::rate;
use super::reach::Reached;
use super::risk::{Asking, JUDGEMENTS_MAX};
use super::runtime::Service;
use super::session_data;
use crate::adapters::redis::scripts::{self, Updated, Writer};
use crate::core::application::Scope;
use crate::core::envelope;
use crate::core::id::{SessionId, UserSlot};
use crate::core::lock::LockToken;
use crate::core::record::SessionRecord;
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// The `If-Match` precondition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// `"<version>"`
    Version(u32),
    /// `*`: whatever the version is; a concurrent change is still never lost.
    Any,
}

/// What to do with the data.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// PUT: this is the data.
    Replace(Map<String, Value>),
    /// PATCH: an RFC 7396 merge patch.
    Merge(Map<String, Value>),
}

impl Change {
    /// What it makes of data. Made twice it makes the same.
    pub(super) fn upon(&self, data: Map<String, Value>) -> Map<String, Value> {
        match self {
            Change::Replace(data) => data.clone(),
            Change::Merge(patch) => merge(data, patch.clone()),
        }
    }
}

/// Changes the data of a session, under the lock that the caller holds or else under nobody's. A stated version and its data known: one round trip. `*`, or a patch of data that
/// this environment has not seen: two.
pub async fn update_session(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    expected: Expected,
    change: Change,
    lock: Option<LockToken>,
) -> Result<SessionView> {
    rate::watch(service, inbound, write(service, inbound, session, expected, change, lock)).await
}

async fn write(
    service: &Service,
    inbound: &Inbound,
    session: SessionId,
    expected: Expected,
    change: Change,
    lock: Option<LockToken>,
) -> Result<SessionView> {
    let now = inbound.now;
    let caller = authenticate(service, inbound).await?;
    caller.require(Scope::SessionsWrite)?;
    if let Caller::Holder(holder) = &caller
        && holder.session != session
    {
        return Err(Error::NotFound);
    }
    let slot = session.user_slot(service.keys.routing().await?);
    let Base { version, data, seal_mark } = resolve(service, &caller, session, slot, expected, change, now).await?;
    let sealed = match session_data::seal(service, session, version.wrapping_add(1), &data, now).await {
        Err(error @ Error::PayloadTooLarge { .. }) if seal_mark.is_some() => {
            // The patch grew data that this environment remembers, perhaps from another application's call. Its size
            // shows only to those to whom the session exists.
            get::reached(service, &caller, session, slot, now).await?.require(Scope::SessionsWrite)?;
            return Err(error);
        }
        outcome => outcome?,
    };
    let operation = inbound.operation(&caller.actor())?;
    let asking = match &caller {
        Caller::Application(_) => None,
        Caller::Holder(holder) => Some(Asking::of_holder(holder, slot, now)),
    };
    let context = match &asking {
        None => None,
        Some(asking) => Some(asking.digests(service).await?),
    };
    let (own, owner) = (caller.own(), lock.map(|token| token.owner()));
    let mut judgement = None;
    let mut judgements = 0..JUDGEMENTS_MAX;
    let updated = loop {
        let call = scripts::update(
            &session,
            slot,
            caller.application_tag(),
            version,
            seal_mark.as_deref(),
            &sealed.bytes,
            Writer { own: own.as_ref(), lock: owner, context, judgement: judgement.as_deref() },
            &operation,
            now,
        );
        let updated = scripts::updated(service.state.run(&call).await?)?;
        judgement = match (updated, asking.zip(context)) {
            (Updated::Unjudged { record, history }, Some((asking, digests))) => {
                Some(asking.let_pass(service, digests, &record, &history).await?)
            }
            (Updated::Moved | Updated::Unjudged { .. }, _) => None,
            (updated, _) => break updated,
        };
        if judgements.next().is_none() {
            return Err(Error::SessionChanged);
        }
    };
    match updated {
        Updated::Unjudged { .. } | Updated::Moved => Err(Error::SessionChanged),
        Updated::Done(record, family) => {
            session_data::remember(service, session, record.header.version, sealed);
            let reached = Reached::new(*record, family);
            Ok(reached.view(session, Some(Data::Object(data))).with_current(get::is_current(&caller, session)))
        }
        Updated::NotShared => Err(Error::InsufficientScope(Scope::SessionsWrite)),
        Updated::Missing => Err(match caller {
            Caller::Application(_) => Error::NotFound,
            Caller::Holder(_) => Error::CredentialInvalid("the token is good for its session no more"),
        }),
        Updated::Ended(reason) => Err(Error::SessionEnded { reason, asker: caller.asker() }),
        Updated::Locked(left_millis) => Err(Error::SessionLocked { retry_after_seconds: left_millis.div_ceil(1000) }),
        Updated::LockLost => Err(Error::LockLost),
        Updated::OtherVersion(current) => Err(match expected {
            Expected::Version(expected) if expected != current => Error::VersionMismatch { current },
            // Same version, other seal (after a store rollback), or a change since `*` was resolved.
            Expected::Version(_) | Expected::Any => {
                service.opened.forget(session, current);
                Error::SessionChanged
            }
        }),
    }
}

/// What a change starts from.
struct Base {
    /// The version to replace.
    version: u32,
    /// The data to put there.
    data: Map<String, Value>,
    /// For a patch of remembered data: the seal that the record must still bear.
    seal_mark: Option<Vec<u8>>,
}

async fn resolve(
    service: &Service,
    caller: &Caller,
    session: SessionId,
    slot: UserSlot,
    expected: Expected,
    change: Change,
    now: Timestamp,
) -> Result<Base> {
    let patch = match (expected, change) {
        (Expected::Version(version), Change::Replace(data)) => return Ok(Base { version, data, seal_mark: None }),
        (Expected::Any, Change::Replace(data)) => {
            let record = to_change(service, caller, session, slot, now).await?;
            return Ok(Base { version: record.header.version, data, seal_mark: None });
        }
        (Expected::Version(version), Change::Merge(patch)) => match session_data::remembered(service, session, version)
        {
            Some((current, mark)) => {
                return Ok(Base { version, data: merge(current, patch), seal_mark: Some(mark) });
            }
            None => patch,
        },
        (Expected::Any, Change::Merge(patch)) => patch,
    };
    let record = to_change(service, caller, session, slot, now).await?;
    let current = record.header.version;
    if let Expected::Version(version) = expected
        && version != current
    {
        return Err(Error::VersionMismatch { current });
    }
    let seal_mark = envelope::seal_mark(&record.sealed).to_vec();
    let data = merge(session_data::open(service, session, &record).await?, patch);
    Ok(Base { version: current, data, seal_mark: Some(seal_mark) })
}

/// The record of a session that the caller may change.
async fn to_change(
    service: &Service,
    caller: &Caller,
    session: SessionId,
    slot: UserSlot,
    now: Timestamp,
) -> Result<SessionRecord> {
    let reached = get::reached(service, caller, session, slot, now).await?;
    reached.require(Scope::SessionsWrite)?;
    Ok(reached.record)
}

/// RFC 7396 on objects, which session data always is.
pub(super) fn merge(current: Map<String, Value>, patch: Map<String, Value>) -> Map<String, Value> {
    let mut merged = Value::Object(current);
    json_patch::merge(&mut merged, &Value::Object(patch));
    match merged {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
