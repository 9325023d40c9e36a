//! One multiplexed connection per environment, single node or cluster, with the same commands.

use crate::adapters::aws;
use crate::config::{AwsConfig, RedisConfig};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error};
use crate::limits::{REDIS_CONNECT_MILLIS, REDIS_RESPONSE_MILLIS};
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo,
    PushKind, RedisError, RedisResult, TlsCertificates, Value,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Makes connections.
pub struct Connector {
    config: RedisConfig,
    aws: Option<AwsConfig>,
}

/// An open connection; clones share it.
#[derive(Clone)]
pub enum Connection {
    /// To one node.
    Single(MultiplexedConnection),
    /// To a cluster: it follows redirections, and opens lost connections again, by itself.
    Cluster(ClusterConnection, Losses),
}

/// Whether a cluster connection has lost a node since it was made.
#[derive(Clone, Default)]
pub struct Losses(Arc<AtomicBool>);

impl Connector {
    /// Whether nobody compares clocks.
    pub fn clock_may_differ(&self) -> bool {
        self.config.clock_may_differ
    }

    /// `aws` is needed for IAM authentication only.
    pub fn new(config: RedisConfig, aws: Option<AwsConfig>) -> Self {
        Connector { config, aws }
    }

    /// Connects, with a password made now when IAM is used.
    pub async fn connect(&self, now: Timestamp) -> RedisResult<Connection> {
        let nodes = self.nodes(now)?;
        let connect = Duration::from_millis(REDIS_CONNECT_MILLIS);
        let response = Duration::from_millis(REDIS_RESPONSE_MILLIS);
        let certificates =
            self.config.ca_pem.clone().map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem) });
        if self.config.cluster {
            let losses = Losses::default();
            let mut builder = ClusterClientBuilder::new(nodes)
                .connection_timeout(connect)
                .response_timeout(response)
                // Over RESP3 the client tells of nodes it has lost.
                .use_protocol(ProtocolVersion::RESP3)
                .push_sender(losses.clone().listener())
                .retries(3)
                .min_retry_wait(20)
                .max_retry_wait(200);
            if let Some(certificates) = certificates {
                builder = builder.certs(certificates);
            }
            return Ok(Connection::Cluster(builder.build()?.get_async_connection().await?, losses));
        }
        let node = nodes.into_iter().next().ok_or_else(|| invalid("no node"))?;
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(node, certificates)?,
            None => Client::open(node)?,
        };
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(connect)).set_response_timeout(Some(response));
        Ok(Connection::Single(client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    fn nodes(&self, now: Timestamp) -> RedisResult<Vec<ConnectionInfo>> {
        let mut nodes = Vec::new();
        for url in &self.config.urls {
            let mut node = url.as_str().into_connection_info()?;
            if let Some(iam) = &self.config.iam {
                let aws = self.aws.as_ref().ok_or_else(|| invalid("IAM authentication needs AWS credentials"))?;
                let password = aws::elasticache_password(aws, iam, now).ok_or_else(|| invalid("signing failed"))?;
                let settings =
                    node.redis_settings().clone().set_username(iam.user.as_str()).set_password(password.as_str());
                node = node.set_redis_settings(settings);
            }
            nodes.push(node);
        }
        Ok(nodes)
    }
}

impl Losses {
    fn listener(self) -> impl AsyncPushSender {
        move |push: PushInfo| -> Result<(), SendError> {
            if push.kind == PushKind::Disconnection {
                self.0.store(true, Ordering::Release);
            }
            Ok(())
        }
    }
}

fn invalid(detail: &'static str) -> RedisError {
    RedisError::from((redis::ErrorKind::InvalidClientConfig, detail))
}

impl Connection {
    /// One command.
    pub async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Connection::Single(connection) => command.query_async(connection).await,
            Connection::Cluster(connection, _) => command.query_async(connection).await,
        }
    }

    /// Several commands of one bucket, in one round trip.
    pub async fn pipeline(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Connection::Single(connection) => pipeline.query_async(connection).await,
            Connection::Cluster(connection, _) => pipeline.query_async(connection).await,
        }
    }

    /// Whether a node was lost, and perhaps found again, since the connection was made: what that node says now may be
    /// less than what it said then. A lost single node shows as an error instead.
    pub fn has_lost_a_node(&self) -> bool {
        match self {
            Connection::Single(_) => false,
            Connection::Cluster(_, losses) => losses.0.load(Ordering::Acquire),
        }
    }

    /// The clocks of all primaries.
    pub async fn clocks(&mut self) -> RedisResult<Vec<Timestamp>> {
        let command = redis::cmd("TIME");
        let value = match self {
            Connection::Single(connection) => command.query_async(connection).await?,
            Connection::Cluster(connection, _) => {
                let primaries = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                connection.route_command(command, primaries).await?
            }
        };
        let mut clocks = Vec::new();
        collect_clocks(&value, &mut clocks);
        if clocks.is_empty() {
            return Err(RedisError::from((redis::ErrorKind::UnexpectedReturnType, "TIME without a time")));
        }
        Ok(clocks)
    }

    /// Which data set this is: run id and replication id of every primary. It changes whenever one restarts or
    /// another takes over, which is when acknowledged writes may be gone.
    pub async fn incarnation(&mut self) -> RedisResult<String> {
        let mut identities = Vec::new();
        for info in self.infos().await? {
            let (Some(run_id), Some(replication_id)) = (field(&info, "run_id:"), field(&info, "master_replid:")) else {
                return Err(RedisError::from((redis::ErrorKind::UnexpectedReturnType, "INFO without run_id")));
            };
            identities.push(format!("{run_id}/{replication_id}"));
        }
        identities.sort();
        Ok(identities.join("+"))
    }

    /// Whether every primary has a replica.
    pub async fn has_replicas(&mut self) -> RedisResult<bool> {
        let infos = self.infos().await?;
        Ok(infos.iter().all(|info| field(info, "connected_slaves:").is_some_and(|number| number != "0")))
    }

    /// Whether a replica has, within `millis`, what this connection last wrote to the node of a key.
    pub async fn is_replicated(&mut self, key: &str, millis: u64) -> RedisResult<bool> {
        let mut command = redis::cmd("WAIT");
        command.arg(1).arg(millis);
        let value = match self {
            Connection::Single(connection) => command.query_async(connection).await?,
            Connection::Cluster(connection, _) => {
                let node = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                connection.route_command(command, RoutingInfo::SingleNode(node)).await?
            }
        };
        Ok(redis::from_redis_value::<u64>(value)? > 0)
    }

    /// What every primary says of itself and its replicas.
    async fn infos(&mut self) -> RedisResult<Vec<String>> {
        let mut command = redis::cmd("INFO");
        command.arg("server").arg("replication");
        let value = match self {
            Connection::Single(connection) => command.query_async(connection).await?,
            Connection::Cluster(connection, _) => {
                let primaries = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                connection.route_command(command, primaries).await?
            }
        };
        let mut infos = Vec::new();
        collect_texts(value, &mut infos);
        if infos.is_empty() {
            return Err(RedisError::from((redis::ErrorKind::UnexpectedReturnType, "INFO without a text")));
        }
        Ok(infos)
    }
}

/// `TIME` answers with seconds and microseconds; a cluster names the node beside them.
fn collect_clocks(value: &Value, clocks: &mut Vec<Timestamp>) {
    let number = |value: &Value| match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse::<i64>().ok(),
        Value::Int(number) => Some(*number),
        _ => None,
    };
    match value {
        Value::Array(values) => match values.as_slice() {
            [seconds, micros] if number(seconds).is_some() => {
                let millis =
                    number(seconds).zip(number(micros)).map(|(seconds, micros)| seconds * 1000 + micros / 1000);
                clocks.extend(millis.map(Timestamp::from_millis));
            }
            values => values.iter().for_each(|value| collect_clocks(value, clocks)),
        },
        Value::Map(entries) => entries.iter().for_each(|(_, value)| collect_clocks(value, clocks)),
        _ => {}
    }
}

/// A field of what `INFO` says.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// A cluster names the node beside each text.
fn collect_texts(value: Value, texts: &mut Vec<String>) {
    match value {
        Value::BulkString(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => texts.push(text),
        Value::Map(entries) => entries.into_iter().for_each(|(_, value)| collect_texts(value, texts)),
        Value::Array(values) => values.into_iter().for_each(|value| collect_texts(value, texts)),
        _ => {}
    }
}

/// The service's view of a Redis failure.
pub fn classify(error: &RedisError) -> Error {
    Error::unavailable(Dependency::Redis, format_args!("{:?} {}", error.kind(), error.code().unwrap_or("")))
}

/// Whether the connection is of no more use. A node that refuses writes is no primary any more: the name leads to
/// another one by now, but an open connection stays where it is.
pub fn is_broken(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "MASTERDOWN"))
        || error.is_connection_dropped()
        || error.is_io_error()
        || error.is_connection_refusal()
        || error.is_unrecoverable_error()
}

/// Whether trying again at once, on a fresh connection, makes sense. Every script carries an operation id, so a
/// second run returns the first result.
pub fn worth_a_second_try(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_timeout() && !error.is_connection_refusal()
}

/// Whether the server does not know a script by its digest.
pub fn is_unknown_script(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// Whether a script met a record of another format, which it leaves as it is.
pub fn is_unreadable_record(error: &RedisError) -> bool {
    error.code() == Some("UNREADABLE")
}
