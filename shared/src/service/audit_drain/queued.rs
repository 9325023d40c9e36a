//! What an entry of an outbox is: an event, activities or samples; or nothing that this release can read.

use crate::adapters::postgres::activity::QueuedActivity;
use crate::adapters::postgres::audit::{QueuedEvent, QueuedSample};
use crate::adapters::redis::outbox::Entry;
use crate::core::activity::{ACTIVITY, Activity};
use crate::core::analytics::sample;
use crate::core::attributes::Attributes;
use crate::core::audit::AuditEvent;
use crate::core::id::{Bucket, SessionId};
use crate::core::time::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;

/// An entry of an outbox.
pub(super) enum Queued {
    Event(Box<QueuedEvent>),
    Activity(QueuedActivity),
    Sample(QueuedSample),
}

/// When the store queued an entry.
pub(super) fn queued_at(entry: &Entry) -> Option<Timestamp> {
    entry.id.split_once('-').and_then(|(millis, _)| instant(millis.parse().ok()?))
}

/// An outbox entry by its kind. Activities and samples carry no `c`, so a release that does not know them leaves them.
pub(super) fn parse(bucket: Bucket, queued_at: Timestamp, entry: Entry) -> Option<Queued> {
    match entry.event_type.as_deref()? {
        kind if kind == ACTIVITY.as_bytes() => activity(bucket, entry, queued_at).map(Queued::Activity),
        kind if kind == sample::SAMPLE.as_bytes() => {
            let samples = sample::parse(std::str::from_utf8(entry.body.as_deref()?).ok()?)?;
            Some(Queued::Sample(QueuedSample { sample_id: storable(entry.event_id?)?, queued_at, samples }))
        }
        _ => event(bucket, entry, queued_at).map(|event| Queued::Event(Box::new(event))),
    }
}

/// What `activity.lua` writes.
fn activity(bucket: Bucket, entry: Entry, queued_at: Timestamp) -> Option<QueuedActivity> {
    let activities: Vec<Activity> = serde_json::from_slice(&entry.body?).ok()?;
    let good = |activity: &Activity| no_zero(&activity.name) && instant(activity.at_millis).is_some();
    (!activities.is_empty() && activities.iter().all(good)).then_some(())?;
    Some(QueuedActivity {
        entry_id: storable(entry.event_id?)?,
        queued_at,
        application_id: storable(entry.application?)?,
        subject: format!("{bucket}.{}", storable(entry.user?)?),
        session_id: SessionId::from_key_text(bucket, &storable(entry.session?)?)?.to_string(),
        activities,
        sealed: Vec::new(),
    })
}

/// What the caller of a script says about itself. A word that is left out is empty.
#[derive(Deserialize)]
struct Common<'a> {
    at: i64,
    #[serde(borrow, default)]
    actor: Cow<'a, str>,
    #[serde(borrow, default, rename = "requestId")]
    request_id: Cow<'a, str>,
}

/// What `record.lua` writes.
fn event(bucket: Bucket, entry: Entry, queued_at: Timestamp) -> Option<QueuedEvent> {
    let common: Common = serde_json::from_slice(entry.common.as_deref()?).ok()?;
    let session = storable(entry.session?)?;
    let session_id = match session.as_str() {
        "" => String::new(),
        key_text => SessionId::from_key_text(bucket, key_text)?.to_string(),
    };
    let attributes = match entry.attributes {
        Some(bytes) => Some(Attributes::decode(&bytes)?),
        None => None,
    };
    let began_at = match entry.began {
        Some(millis) => Some(instant(std::str::from_utf8(&millis).ok()?.parse().ok()?)?),
        None => None,
    };
    Some(QueuedEvent {
        attributes,
        began_at,
        queued_at,
        chain_group: bucket.chain_group(),
        event: AuditEvent {
            event_id: storable(entry.event_id?)?,
            occurred_at: instant(common.at)?,
            event_type: storable(entry.event_type?)?,
            application_id: storable(entry.application?)?,
            subject: format!("{bucket}.{}", storable(entry.user?)?),
            session_id,
            actor: Some(common.actor.into_owned()).filter(|text| no_zero(text))?,
            reason: storable(entry.reason?)?,
            request_id: Some(common.request_id.into_owned()).filter(|text| no_zero(text))?,
            detail: match entry.detail {
                Some(detail) => storable(detail)?,
                None => String::new(),
            },
            sealed: Vec::new(),
        },
    })
}

/// One text that PostgreSQL refuses would stop its whole batch, for ever.
fn storable(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| no_zero(text))
}

fn no_zero(text: &str) -> bool {
    !text.contains('\0')
}

/// An instant that PostgreSQL gives back as it is; the chain is over its milliseconds.
fn instant(millis: i64) -> Option<Timestamp> {
    let instant = Timestamp::from_millis(millis);
    let stored = instant.to_offset_date_time().unix_timestamp_nanos();
    (stored == i128::from(millis) * 1_000_000).then_some(instant)
}
