//! Draining the outboxes into the audit: bounded, resumable, safe to run twice or in parallel.
//!
//! A step takes as many chains as fill a batch: lock them, read their buckets' outboxes, append what is not there yet,
//! commit, and only then acknowledge. What a step costs beside its rows, the roll-ups above all, is so paid once for many.
//! A drainer that dies between commit and acknowledgement leaves events that the next one recognises. Entries that it
//! can not read stay where they are, and it goes on behind them. Events that receivers want to hear of are handed over
//! between commit and acknowledgement too: what is acknowledged is both in the audit and on its way.

mod queued;
mod seal;

use super::key_store::KeyStore;
use super::receivers::Receivers;
use super::state::State;
use super::subject_keys::{Keys, SubjectKeys};
use crate::adapters::postgres::alerts;
use crate::adapters::postgres::audit::{Batch, Chains};
use crate::adapters::redis::outbox::{self, Entry};
use crate::clock;
use crate::core::alerts::{Rule, watched};
use crate::core::id::{BUCKETS_PER_CHAIN_GROUP, Bucket};
use crate::core::lag::Lag;
use crate::core::metrics::{Measure, Measured};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::{AUDIT_BATCH, AUDIT_BATCH_PER_BUCKET};
use futures_util::future::try_join_all;
use queued::{Queued, parse, queued_at};
use redis::FromRedisValue;
use seal::seal_personal_fields;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
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
    let groups = buckets.chunk_by(|a, b| a.chain_group() == b.chain_group());
    let mut pending: VecDeque<Group> = groups.map(Group::of).collect();
    let mut keys = Keys::new();
    while !pending.is_empty() {
        if clock::now() >= until {
            drained.more = true;
            break;
        }
        let mut busy: Vec<Group> = Vec::new();
        let mut waiting = 0;
        while waiting < AUDIT_BATCH as u64
            && let Some(mut group) = pending.pop_front()
        {
            group.looked_at = clock::now();
            group.waiting = lengths(&drain.state, &group.buckets).await?;
            let sum: u64 = group.waiting.iter().sum();
            if group.first_look {
                drained.lag.waiting(sum);
            }
            match sum {
                0 => through.extend(group.whole_chain()),
                _ => busy.push(group),
            }
            waiting += sum;
        }
        for mut group in step(drain, database, busy, &mut keys, &mut drained).await? {
            group.first_look = false;
            match group.full {
                true => pending.push_back(group),
                false => through.extend(group.whole_chain()),
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
        let lengths = lengths(state, group).await?;
        let busy = group.iter().zip(&lengths).filter(|(_, length)| **length > 0).map(|(bucket, _)| *bucket);
        let oldest = try_join_all(busy.map(|bucket| read(state, bucket, None, 1))).await?;
        lag.waiting(lengths.iter().sum());
        oldest.iter().flatten().filter_map(queued_at).for_each(|at| lag.seen(at));
    }
    Ok(lag)
}

/// The buckets of one chain, and how far this run is with them.
struct Group {
    buckets: Vec<Bucket>,
    /// Entries that waited in each of them.
    waiting: Vec<u64>,
    /// When that was asked.
    looked_at: Timestamp,
    /// Whether it is asked for the first time, which tells how far the audit is behind.
    first_look: bool,
    /// Whether the last step took as much as it may of one bucket: there may be more.
    full: bool,
    /// Per bucket, the last entry that could not be read: reading goes on behind it, so that an outbox full of such
    /// entries holds up nothing.
    passed: HashMap<Bucket, String>,
}

impl Group {
    fn of(buckets: &[Bucket]) -> Self {
        Group {
            buckets: buckets.to_vec(),
            waiting: Vec::new(),
            looked_at: Timestamp::from_millis(0),
            first_look: true,
            full: false,
            passed: HashMap::new(),
        }
    }

    fn chain(&self) -> i16 {
        self.buckets.first().map_or(0, |bucket| bucket.chain_group())
    }

    fn busy(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.iter().zip(&self.waiting).filter(|(_, length)| **length > 0).map(|(bucket, _)| *bucket)
    }

    /// The chain and until when it is written, if the group is all of it.
    fn whole_chain(&self) -> Option<(i16, Timestamp)> {
        (self.buckets.len() == usize::from(BUCKETS_PER_CHAIN_GROUP)).then(|| (self.chain(), self.looked_at))
    }
}

/// One batch of several chains. Returns the groups whose chain no other drainer holds.
async fn step(
    drain: &Drain,
    database: &mut Client,
    mut groups: Vec<Group>,
    keys: &mut Keys,
    drained: &mut Drained,
) -> Result<Vec<Group>> {
    if groups.is_empty() {
        return Ok(groups);
    }
    let state = &drain.state;
    let wanted: Vec<i16> = groups.iter().map(Group::chain).collect();
    let chains = Chains::lock(database, &wanted).await?;
    let all = groups.len();
    groups.retain(|group| chains.holds(group.chain()));
    drained.skipped_chains += (all - groups.len()) as u64;
    let busy: usize = groups.iter().map(|group| group.busy().count()).sum();
    let share = (AUDIT_BATCH / busy.max(1)).clamp(1, AUDIT_BATCH_PER_BUCKET);
    let mut batch = Batch::default();
    let mut taken: Vec<(Bucket, Vec<String>)> = Vec::new();
    for group in &mut groups {
        let outboxes = group.busy().map(async |bucket| {
            let entries = read(state, bucket, group.passed.get(&bucket), share).await?;
            Ok::<_, Error>((bucket, entries))
        });
        let outboxes = try_join_all(outboxes).await?;
        group.full = outboxes.iter().any(|(_, entries)| entries.len() == share);
        for (bucket, entries) in outboxes {
            taken.push((bucket, take(bucket, entries, group, &mut batch, drained)));
        }
    }
    let count = batch.events.len() + batch.activities.len() + batch.samples.len();
    if count > 0 {
        drained.taken += count as u64;
        seal_personal_fields(drain, &mut batch, keys).await?;
        let waiting = drain.receivers.waiting(batch.events.iter().map(|queued| &queued.event)).await?;
        drained.written += chains.append(batch).await?;
        drained.handed_over += drain.receivers.hand_over(waiting).await?;
        try_join_all(taken.iter().map(|(bucket, ids)| acknowledge(state, *bucket, ids))).await?;
    }
    Ok(groups)
}

/// Adds what a bucket held to the batch, and returns the entries that are to be acknowledged.
fn take(
    bucket: Bucket,
    entries: Vec<Entry>,
    group: &mut Group,
    batch: &mut Batch,
    drained: &mut Drained,
) -> Vec<String> {
    let mut ids = Vec::with_capacity(entries.len());
    for mut entry in entries {
        let at = queued_at(&entry);
        let id = std::mem::take(&mut entry.id);
        match at.and_then(|at| Some((at, parse(bucket, at, entry)?))) {
            Some((at, queued)) => {
                if group.first_look {
                    drained.lag.seen(at);
                }
                match queued {
                    Queued::Event(event) => {
                        for rule in watched(&event.event.event_type, &event.event.reason) {
                            *drained.watched.entry(rule).or_default() += 1;
                        }
                        batch.events.push(event);
                    }
                    Queued::Activity(activity) => batch.activities.push(activity),
                    Queued::Sample(sample) => batch.samples.push(sample),
                }
                ids.push(id);
            }
            None => {
                drained.unreadable += 1;
                group.passed.insert(bucket, id);
            }
        }
    }
    ids
}

async fn lengths(state: &State, buckets: &[Bucket]) -> Result<Vec<u64>> {
    try_join_all(buckets.iter().map(async |bucket| {
        let reply = state.command_in_job(&outbox::length(*bucket)).await?;
        Ok(u64::from_redis_value(reply).unwrap_or(0))
    }))
    .await
}

async fn read(state: &State, bucket: Bucket, after: Option<&String>, count: usize) -> Result<Vec<Entry>> {
    let reply = state.command_in_job(&outbox::oldest(bucket, after.map(String::as_str), count)).await?;
    Ok(outbox::entries(reply))
}

async fn acknowledge(state: &State, bucket: Bucket, ids: &[String]) -> Result<()> {
    if !ids.is_empty() {
        state.command_in_job(&outbox::remove(bucket, ids)).await?;
    }
    Ok(())
}
