//! Draining the outboxes into the audit: bounded, resumable, safe to run twice or in parallel.
//!
//! Per chain: lock it, read its buckets' outboxes, append what is not there yet, commit, and only then acknowledge.
//! A drainer that dies between commit and acknowledgement leaves events that the next one recognises. Entries that it
//! can not read stay where they are, and it goes on behind them. Events that receivers want to hear of are handed over
//! between commit and acknowledgement too: what is acknowledged is both in the audit and on its way.

use super::key_store::KeyStore;
use super::receivers::Receivers;
use super::state::State;
use super::subject_keys::SubjectKeys;
use crate::adapters::postgres::activity::QueuedActivity;
use crate::adapters::postgres::alerts;
use crate::adapters::postgres::audit::{Batch, Chain, QueuedEvent, QueuedSample};
use crate::adapters::redis::keys;
use crate::clock;
use crate::core::activity::{self, ACTIVITY, Activity};
use crate::core::alerts::{Rule, watched};
use crate::core::analytics::sample;
use crate::core::attributes::Attributes;
use crate::core::audit::AuditEvent;
use crate::core::audit_personal::Personal;
use crate::core::id::{BUCKETS_PER_CHAIN_GROUP, Bucket, SessionId};
use crate::core::lag::Lag;
use crate::core::metrics::{Measure, Measured};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::{AUDIT_BATCH, AUDIT_BATCH_PER_BUCKET};
use crate::random;
use futures_util::future::try_join_all;
use redis::streams::{StreamId, StreamRangeReply};
use redis::{FromRedisValue, cmd};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use tokio_postgres::Client;

/// Where events come from and what is done with them on the way.
pub struct Drain {
    /// Redis.
    pub state: State,
    /// Receivers of events.
    pub receivers: Receivers,
    /// The `audit` ring.
    pub keys: KeyStore,
    /// Keys of subjects.
    pub subject_keys: SubjectKeys,
}

/// What a run did.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drained {
    /// Events taken from outboxes.
    pub taken: u64,
    /// Rows written; the rest was there already.
    pub written: u64,
    /// Chains that another drainer held.
    pub skipped_chains: u64,
    /// Entries that are no events of this release: left in their outbox.
    pub unreadable: u64,
    /// Deliveries to receivers handed over; the rest had been already.
    pub handed_over: u64,
    /// Whether the time ran out before the outboxes were empty.
    pub more: bool,
    /// The anchor that was made afterwards; none when the last one said it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<u64>,
    /// What waited when the run came to it.
    #[serde(skip)]
    pub lag: Lag,
    /// By rule, events of those taken that it counts.
    #[serde(skip)]
    pub watched: HashMap<Rule, u64>,
}

impl Measured for Drained {
    fn measures(&self) -> Vec<Measure> {
        let watched = |rule| self.watched.get(&rule).copied().unwrap_or(0);
        let mut measures = vec![
            Measure::count("Taken", self.taken),
            Measure::count("Written", self.written),
            Measure::count("SkippedChains", self.skipped_chains),
            Measure::count("Unreadable", self.unreadable),
            Measure::count("HandedOver", self.handed_over),
            Measure::whether("Unfinished", self.more),
            Measure::count("SecurityEvents", watched(Rule::SecurityEventRate)),
            Measure::count("RefreshReplays", watched(Rule::RefreshReuse)),
            Measure::count("Evictions", watched(Rule::EvictionBurst)),
        ];
        measures.extend(self.lag.measures(clock::now()));
        measures
    }
}

/// Drains the buckets of a range until they are empty or `until` has come.
pub async fn drain(
    drain: &Drain,
    database: &mut Client,
    first: Bucket,
    last: Bucket,
    until: Timestamp,
) -> Result<Drained> {
    let mut drained = Drained::default();
    let mut through: Vec<(i16, Timestamp)> = Vec::new();
    let buckets: Vec<Bucket> = Bucket::range(first, last).collect();
    'chains: for group in buckets.chunk_by(|a, b| a.chain_group() == b.chain_group()) {
        let mut passed = Passed::new();
        let mut first_look = true;
        loop {
            if clock::now() >= until {
                drained.more = true;
                break 'chains;
            }
            let looked_at = clock::now();
            match drain_group(drain, database, group, &mut passed, &mut drained, first_look).await? {
                Group::More => first_look = false,
                Group::Skipped => break,
                Group::Empty => {
                    if let Some(chain) = whole_chain(group) {
                        through.push((chain, looked_at));
                    }
                    break;
                }
            }
        }
    }
    alerts::write_through(database, &through).await?;
    let unreadable = drained.unreadable;
    if unreadable > 0 {
        tracing::warn!(unreadable, "outboxes hold entries that this release can not read");
    }
    Ok(drained)
}

/// What waits in the buckets of a range, for a run that can not drain them. It asks each bucket once, and each that is
/// not empty once more.
pub async fn lag(state: &State, first: Bucket, last: Bucket) -> Result<Lag> {
    let mut lag = Lag::default();
    let buckets: Vec<Bucket> = Bucket::range(first, last).collect();
    for group in buckets.chunk_by(|a, b| a.chain_group() == b.chain_group()) {
        let lengths = try_join_all(group.iter().map(|bucket| waiting(state, *bucket))).await?;
        let busy = group.iter().zip(&lengths).filter(|(_, length)| **length > 0).map(|(bucket, _)| *bucket);
        let oldest = try_join_all(busy.map(|bucket| read(state, bucket, None, 1))).await?;
        lag.waiting(lengths.iter().sum());
        oldest.iter().flatten().filter_map(queued_at).for_each(|at| lag.seen(at));
    }
    Ok(lag)
}

/// How far a look at a group came.
enum Group {
    /// There may be more.
    More,
    /// Everything that was there has been written.
    Empty,
    /// Another drainer has the chain.
    Skipped,
}

/// The chain of a group, if the group is all of it.
fn whole_chain(group: &[Bucket]) -> Option<i16> {
    let first = group.first()?;
    (group.len() == usize::from(BUCKETS_PER_CHAIN_GROUP)).then(|| first.chain_group())
}

/// Per bucket, the last entry of this run that could not be read: reading goes on behind it, so that an outbox full
/// of such entries holds up nothing.
type Passed = HashMap<Bucket, String>;

/// One batch of one chain. The first look at a group tells how far the audit is behind.
async fn drain_group(
    drain: &Drain,
    database: &mut Client,
    group: &[Bucket],
    passed: &mut Passed,
    drained: &mut Drained,
    first_look: bool,
) -> Result<Group> {
    let Some(first) = group.first() else { return Ok(Group::Empty) };
    let state = &drain.state;
    let waiting = try_join_all(group.iter().map(|bucket| waiting(state, *bucket))).await?;
    if first_look {
        drained.lag.waiting(waiting.iter().sum());
    }
    if waiting.iter().all(|length| *length == 0) {
        return Ok(Group::Empty);
    }
    let Some(chain) = Chain::lock(database, first.chain_group()).await? else {
        drained.skipped_chains += 1;
        return Ok(Group::Skipped);
    };
    let busy: Vec<Bucket> =
        group.iter().zip(&waiting).filter(|(_, length)| **length > 0).map(|(bucket, _)| *bucket).collect();
    let share = (AUDIT_BATCH / busy.len().max(1)).clamp(1, AUDIT_BATCH_PER_BUCKET);
    let outboxes = try_join_all(busy.iter().map(|bucket| read(state, *bucket, passed.get(bucket), share))).await?;
    let full = outboxes.iter().any(|entries| entries.len() == share);
    let mut batch = Batch::default();
    let mut taken: Vec<(Bucket, Vec<String>)> = Vec::new();
    for (bucket, entries) in busy.iter().zip(outboxes) {
        let mut ids = Vec::with_capacity(entries.len());
        for entry in entries {
            match parse(*bucket, &entry) {
                Some(queued) => {
                    if first_look && let Some(at) = queued_at(&entry) {
                        drained.lag.seen(at);
                    }
                    match queued {
                        Queued::Event(event) => {
                            for rule in watched(&event.event.event_type, &event.event.reason) {
                                *drained.watched.entry(rule).or_default() += 1;
                            }
                            batch.events.push(*event);
                        }
                        Queued::Activity(activity) => batch.activities.push(activity),
                        Queued::Sample(sample) => batch.samples.push(sample),
                    }
                    ids.push(entry.id);
                }
                None => {
                    drained.unreadable += 1;
                    passed.insert(*bucket, entry.id);
                }
            }
        }
        taken.push((*bucket, ids));
    }
    let count = batch.events.len() + batch.activities.len() + batch.samples.len();
    if count > 0 {
        // In the order of the store's time, so that a month ends at one place of the chain and not once per bucket.
        batch.events.sort_by_key(|queued| queued.queued_at);
        drained.taken += count as u64;
        seal_personal_fields(drain, &mut batch).await?;
        let waiting = drain.receivers.waiting(batch.events.iter().map(|queued| &queued.event)).await?;
        drained.written += chain.append(batch).await?;
        drained.handed_over += drain.receivers.hand_over(waiting).await?;
        try_join_all(taken.iter().map(|(bucket, ids)| acknowledge(state, *bucket, ids))).await?;
    }
    Ok(if full { Group::More } else { Group::Empty })
}

/// When the store queued an entry.
fn queued_at(entry: &StreamId) -> Option<Timestamp> {
    entry.id.split_once('-').and_then(|(millis, _)| instant(millis.parse().ok()?))
}

/// Seals what of the events and activities is personal under the keys of their subjects. An end tells nothing of a person
/// that the beginning did not.
async fn seal_personal_fields(drain: &Drain, batch: &mut Batch) -> Result<()> {
    let personal = |queued: &QueuedEvent| queued.attributes.is_some() && queued.began_at.is_none();
    let events = batch.events.iter().filter(|queued| personal(queued)).map(|queued| &queued.event.subject);
    let telling = |queued: &&QueuedActivity| queued.activities.iter().any(|activity| activity.properties.is_some());
    let activities = batch.activities.iter().filter(telling).map(|queued| &queued.subject);
    let subjects: BTreeSet<String> = events.chain(activities).cloned().collect();
    let subjects = subjects.iter().map(String::as_str).collect();
    // Boxed: the futures of the SDK are deep.
    let keys = Box::pin(drain.subject_keys.for_writing(&drain.keys, &subjects)).await?;
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

async fn waiting(state: &State, bucket: Bucket) -> Result<u64> {
    let reply = state.command(cmd("XLEN").arg(keys::outbox(bucket))).await?;
    Ok(u64::from_redis_value(reply).unwrap_or(0))
}

async fn read(state: &State, bucket: Bucket, after: Option<&String>, count: usize) -> Result<Vec<StreamId>> {
    let start = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
    let reply =
        state.command(cmd("XRANGE").arg(keys::outbox(bucket)).arg(start).arg("+").arg("COUNT").arg(count)).await?;
    let reply = StreamRangeReply::from_redis_value(reply);
    Ok(reply.map(|reply| reply.ids).unwrap_or_default())
}

async fn acknowledge(state: &State, bucket: Bucket, ids: &[String]) -> Result<()> {
    if !ids.is_empty() {
        state.command(cmd("XDEL").arg(keys::outbox(bucket)).arg(ids)).await?;
    }
    Ok(())
}

/// An entry of an outbox.
enum Queued {
    Event(Box<QueuedEvent>),
    Activity(QueuedActivity),
    Sample(QueuedSample),
}

/// An outbox entry by its kind. Activities and samples carry no `c`, so a release that does not know them leaves them.
fn parse(bucket: Bucket, entry: &StreamId) -> Option<Queued> {
    let queued_at = queued_at(entry)?;
    match entry.get::<String>("t")?.as_str() {
        ACTIVITY => parse_activity(bucket, entry, queued_at).map(Queued::Activity),
        sample::SAMPLE => {
            let samples = sample::parse(&entry.get::<String>("y")?)?;
            Some(Queued::Sample(QueuedSample {
                sample_id: entry.get::<String>("i").filter(|id| storable(id))?,
                queued_at,
                samples,
            }))
        }
        _ => parse_event(bucket, entry, queued_at).map(|event| Queued::Event(Box::new(event))),
    }
}

/// What `activity.lua` writes.
fn parse_activity(bucket: Bucket, entry: &StreamId, queued_at: Timestamp) -> Option<QueuedActivity> {
    let field = |name: &str| entry.get::<String>(name).filter(|text| storable(text));
    let activities: Vec<Activity> = serde_json::from_str(&entry.get::<String>("y")?).ok()?;
    let good = |activity: &Activity| storable(&activity.name) && instant(activity.at_millis).is_some();
    (!activities.is_empty() && activities.iter().all(good)).then_some(())?;
    Some(QueuedActivity {
        entry_id: field("i")?,
        queued_at,
        application_id: field("a")?,
        subject: format!("{bucket}.{}", field("u")?),
        session_id: SessionId::from_key_text(bucket, &field("s")?)?.to_string(),
        activities,
        sealed: Vec::new(),
    })
}

/// What `record.lua` writes.
fn parse_event(bucket: Bucket, entry: &StreamId, queued_at: Timestamp) -> Option<QueuedEvent> {
    let field = |name: &str| entry.get::<String>(name).filter(|text| storable(text));
    let common: HashMap<String, serde_json::Value> = serde_json::from_str(&field("c")?).ok()?;
    let word = |name: &str| match common.get(name) {
        None => Some(String::new()),
        Some(value) => value.as_str().filter(|text| storable(text)).map(str::to_owned),
    };
    let session = field("s")?;
    let session_id = match session.as_str() {
        "" => String::new(),
        key_text => SessionId::from_key_text(bucket, key_text)?.to_string(),
    };
    let attributes = match entry.contains_key("p") {
        true => Some(Attributes::decode(&entry.get::<Vec<u8>>("p")?)?),
        false => None,
    };
    let began_at = match entry.contains_key("b") {
        true => Some(instant(field("b")?.parse().ok()?)?),
        false => None,
    };
    Some(QueuedEvent {
        attributes,
        began_at,
        queued_at,
        event: AuditEvent {
            event_id: field("i")?,
            occurred_at: instant(common.get("at")?.as_i64()?)?,
            event_type: field("t")?,
            application_id: field("a")?,
            subject: format!("{bucket}.{}", field("u")?),
            session_id,
            actor: word("actor")?,
            reason: field("r")?,
            request_id: word("requestId")?,
            detail: match entry.contains_key("d") {
                true => field("d")?,
                false => String::new(),
            },
            sealed: Vec::new(),
        },
    })
}

/// One text that PostgreSQL refuses would stop its whole batch, for ever.
fn storable(text: &str) -> bool {
    !text.contains('\0')
}

/// An instant that PostgreSQL gives back as it is; the chain is over its milliseconds.
fn instant(millis: i64) -> Option<Timestamp> {
    let instant = Timestamp::from_millis(millis);
    let stored = instant.to_offset_date_time().unix_timestamp_nanos();
    (stored == i128::from(millis) * 1_000_000).then_some(instant)
}
