//! One bucket's turn.

use super::Stores;
use crate::adapters::redis::bucket_keys;
use crate::adapters::redis::connection::{self, Connection};
use crate::adapters::redis::fence::Marker;
use crate::adapters::redis::scripts::transfer::{
    Contents, Dumped, Restored, digest, digested, mark, marked, restore, restored,
};
use crate::adapters::redis::{keys, scripts};
use crate::clock;
use crate::core::id::Bucket;
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::{CLOCK_SKEW_MILLIS_MAX, MOVE_COPY_BATCH, MOVE_LEASE_MILLIS, MOVE_REPLICA_MILLIS};
use redis::RedisError;
use std::collections::BTreeSet;

/// A bucket whose turn it is.
pub struct Turn {
    /// Which one.
    pub bucket: Bucket,
    number: u64,
    here: BTreeSet<Vec<u8>>,
    there: BTreeSet<Vec<u8>>,
}

/// A bucket with the number of its turn.
pub type Numbered = (Bucket, u64);

/// A store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that buckets leave.
    From,
    /// The one that they go to.
    To,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The bucket is in the other store.
    Moved {
        /// Keys copied.
        keys: u64,
        /// Session records among them.
        sessions: u64,
        /// Keys that hold the same in both stores.
        verified: u64,
    },
    /// The bucket stays where it is, for another turn.
    GivenBack,
    /// There was no time.
    NotBegun,
}

fn classify(error: RedisError) -> Error {
    connection::classify(&error)
}

impl Turn {
    /// Begins a turn that was taken; `None` when a later one has begun.
    pub async fn begin(bucket: Bucket, number: u64, to: &mut Connection) -> Result<Option<Self>> {
        let turn = Turn { bucket, number, here: BTreeSet::new(), there: BTreeSet::new() };
        Ok(turn.write(to, &[]).await?.then_some(turn))
    }

    /// The bucket with the number of its turn.
    pub fn numbered(&self) -> Numbered {
        (self.bucket, self.number)
    }

    /// Keys that a store holds.
    pub fn found(&mut self, side: Side, names: Vec<Vec<u8>>) {
        let known = match side {
            Side::From => &mut self.here,
            Side::To => &mut self.there,
        };
        known.extend(names.into_iter().filter(|name| !keys::is_of_a_move(name)));
    }

    /// Everything behind the listing.
    pub async fn carry_out(mut self, mut stores: Stores, until: Timestamp) -> Result<Ended> {
        let from = &mut stores.from;
        let (listing, moving) = (Marker::Listing(self.number), Marker::Moving(self.number));
        if clock::now() >= until {
            self.mark(from, listing, None, None).await?;
            return Ok(Ended::NotBegun);
        }
        if !self.mark(from, listing, Some(moving), Some(MOVE_LEASE_MILLIS)).await? {
            return Ok(Ended::GivenBack);
        }
        self.found(Side::From, bucket_keys::touched(from, self.bucket).await.map_err(classify)?);
        match self.copy(&mut stores).await? {
            Some(ended) if self.leave(&mut stores).await? => {
                let names: Vec<Vec<u8>> =
                    self.here.iter().cloned().chain([keys::touched(self.bucket).into()]).collect();
                bucket_keys::remove(&mut stores.from, &names).await.map_err(classify)?;
                Ok(ended)
            }
            Some(_) | None => {
                self.mark(&mut stores.from, moving, None, None).await?;
                Ok(Ended::GivenBack)
            }
        }
    }

    /// Makes the other store hold what this one does, and nothing else, and compares. `None` when it does not, or the turn is lost.
    async fn copy(&self, stores: &mut Stores) -> Result<Option<Ended>> {
        let moving = Marker::Moving(self.number);
        let (mut copied, mut sessions, mut verified) = (0, 0, 0);
        let stale: Vec<Dumped> = self.there.difference(&self.here).map(|name| Dumped::nothing(name.clone())).collect();
        for stale in stale.chunks(MOVE_COPY_BATCH) {
            if !self.write(&mut stores.to, stale).await? {
                return Ok(None);
            }
        }
        let names: Vec<Vec<u8>> = self.here.iter().cloned().collect();
        for names in names.chunks(MOVE_COPY_BATCH) {
            let dumped = bucket_keys::dump(&mut stores.from, names).await.map_err(classify)?;
            if !self.write(&mut stores.to, &dumped).await?
                || !self.mark(&mut stores.from, moving, Some(moving), Some(MOVE_LEASE_MILLIS)).await?
            {
                return Ok(None);
            }
            let there = dumped.iter().filter(|key| !key.payload.is_empty());
            copied += there.clone().count() as u64;
            sessions += there.filter(|key| keys::is_session(&key.key)).count() as u64;
        }
        let names: Vec<Vec<u8>> = self.here.union(&self.there).cloned().collect();
        for names in names.chunks(MOVE_COPY_BATCH) {
            let (here, there) = (contents(&mut stores.from, names).await?, contents(&mut stores.to, names).await?);
            let now = clock::now();
            let different = here.iter().zip(&there).filter(|(here, there)| !alike(here, there, now)).count();
            if different > 0 || here.len() != there.len() {
                tracing::warn!(bucket = %self.bucket, different, "a bucket did not compare");
                return Ok(None);
            }
            verified += here.iter().filter(|(digest, _)| digest.is_some()).count() as u64;
            if !self.mark(&mut stores.from, moving, Some(moving), Some(MOVE_LEASE_MILLIS)).await? {
                return Ok(None);
            }
        }
        Ok(Some(Ended::Moved { keys: copied, sessions, verified }))
    }

    /// Lets everybody go to the other store, if nothing was lost since the run began, a failover would lose nothing, and the turn
    /// is still this one's.
    async fn leave(&self, stores: &mut Stores) -> Result<bool> {
        let moving = Marker::Moving(self.number);
        // A connection is asked about what it wrote itself, and may be another one by now than that of the copy.
        if !self.write(&mut stores.to, &[]).await?
            || !self.mark(&mut stores.from, moving, Some(moving), Some(MOVE_LEASE_MILLIS)).await?
        {
            return Ok(false);
        }
        // A replica that follows no more would not have the copy; in the store that is left it would not know that it is left.
        let marker = keys::marker(self.bucket);
        let (of_from, of_to) = stores.replicated;
        let mut follow = true;
        for (store, replicated) in [(&mut stores.to, of_to), (&mut stores.from, of_from)] {
            follow &= !replicated || store.is_replicated(&marker, MOVE_REPLICA_MILLIS).await.map_err(classify)?;
        }
        if !follow {
            // The bucket is given back by its lease: the store may be waiting for its replica on behalf of other turns.
            return Err(Error::unavailable(Dependency::Redis, format_args!("no replica follows {}", self.bucket)));
        }
        let now =
            (stores.from.incarnation().await.map_err(classify)?, stores.to.incarnation().await.map_err(classify)?);
        if now != stores.incarnations {
            tracing::warn!(bucket = %self.bucket, "a store is another one than when the run began");
            return Ok(false);
        }
        self.mark(&mut stores.from, moving, Some(Marker::Moved), None).await
    }

    async fn mark(
        &self,
        from: &mut Connection,
        has: Marker,
        next: Option<Marker>,
        lease_millis: Option<u64>,
    ) -> Result<bool> {
        let call = mark(self.bucket, has, next, lease_millis);
        Ok(marked(&scripts::run(from, &call).await.map_err(classify)?)?)
    }

    /// Whether the other store took the keys.
    async fn write(&self, to: &mut Connection, dumped: &[Dumped]) -> Result<bool> {
        let call = restore(self.bucket, self.number, dumped);
        match restored(&scripts::run(to, &call).await.map_err(classify)?)? {
            Restored::Done => Ok(true),
            Restored::TurnLost => Ok(false),
            Restored::LeftOnce => {
                Err(Error::field("REDIS_MOVE_TO_URL", "names a store that was itself moved away from: empty it first"))
            }
        }
    }
}

async fn contents(connection: &mut Connection, names: &[Vec<u8>]) -> Result<Vec<Contents>> {
    let reply = scripts::run(connection, &digest(names)).await.map_err(classify)?;
    Ok(digested(reply)?)
}

/// Whether two stores hold the same under a key. One of them may have let it expire already.
fn alike(here: &Contents, there: &Contents, now: Timestamp) -> bool {
    let expires_now = |expires: i64| expires > 0 && expires <= now.millis() + 2 * CLOCK_SKEW_MILLIS_MAX;
    match (&here.0, &there.0) {
        (Some(one), Some(other)) => one == other && here.1 == there.1,
        (None, None) => true,
        (Some(_), None) => expires_now(here.1),
        (None, Some(_)) => expires_now(there.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_expires_just_then_may_be_in_one_store_alone() {
        let now = Timestamp::from_millis(1_000_000);
        let holds = |digest: &[u8], expires| (Some(digest.to_vec()), expires);
        let nothing = (None, -2);
        assert!(alike(&holds(b"a", -1), &holds(b"a", -1), now) && alike(&nothing, &nothing, now));
        assert!(!alike(&holds(b"a", -1), &holds(b"b", -1), now) && !alike(&holds(b"a", 5), &holds(b"a", 6), now));
        for (expires, wanted) in [(-1, false), (1_000_001, true), (1_003_999, true), (1_005_000, false)] {
            assert_eq!(alike(&holds(b"a", expires), &nothing, now), wanted, "{expires}");
            assert_eq!(alike(&nothing, &holds(b"a", expires), now), wanted, "{expires}");
        }
    }
}
