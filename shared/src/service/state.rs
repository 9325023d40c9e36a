//! Session state: the Redis that holds a bucket, and while an operator moves all buckets to another one, the right of the two.
//!
//! Which store holds a bucket is said by the bucket's marker in the store that it leaves ([`crate::adapters::redis::fence`]) and
//! by nothing else: that store is asked until it says once that the bucket was moved, which never changes again. While a bucket
//! is being moved, whoever wants to write to it waits a little.

use super::patience::Patience;
use super::store::{Store, Work};
use crate::adapters::dynamodb::revocations::Revocations;
use crate::adapters::redis::connection::Connector;
use crate::adapters::redis::fence::Answer;
use crate::adapters::redis::scripts::{Call, UnexpectedReply};
use crate::core::id::{BUCKETS, Bucket};
use crate::error::{Dependency, Error, Result};
use crate::limits::{MOVE_JOB_PATIENCE_MILLIS, MOVE_PATIENCE_MILLIS};
use redis::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Redis with its ledger.
pub struct State {
    /// The store of all buckets that were not moved.
    home: Arc<Store>,
    /// The store that buckets are moved to.
    target: Option<Store>,
    moved: Moved,
}

/// Buckets that were found to be moved: a bit for each.
struct Moved([AtomicU64; BUCKETS as usize / 64]);

impl Moved {
    fn holds(&self, bucket: Bucket) -> bool {
        let (word, bit) = place(bucket);
        self.0.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn note(&self, bucket: Bucket) {
        let (word, bit) = place(bucket);
        if let Some(word) = self.0.get(word) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

fn place(bucket: Bucket) -> (usize, u64) {
    (usize::from(bucket.number() / 64), 1 << (bucket.number() % 64))
}

impl State {
    /// `ledger` is absent for jobs that only read streams: they serve nobody.
    pub fn new(home: Connector, target: Option<Connector>, ledger: Option<Revocations>) -> Self {
        let home = Arc::new(Store::new(home, ledger.clone(), None));
        let target = target.map(|target| Store::new(target, ledger, Some(home.clone())));
        State { home, target, moved: Moved(std::array::from_fn(|_| AtomicU64::new(0))) }
    }

    /// The store that buckets leave.
    pub fn home(&self) -> &Store {
        &self.home
    }

    /// The store that buckets are moved to.
    pub fn target(&self) -> Option<&Store> {
        self.target.as_ref()
    }

    /// Connects, so that the first request need not.
    pub async fn warm_up(&self) -> Result<()> {
        self.home.connection().await.map(drop)
    }

    /// An error when this environment's clock is known to be off: what it then finds expired or of the future may not be.
    /// A store that is away tells nothing.
    pub async fn vouch_for_clock(&self) -> Result<()> {
        match self.home.connection().await {
            Err(error @ Error::Unavailable { dependency: Dependency::Clock, .. }) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Sees to it that the stores answer and know the ledger as of now.
    pub async fn bring_up_to_date(&self) -> Result<()> {
        self.home.current_connection().await?;
        match &self.target {
            Some(target) => target.current_connection().await.map(drop),
            None => Ok(()),
        }
    }

    /// Whoever asks next connects anew.
    pub async fn forget_connections(&self) {
        self.home.forget().await;
        if let Some(target) = &self.target {
            target.forget().await;
        }
    }

    /// Runs a script: one round trip, two when the server has lost the script.
    pub async fn run(&self, call: &Call) -> Result<Value> {
        self.perform(Work::Script(call), MOVE_PATIENCE_MILLIS).await
    }

    /// Runs one plain command.
    pub async fn command(&self, command: &redis::Cmd) -> Result<Value> {
        self.perform(Work::Command(command), MOVE_PATIENCE_MILLIS).await
    }

    /// [`run`](Self::run) for jobs, which outwait any move of a bucket.
    pub async fn run_in_job(&self, call: &Call) -> Result<Value> {
        self.perform(Work::Script(call), MOVE_JOB_PATIENCE_MILLIS).await
    }

    /// [`command`](Self::command) for jobs, which outwait any move of a bucket.
    pub async fn command_in_job(&self, command: &redis::Cmd) -> Result<Value> {
        self.perform(Work::Command(command), MOVE_JOB_PATIENCE_MILLIS).await
    }

    async fn perform(&self, work: Work<'_>, patience_millis: u64) -> Result<Value> {
        let bucket = work.bucket().ok_or_else(|| Error::Internal("a key without a bucket".into()))?;
        let mut patience = Patience::of_millis(patience_millis);
        loop {
            let moved = self.moved.holds(bucket);
            let store = match &self.target {
                Some(target) if moved => target,
                Some(_) | None => &*self.home,
            };
            match store.perform(work, bucket).await? {
                Answer::Value(value) => return Ok(value),
                Answer::Moved if moved || self.target.is_none() => {
                    return Err(Error::unavailable(
                        Dependency::Redis,
                        format_args!("{bucket} was moved to another store"),
                    ));
                }
                Answer::Moved => self.moved.note(bucket),
                Answer::Moving => {
                    if !patience.pause().await {
                        return Err(Error::unavailable(Dependency::Redis, format_args!("{bucket} is being moved")));
                    }
                }
            }
        }
    }
}

/// A script's reply that this release does not understand: a record of another format, most likely.
impl From<UnexpectedReply> for Error {
    fn from(_: UnexpectedReply) -> Self {
        Error::unavailable(Dependency::Redis, "reply or record of another release")
    }
}
