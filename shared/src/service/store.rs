//! One Redis: a connection per environment, checked against the revocation ledger before it serves.

use super::catch_up;
use crate::adapters::dynamodb::revocations::Revocations;
use crate::adapters::redis::connection::{self, Connection, Connector};
use crate::adapters::redis::fence::{self, Answer};
use crate::adapters::redis::scripts::Call;
use crate::clock;
use crate::core::id::Bucket;
use crate::core::skew::{self, Comparison};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use redis::RedisResult;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// A Redis with its ledger.
pub struct Store {
    connector: Connector,
    ledger: Option<Revocations>,
    /// The store that buckets leave for this one, when there is one.
    left: Option<Arc<Store>>,
    current: Mutex<Option<Current>>,
}

/// The connection that serves, with the clocks as they were when they were compared.
struct Current {
    connection: Connection,
    compared: Compared,
}

/// When this environment's clock was last found to agree with the store's.
struct Compared {
    wall: Timestamp,
    monotonic: Instant,
}

impl Compared {
    fn still_holds(&self) -> bool {
        let passed = i64::try_from(self.monotonic.elapsed().as_millis()).unwrap_or(i64::MAX);
        skew::is_steady(clock::now().millis() - self.wall.millis(), passed)
    }
}

impl Store {
    /// `ledger` is absent for jobs that only read streams: they serve nobody.
    pub fn new(connector: Connector, ledger: Option<Revocations>, left: Option<Arc<Store>>) -> Self {
        Store { connector, ledger, left, current: Mutex::new(None) }
    }

    /// Holds this environment's clock to those of the store.
    async fn compare(&self, connection: &mut Connection) -> Result<Compared> {
        if self.connector.clock_may_differ() {
            return Ok(Compared { wall: clock::now(), monotonic: Instant::now() });
        }
        let before = clock::now();
        let clocks = connection.clocks().await.map_err(|error| connection::classify(&error))?;
        let (after, monotonic) = (clock::now(), Instant::now());
        for store in clocks {
            let comparison = Comparison { before, store, after };
            if !comparison.agrees() {
                let ahead = comparison.ahead_millis();
                tracing::error!(ahead_millis = ahead, "the clock of this environment is off the store's");
                return Err(Error::unavailable(Dependency::Clock, format_args!("{ahead} ms ahead of the store's")));
            }
        }
        Ok(Compared { wall: after, monotonic })
    }

    /// The open connection, or a new one. A new one is handed out only after every durable end that this Redis might
    /// not know has been applied to it; nothing is served from a store that forgot a revocation. I-1, F-02, F-03.
    ///
    /// None is handed out while this environment's clock is off the store's: whoever asks for one is about to judge time
    /// by it. A clock that has jumped since, or was not compared for five minutes, costs one round trip. I-16, F-30.
    pub async fn connection(&self) -> Result<Connection> {
        let mut current = self.current.lock().await;
        if let Some(open) = &mut *current
            && !open.connection.has_lost_a_node()
        {
            if open.compared.still_holds() {
                return Ok(open.connection.clone());
            }
            match self.compare(&mut open.connection).await {
                Ok(compared) => {
                    open.compared = compared;
                    return Ok(open.connection.clone());
                }
                Err(Error::Unavailable { dependency: Dependency::Redis, detail }) => {
                    // Sockets die while an environment is frozen, which also stops one of the clocks.
                    tracing::info!(detail, "connection replaced");
                }
                Err(error) => return Err(error),
            }
        }
        *current = None;
        let now = clock::now();
        let mut connection =
            Box::pin(self.connector.connect(now)).await.map_err(|error| connection::classify(&error))?;
        let compared = self.compare(&mut connection).await?;
        self.catch_up(&mut connection, now).await?;
        *current = Some(Current { connection: connection.clone(), compared });
        Ok(connection)
    }

    /// A connection for jobs, which send much over it: it has just answered, and its Redis knows the ledger as of now.
    pub async fn current_connection(&self) -> Result<Connection> {
        let mut connection = self.connection().await?;
        if let Err(error) = self.catch_up(&mut connection, clock::now()).await {
            tracing::info!(%error, "connection replaced");
            self.forget().await;
            return self.connection().await;
        }
        Ok(connection)
    }

    async fn catch_up(&self, connection: &mut Connection, now: Timestamp) -> Result<()> {
        match &self.ledger {
            // Boxed: the SDK's futures are deep, and this path is rare.
            Some(ledger) => Box::pin(catch_up::catch_up(connection, self.left.as_deref(), ledger, now)).await,
            None => Ok(()),
        }
    }

    /// Whoever asks for a connection next gets another one.
    pub async fn forget(&self) {
        *self.current.lock().await = None;
    }

    /// Whether a bucket has left this store for good.
    pub async fn has_left(&self, bucket: Bucket) -> Result<bool> {
        let mut connection = self.connection().await?;
        fence::has_left(&mut connection, bucket).await.map_err(|error| connection::classify(&error))
    }

    /// A broken connection is replaced and the work done once more: sockets die while an environment is frozen, and
    /// everything sent here gives the same result when it runs twice. So is a reply that came after a node was lost:
    /// the client of a cluster may have found the node again and asked it, before it knew the ledger.
    pub async fn perform(&self, work: Work<'_>, bucket: Bucket) -> Result<Answer> {
        let mut connection = self.connection().await?;
        match work.on(&mut connection, bucket).await {
            Ok(answer) if !connection.has_lost_a_node() => return Ok(answer),
            Ok(_) => {}
            Err(error) => {
                if connection::is_broken(&error) {
                    self.forget().await;
                }
                if !connection::worth_a_second_try(&error) {
                    return Err(connection::classify(&error));
                }
            }
        }
        let mut connection = self.connection().await?;
        let answer = work.on(&mut connection, bucket).await.map_err(|error| connection::classify(&error))?;
        if connection.has_lost_a_node() {
            return Err(Error::unavailable(Dependency::Redis, "nodes are lost again and again"));
        }
        Ok(answer)
    }
}

/// Something to send; it may be sent twice.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// A script.
    Script(&'a Call),
    /// A plain command.
    Command(&'a redis::Cmd),
}

impl Work<'_> {
    /// The bucket that it is for.
    pub fn bucket(&self) -> Option<Bucket> {
        match self {
            Work::Script(call) => call.bucket(),
            Work::Command(command) => fence::bucket_of(command),
        }
    }

    async fn on(&self, connection: &mut Connection, bucket: Bucket) -> RedisResult<Answer> {
        match self {
            Work::Script(call) => fence::run(connection, call).await,
            Work::Command(command) => fence::send(connection, command, bucket).await,
        }
    }
}
