//! A whole deployment of the service for one test.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::application::Application;
use crate::clock::Clock;
use crate::environment::{Environment, InvokeError};
use crate::fleet::Fleet;
use crate::gateway::Gateway;
use crate::proxy::TcpProxy;
use crate::request::Request;
use crate::secrets;
use crate::stores::redis_dump::{self, KeyDump};
use crate::stores::{AwsStores, Database, RedisServer, redis_server};

mod builder;

pub use builder::StackBuilder;

/// The last bucket of the service.
const LAST_BUCKET: u16 = 4095;

/// A deployment: functions, gateway, stores and one application.
///
/// Fields are dropped in order: first whatever keeps processes alive, then the stores they use.
pub struct Stack {
    /// The first application.
    pub app: Application,
    /// The front door.
    pub gateway: Arc<Gateway>,
    /// The environments of the functions.
    pub fleet: Arc<Fleet>,
    /// Tables and key, with clients past any proxy.
    pub aws: AwsStores,
    /// Name of the stack, `STACK_NAME`.
    pub name: String,
    /// `PUBLIC_URL`, the issuer of access tokens.
    pub public_url: String,
    redis_proxy: Option<TcpProxy>,
    moto_proxy: Option<TcpProxy>,
    database_proxy: Option<TcpProxy>,
    redis: Option<RedisServer>,
    cluster: Vec<String>,
    database: Option<Database>,
    clock: Option<Clock>,
}

impl Stack {
    /// A stack with a private Redis, private tables, key rings and one application.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A stack with options.
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }

    /// Any request, without credential.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.gateway, method, path)
    }

    /// Invokes a function directly, as an operator or a schedule does.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, InvokeError> {
        let result = self.fleet.invoke(function, event).await;
        if let Ok(document) = &result {
            secrets::register_from(document);
        }
        result
    }

    /// Creates another application: `{"name": …, "scopes": […], "groupId"?: …, "policy"?: …}`.
    pub async fn create_application(&self, application: Value) -> Application {
        create_application(&self.gateway, application).await
    }

    /// Runs the scheduled `write-audit` over every bucket.
    pub async fn run_write_audit(&self) -> Value {
        self.run_scheduled("write-audit", every_bucket()).await
    }

    /// Runs the scheduled `cleanup-sessions` over every bucket.
    pub async fn run_cleanup(&self) -> Value {
        self.run_scheduled("cleanup-sessions", every_bucket()).await
    }

    /// Runs the scheduled `deliver-events`.
    pub async fn run_deliveries(&self) -> Value {
        self.run_scheduled("deliver-events", json!({})).await
    }

    /// Runs the scheduled `evaluate-alerts`.
    pub async fn run_alerts(&self) -> Value {
        self.run_scheduled("evaluate-alerts", json!({})).await
    }

    /// Runs the scheduled `rotate-keys`.
    pub async fn run_rotate_keys(&self) -> Value {
        self.run_scheduled("rotate-keys", json!({})).await
    }

    /// Runs `migrate-database`.
    pub async fn run_migrations(&self) -> Value {
        expect_success("migrate-database", self.invoke("migrate-database", &json!({})).await)
    }

    /// Runs a scheduled function with this detail. Panics when it fails.
    pub async fn run_scheduled(&self, function: &str, detail: Value) -> Value {
        expect_success(function, self.invoke(function, &scheduled_event(detail)).await)
    }

    /// The environment of a function with this index, started if it is not running.
    pub async fn environment(&self, function: &str, index: usize) -> Arc<Environment> {
        self.fleet.environment(function, index).await
    }

    /// The private Redis.
    pub fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("this stack uses the shared cluster")
    }

    /// Every key in Redis, of every node of a cluster.
    pub async fn redis_keys(&self) -> Vec<KeyDump> {
        if let Some(redis) = &self.redis {
            return redis.dump_keys().await;
        }
        let mut keys = Vec::new();
        for url in &self.cluster {
            let mut connection = redis_server::connect(url).await.expect("the cluster node answers");
            // A replica holds what its primary holds and sends readers there.
            if redis_dump::is_primary(&mut connection).await {
                keys.extend(redis_dump::dump(&mut connection).await);
            }
        }
        keys
    }

    /// The private database ([`StackBuilder::with_database`]).
    pub fn database(&self) -> &Database {
        self.database.as_ref().expect("started with_database()")
    }

    /// The wall clock ([`StackBuilder::with_clock`]).
    pub fn clock(&self) -> &Clock {
        self.clock.as_ref().expect("started with_clock()")
    }

    /// Moves the wall clock of every process forward.
    pub fn advance(&self, by: Duration) {
        self.clock().advance(by);
    }

    /// What the processes believe the time is.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.as_ref().map_or_else(OffsetDateTime::now_utc, Clock::now)
    }

    /// The proxy before Redis ([`StackBuilder::with_redis_proxy`]).
    pub fn redis_proxy(&self) -> &TcpProxy {
        self.redis_proxy.as_ref().expect("started with_redis_proxy()")
    }

    /// The proxy before DynamoDB and KMS ([`StackBuilder::with_moto_proxy`]).
    pub fn moto_proxy(&self) -> &TcpProxy {
        self.moto_proxy.as_ref().expect("started with_moto_proxy()")
    }

    /// The proxy before PostgreSQL ([`StackBuilder::with_database_proxy`]).
    pub fn database_proxy(&self) -> &TcpProxy {
        self.database_proxy.as_ref().expect("started with_database_proxy()")
    }
}

/// An EventBridge event of a schedule.
pub fn scheduled_event(detail: Value) -> Value {
    json!({
        "version": "0",
        "id": crate::environment::uuid(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": OffsetDateTime::now_utc().replace_nanosecond(0).expect("zero is valid").format(&Rfc3339).expect("a time"),
        "region": crate::stores::aws::REGION,
        "resources": ["arn:aws:events:eu-west-1:123456789012:rule/schedule"],
        "detail": detail,
    })
}

fn every_bucket() -> Value {
    json!({ "firstBucket": 0, "lastBucket": LAST_BUCKET })
}

async fn create_application(gateway: &Arc<Gateway>, application: Value) -> Application {
    let event = json!({ "action": "create", "application": application });
    let created = expect_success("manage-applications", gateway.fleet().invoke("manage-applications", &event).await);
    secrets::register_from(&created);
    Application::new(gateway, &created)
}

#[track_caller]
fn expect_success(function: &str, result: Result<Value, InvokeError>) -> Value {
    result.unwrap_or_else(|error| panic!("{function}: {error}"))
}
