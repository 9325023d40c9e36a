//! Session state: one Redis connection per environment, checked against the revocation ledger before it serves.

use super::catch_up;
use crate::adapters::dynamodb::revocations::Revocations;
use crate::adapters::redis::connection::{self, Connection, Connector};
use crate::adapters::redis::scripts::{Call, UnexpectedReply};
use crate::clock;
use crate::core::skew::{self, Comparison};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use redis::{RedisError, Value};
use std::time::Instant;
use tokio::sync::Mutex;

/// Redis with its ledger.
pub struct State {
    connector: Connector,
    ledger: Option<Revocations>,
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

impl State {
    /// `ledger` is absent for jobs that only read streams: they serve nobody.
    pub fn new(connector: Connector, ledger: Option<Revocations>) -> Self {
        State { connector, ledger, current: Mutex::new(None) }
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

    /// An error when this environment's clock is known to be off: what it then finds expired or of the future may not be.
    /// A store that is away tells nothing.
    pub async fn vouch_for_clock(&self) -> Result<()> {
        match self.connection().await {
            Err(error @ Error::Unavailable { dependency: Dependency::Clock, .. }) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
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
            Some(ledger) => Box::pin(catch_up::catch_up(connection, ledger, now)).await,
            None => Ok(()),
        }
    }

    async fn forget(&self) {
        *self.current.lock().await = None;
    }

    /// Runs a script: one round trip, two when the server has lost the script.
    pub async fn run(&self, call: &Call) -> Result<Value> {
        self.perform(Work::Script(call)).await
    }

    /// Runs one plain command.
    pub async fn command(&self, command: &redis::Cmd) -> Result<Value> {
        self.perform(Work::Command(command)).await
    }

    /// A broken connection is replaced and the work done once more: sockets die while an environment is frozen, and
    /// everything sent here gives the same result when it runs twice. So is a reply that came after a node was lost:
    /// the client of a cluster may have found the node again and asked it, before it knew the ledger.
    async fn perform(&self, work: Work<'_>) -> Result<Value> {
        let mut connection = self.connection().await?;
        match work.on(&mut connection).await {
            Ok(value) if !connection.has_lost_a_node() => return Ok(value),
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
        let value = work.on(&mut connection).await.map_err(|error| connection::classify(&error))?;
        if connection.has_lost_a_node() {
            return Err(Error::unavailable(Dependency::Redis, "nodes are lost again and again"));
        }
        Ok(value)
    }
}

/// Something to send; it may be sent twice.
enum Work<'a> {
    Script(&'a Call),
    Command(&'a redis::Cmd),
}

impl Work<'_> {
    async fn on(&self, connection: &mut Connection) -> std::result::Result<Value, RedisError> {
        match self {
            Work::Script(call) => run_on(connection, call).await,
            Work::Command(command) => connection.command(command).await,
        }
    }
}

/// Runs a script on a connection.
pub async fn run_on(connection: &mut Connection, call: &Call) -> std::result::Result<Value, RedisError> {
    match connection.command(&call.by_digest()).await {
        Err(error) if connection::is_unknown_script(&error) => connection.command(&call.by_text()).await,
        outcome => outcome,
    }
}

/// A script's reply that this release does not understand: a record of another format, most likely.
impl From<UnexpectedReply> for Error {
    fn from(_: UnexpectedReply) -> Self {
        Error::unavailable(Dependency::Redis, "reply or record of another release")
    }
}
