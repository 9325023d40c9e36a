//! Sealing what of a batch is personal, under the keys of its subjects.

use super::Drain;
use crate::adapters::postgres::activity::QueuedActivity;
use crate::adapters::postgres::audit::{Batch, QueuedEvent};
use crate::core::activity;
use crate::core::audit_personal::Personal;
use crate::error::{Error, Result};
use crate::random;
use crate::service::subject_keys::Keys;
use std::collections::BTreeSet;

/// Seals the personal fields of events and the properties of activities. An end tells nothing of a person that the
/// beginning did not. `keys` are those that this run has met.
pub(super) async fn seal_personal_fields(drain: &Drain, batch: &mut Batch, keys: &mut Keys) -> Result<()> {
    let personal = |queued: &QueuedEvent| queued.attributes.is_some() && queued.began_at.is_none();
    let events = batch.events.iter().filter(|queued| personal(queued)).map(|queued| &queued.event.subject);
    let telling = |queued: &&QueuedActivity| queued.activities.iter().any(|activity| activity.properties.is_some());
    let activities = batch.activities.iter().filter(telling).map(|queued| &queued.subject);
    let subjects: BTreeSet<&str> = events.chain(activities).map(String::as_str).collect();
    // Boxed: the futures of the SDK are deep.
    Box::pin(drain.subject_keys.for_writing(&drain.keys, &subjects, keys)).await?;
    let failed = || Error::Internal("sealing failed".into());
    for queued in batch.events.iter_mut().filter(|queued| personal(queued)) {
        let event = &mut queued.event;
        if let (Some(attributes), Some(key)) = (&queued.attributes, keys.get(&event.subject)) {
            let fields = Personal::of(attributes);
            event.sealed = fields.seal(key, random::bytes()?, &event.subject, &event.event_id).ok_or_else(failed)?;
        }
    }
    for queued in &mut batch.activities {
        let mut sealed = Vec::with_capacity(queued.activities.len());
        for (place, activity) in queued.activities.iter().enumerate() {
            sealed.push(match (&activity.properties, keys.get(&queued.subject)) {
                (Some(properties), Some(key)) => {
                    let id = queued.activity_id(place);
                    activity::seal(key, random::bytes()?, &queued.subject, &id, properties).ok_or_else(failed)?
                }
                _ => Vec::new(),
            });
        }
        queued.sealed = sealed;
    }
    Ok(())
}
