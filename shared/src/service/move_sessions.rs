//! Moving all buckets from one Redis to another while both serve. An operator asks for it, and again until nothing is left.
//!
//! A bucket's turn, one step after the other:
//!
//! 1. **List.** The marker says so, for as long as the job renews it. A walk over the store finds what was there before; what is
//!    used meanwhile is written down by the scripts themselves. The bucket is served as ever.
//! 2. **Hold back.** The marker says that the bucket is being moved. Nothing in it changes from here on; readers still read it.
//! 3. **Copy** every key with its expiry, and **compare** what both stores hold, key by key.
//! 4. **Leave.** The marker says for good that the bucket was moved, if it is still this turn's, the replicas of both stores (where
//!    there are any) follow, and both stores are the same incarnations as at the beginning, when the first of them knew the
//!    ledger: nothing that it acknowledged is missing. From here on everybody goes to the other store. Then the keys go from the
//!    first.
//!
//! A job that dies holds a bucket back until its lease ends; then the bucket is served from where it is, and another job may
//! take the next turn. A job that wakes up after that can neither leave (the marker is not its own) nor write to the other store
//! (a later turn was there), so any number of jobs may run at once. A bucket that does not compare is given back.
//!
//! The walk of a single node is a `SCAN`, which costs what the whole store costs: a move touches all of it anyway, it runs
//! beside the requests, and it serves many buckets at once. No request and no other job scans.

mod turn;

use super::state::State;
use super::store::Store;
use crate::adapters::redis::bucket_keys::{self, Walk};
use crate::adapters::redis::connection::{self, Connection};
use crate::adapters::redis::fence::{self, Marker};
use crate::adapters::redis::{keys, scripts};
use crate::clock;
use crate::core::id::Bucket;
use crate::core::metrics::{Measure, Measured};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::{MOVE_CONCURRENCY, MOVE_LISTING_BUCKETS, MOVE_LISTING_LEASE_MILLIS, MOVE_PAUSE_MILLIS_MAX};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scripts::transfer::{Taken, mark, take, taken};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use turn::{Ended, Numbered, Side, Turn};

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// Buckets moved by this run.
    pub buckets: u64,
    /// Keys copied.
    pub keys: u64,
    /// Session records among them, ended ones included.
    pub sessions: u64,
    /// Keys that were found to hold the same in both stores.
    pub verified: u64,
    /// Times that a bucket was given back: it did not compare, or its lease was over.
    pub given_back: u64,
    /// Keys of moved buckets that a job which died had left behind, removed.
    pub leftovers: u64,
    /// Buckets of the range that are still where they were.
    pub buckets_left: u64,
    /// Keys in them.
    pub keys_left: u64,
    /// Session records among those.
    pub sessions_left: u64,
    /// Whether the time ran out before everything was moved and counted.
    pub more: bool,
}

impl Measured for Moved {
    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::count("BucketsMoved", self.buckets),
            Measure::count("KeysVerified", self.verified),
            Measure::count("BucketsGivenBack", self.given_back),
            Measure::count("BucketsLeft", self.buckets_left),
        ]
    }
}

/// Both stores with what they were when the run began.
#[derive(Clone)]
struct Stores {
    from: Connection,
    to: Connection,
    incarnations: (String, String),
    /// Whether they had replicas: then those have to follow, or a failover could lose what was copied, or that it was.
    replicated: (bool, bool),
}

/// Moves the buckets of a range until none is left or `until` has come.
pub async fn move_sessions(state: &State, first: Bucket, last: Bucket, until: Timestamp) -> Result<Moved> {
    let moved = run(state, first, last, until).await;
    if moved.is_err() {
        // Turns that were given up may still wait for a replica, one behind the other, and hold their connection meanwhile.
        state.forget_connections().await;
    }
    moved
}

async fn run(state: &State, first: Bucket, last: Bucket, until: Timestamp) -> Result<Moved> {
    let mut stores = open(state).await?;
    let mut moved = Moved::default();
    while clock::now() < until {
        let left = left(&mut stores.from, first, last).await?;
        if left.is_empty() {
            break;
        }
        let turns = begin(&stores, &left).await?;
        if turns.is_empty() {
            // Others are at it, or were when they died.
            tokio::time::sleep(Duration::from_millis(MOVE_PAUSE_MILLIS_MAX)).await;
            continue;
        }
        let before = moved.buckets;
        let turns = list(&mut stores, turns, until).await?;
        carry_out(&stores, turns, until, &mut moved).await?;
        if moved.buckets == before {
            // Something is wrong that another try at once will not mend.
            break;
        }
    }
    count_left(&mut stores.from, first, last, until, Leftovers::Remove, &mut moved).await?;
    Ok(moved)
}

/// What a run would have to move. Nothing changes.
pub async fn preview(state: &State, first: Bucket, last: Bucket, until: Timestamp) -> Result<Moved> {
    let mut stores = open(state).await?;
    let mut counted = Moved::default();
    count_left(&mut stores.from, first, last, until, Leftovers::Count, &mut counted).await?;
    Ok(counted)
}

async fn open(state: &State) -> Result<Stores> {
    let Some(target) = state.target() else {
        return Err(Error::field("REDIS_MOVE_TO_URL", "is not set: there is nowhere to move to"));
    };
    // In this order: what the first store is now, it knows the ledger, and it is compared with that when a bucket leaves.
    let incarnations = (incarnation(state.home()).await?, incarnation(target).await?);
    let (mut from, mut to) = (state.home().current_connection().await?, target.current_connection().await?);
    let classify = |error| connection::classify(&error);
    let replicated = (from.has_replicas().await.map_err(classify)?, to.has_replicas().await.map_err(classify)?);
    Ok(Stores { from, to, incarnations, replicated })
}

async fn incarnation(store: &Store) -> Result<String> {
    let mut connection = store.connection().await?;
    connection.incarnation().await.map_err(|error| connection::classify(&error))
}

/// The buckets of a range that have not left.
async fn left(from: &mut Connection, first: Bucket, last: Bucket) -> Result<Vec<Bucket>> {
    let from = &*from;
    let buckets = stream::iter(Bucket::range(first, last))
        .map(|bucket| async move {
            let left =
                fence::has_left(&mut from.clone(), bucket).await.map_err(|error| connection::classify(&error))?;
            Ok::<_, Error>((!left).then_some(bucket))
        })
        .buffered(64)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(buckets.into_iter().flatten().collect())
}

/// Takes the turns of the first buckets that nobody is at, as many as one walk is for. The other store hears of each first
/// thing: nothing of an earlier turn is written there any more.
async fn begin(stores: &Stores, buckets: &[Bucket]) -> Result<Vec<Turn>> {
    let mut begun = Vec::new();
    for buckets in buckets.chunks(MOVE_LISTING_BUCKETS) {
        let turns = stream::iter(buckets)
            .map(|bucket| async move {
                let (mut from, mut to) = (stores.from.clone(), stores.to.clone());
                let call = take(*bucket, MOVE_LISTING_LEASE_MILLIS);
                let reply = scripts::run(&mut from, &call).await.map_err(|error| connection::classify(&error))?;
                match taken(&reply)? {
                    Taken::Turn(number) => Turn::begin(*bucket, number, &mut to).await,
                    Taken::Elsewhere | Taken::Moved => Ok::<_, Error>(None),
                }
            })
            .buffer_unordered(64)
            .try_collect::<Vec<_>>()
            .await?;
        begun.extend(turns.into_iter().flatten());
        if !begun.is_empty() {
            break;
        }
    }
    Ok(begun)
}

/// Finds the keys of the buckets in both stores.
async fn list(stores: &mut Stores, turns: Vec<Turn>, until: Timestamp) -> Result<Vec<Turn>> {
    let mut turns: BTreeMap<Bucket, Turn> = turns.into_iter().map(|turn| (turn.bucket, turn)).collect();
    let numbers: Vec<Numbered> = turns.values().map(Turn::numbered).collect();
    let from = stores.from.clone();
    let mut renewed = Instant::now();
    for (side, connection) in [(Side::From, &mut stores.from), (Side::To, &mut stores.to)] {
        let mut walk = Walk::new(connection, turns.keys().copied().collect());
        while let Some(found) = walk.next(connection).await.map_err(|error| connection::classify(&error))? {
            if clock::now() >= until {
                // No turn is carried out any more.
                break;
            }
            for (bucket, names) in found {
                if let Some(turn) = turns.get_mut(&bucket) {
                    turn.found(side, names);
                }
            }
            if renewed.elapsed() >= RENEWAL {
                renewed = Instant::now();
                renew_listings(&from, &numbers).await?;
            }
        }
    }
    Ok(turns.into_values().collect())
}

/// Carries the turns out, some at once, while the others wait.
async fn carry_out(stores: &Stores, turns: Vec<Turn>, until: Timestamp, moved: &mut Moved) -> Result<()> {
    let numbers: Vec<Numbered> = turns.iter().map(Turn::numbered).collect();
    let mut working =
        stream::iter(turns).map(|turn| turn.carry_out(stores.clone(), until)).buffer_unordered(MOVE_CONCURRENCY);
    let mut renewal = tokio::time::interval(RENEWAL);
    loop {
        tokio::select! {
            ended = working.next() => match ended {
                Some(ended) => moved.add(&ended?),
                None => return Ok(()),
            },
            _ = renewal.tick() => renew_listings(&stores.from, &numbers).await?,
        }
    }
}

/// How often leases of listings are renewed.
const RENEWAL: Duration = Duration::from_millis(MOVE_LISTING_LEASE_MILLIS / 4);

/// Renews the leases of turns whose bucket is still listed; of others nothing changes.
async fn renew_listings(from: &Connection, numbers: &[Numbered]) -> Result<()> {
    stream::iter(numbers)
        .map(|(bucket, number)| async move {
            let listing = Marker::Listing(*number);
            let call = mark(*bucket, listing, Some(listing), Some(MOVE_LISTING_LEASE_MILLIS));
            scripts::run(&mut from.clone(), &call).await.map(drop).map_err(|error| connection::classify(&error))
        })
        .buffer_unordered(64)
        .try_collect()
        .await
}

/// What to do with keys of buckets that have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftovers {
    /// They go: everybody has been at the other store since.
    Remove,
    /// They are counted.
    Count,
}

/// Counts what is left in the first store. A walk may meet a key twice, and the store is in use.
async fn count_left(
    from: &mut Connection,
    first: Bucket,
    last: Bucket,
    until: Timestamp,
    leftovers: Leftovers,
    moved: &mut Moved,
) -> Result<()> {
    let left = left(from, first, last).await?;
    moved.buckets_left = left.len() as u64;
    let mut walk = Walk::new(from, Bucket::range(first, last).collect());
    while let Some(found) = walk.next(from).await.map_err(|error| connection::classify(&error))? {
        if clock::now() >= until {
            moved.more = true;
            break;
        }
        for (bucket, mut names) in found {
            names.retain(|name| !keys::is_of_a_move(name));
            if left.binary_search(&bucket).is_ok() {
                moved.keys_left += names.len() as u64;
                moved.sessions_left += names.iter().filter(|name| keys::is_session(name)).count() as u64;
                continue;
            }
            moved.leftovers += names.len() as u64;
            if leftovers == Leftovers::Remove {
                bucket_keys::remove(from, &names).await.map_err(|error| connection::classify(&error))?;
            }
        }
    }
    Ok(())
}

impl Moved {
    fn add(&mut self, ended: &Ended) {
        match ended {
            Ended::Moved { keys, sessions, verified } => {
                self.buckets += 1;
                self.keys += keys;
                self.sessions += sessions;
                self.verified += verified;
            }
            Ended::GivenBack => self.given_back += 1,
            Ended::NotBegun => {}
        }
    }
}
