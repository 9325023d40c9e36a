use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Stack, create_application, expect_success, scheduled_event};
use crate::clock::Clock;
use crate::environment::EnvironmentSpec;
use crate::fleet::Fleet;
use crate::gateway::Gateway;
use crate::http_front::HttpFront;
use crate::proxy::TcpProxy;
use crate::routes::RouteTable;
use crate::settings;
use crate::stores::database::OWNER;
use crate::stores::{AwsStores, Database, RedisOptions, RedisServer};
use crate::template::Template;

/// Every scope an application can have.
pub const ALL_SCOPES: [&str; 8] = [
    "sessions:create",
    "sessions:read",
    "sessions:write",
    "users:manage",
    "devices:manage",
    "analytics:read",
    "audit:read",
    "privacy:manage",
];

/// Options of a stack.
#[must_use = "a builder does nothing until it is started"]
pub struct StackBuilder {
    database: bool,
    database_server: Option<String>,
    clock: bool,
    cluster: bool,
    tls_redis: bool,
    tls_database: bool,
    redis_proxy: bool,
    moto_proxy: bool,
    database_proxy: bool,
    http_front: bool,
    application: Value,
    environments: usize,
    variables: Vec<(String, String)>,
    binary: Option<PathBuf>,
}

impl Default for StackBuilder {
    fn default() -> Self {
        Self {
            database: false,
            database_server: None,
            clock: false,
            cluster: false,
            tls_redis: false,
            tls_database: false,
            redis_proxy: false,
            moto_proxy: false,
            database_proxy: false,
            http_front: false,
            application: json!({ "name": "Test application", "scopes": ALL_SCOPES }),
            environments: 4,
            variables: Vec::new(),
            binary: None,
        }
    }
}

impl StackBuilder {
    /// A private PostgreSQL database, migrated.
    pub fn with_database(mut self) -> Self {
        self.database = true;
        self
    }

    /// The private database on a server of its own, at this URL of a role that may create it; implies
    /// [`with_database`](Self::with_database).
    pub fn with_database_server(mut self, admin_url: String) -> Self {
        self.database_server = Some(admin_url);
        self.with_database()
    }

    /// A wall clock the test controls, for the functions and the private Redis.
    pub fn with_clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// The shared Redis Cluster in place of a private server. It cannot be stopped and stays on the true time.
    pub fn with_cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Functions speak TLS to Redis, trusting a private authority.
    pub fn with_tls_redis(mut self) -> Self {
        self.tls_redis = true;
        self
    }

    /// Functions speak TLS to PostgreSQL; implies [`with_database`](Self::with_database).
    pub fn with_tls_database(mut self) -> Self {
        self.tls_database = true;
        self.with_database()
    }

    /// A proxy between the functions and the private Redis.
    pub fn with_redis_proxy(mut self) -> Self {
        self.redis_proxy = true;
        self
    }

    /// A proxy between the functions and DynamoDB and KMS.
    pub fn with_moto_proxy(mut self) -> Self {
        self.moto_proxy = true;
        self
    }

    /// A proxy between the functions and PostgreSQL; implies [`with_database`](Self::with_database).
    pub fn with_database_proxy(mut self) -> Self {
        self.database_proxy = true;
        self.with_database()
    }

    /// Real HTTP on a loopback port, which is the public URL of the stack.
    pub fn with_http_front(mut self) -> Self {
        self.http_front = true;
        self
    }

    /// Policy of the first application.
    pub fn with_policy(mut self, policy: Value) -> Self {
        self.application["policy"] = policy;
        self
    }

    /// Scopes of the first application, all by default.
    pub fn with_scopes(mut self, scopes: &[&str]) -> Self {
        self.application["scopes"] = json!(scopes);
        self
    }

    /// How many environments a function may have at once, 4 by default.
    pub fn with_environments(mut self, limit: usize) -> Self {
        self.environments = limit;
        self
    }

    /// A variable for every function, over whatever the harness sets.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs this binary in place of every function.
    pub fn with_binary(mut self, binary: &Path) -> Self {
        self.binary = Some(binary.to_owned());
        self
    }

    /// Starts the stack.
    pub async fn start(self) -> Stack {
        let name = format!("stack-{}", settings::random_hex(6));
        let domain = format!("{name}.sessions.test");
        let http_front = start_if(self.http_front, HttpFront::bind).await;
        let public_url = http_front.as_ref().map_or_else(|| format!("https://{domain}"), HttpFront::url);
        let clock = self.clock.then(Clock::new);
        let options = RedisOptions { tls: self.tls_redis, dial: clock.as_ref().map(|clock| clock.dial("redis")) };
        let server = self
            .database_server
            .unwrap_or_else(|| if self.database { settings::database_admin_url() } else { String::new() });
        let (aws, redis, database) = tokio::join!(
            AwsStores::create(&name),
            start_if(!self.cluster, || RedisServer::start(options)),
            start_if(self.database, || Database::create_on(server)),
        );
        let cluster = if self.cluster { settings::redis_cluster_urls() } else { Vec::new() };

        let redis_authority = redis.as_ref().map(|redis| redis.tls_authority().unwrap_or_else(|| redis.authority()));
        let database_authority = database.as_ref().map(Database::authority);
        let moto = settings::moto_url().trim_start_matches("http://").to_owned();
        let redis_proxy = proxy_if(self.redis_proxy, redis_authority.as_deref()).await;
        let database_proxy = proxy_if(self.database_proxy, database_authority.as_deref()).await;
        let moto_proxy = proxy_if(self.moto_proxy, Some(&moto)).await;

        let moto = moto_proxy.as_ref().map_or(moto, TcpProxy::authority);
        let redis_url = match (redis_proxy.as_ref().map(TcpProxy::authority).or(redis_authority), self.tls_redis) {
            (Some(authority), true) => format!("rediss://{authority}"),
            (Some(authority), false) => format!("redis://{authority}"),
            (None, _) => cluster.first().cloned().unwrap_or_default(),
        };
        let database_url = database.as_ref().map(|database| {
            let authority = database_proxy.as_ref().map_or_else(|| database.authority(), TcpProxy::authority);
            database.url_through(&authority, self.tls_database)
        });
        let redis_ca = redis.as_ref().and_then(RedisServer::ca_file);
        let database_ca = self.tls_database.then(settings::database_ca_file);
        let values = [
            ("STACK_NAME", Some(name.clone())),
            ("STACK_STAGE", Some("dev".to_owned())),
            ("MIMALLOC_ALLOW_THP", Some("0".to_owned())),
            ("PUBLIC_URL", Some(public_url.clone())),
            ("REDIS_URL", Some(redis_url)),
            ("REDIS_CLUSTER", Some(self.cluster.to_string())),
            ("REDIS_CA_FILE", redis_ca.map(|file| file.display().to_string())),
            ("APPLICATIONS_TABLE", Some(aws.tables.applications.clone())),
            ("KEYS_TABLE", Some(aws.tables.keys.clone())),
            ("USERS_TABLE", Some(aws.tables.users.clone())),
            ("DEVICES_TABLE", Some(aws.tables.devices.clone())),
            ("REVOCATIONS_TABLE", Some(aws.tables.revocations.clone())),
            ("DELIVERIES_TABLE", Some(aws.tables.deliveries.clone())),
            ("SUBJECT_KEYS_TABLE", Some(aws.tables.subject_keys.clone())),
            ("AUDIT_ANCHORS", Some(format!("s3://{}/anchors", aws.anchors_bucket))),
            ("AUDIT_ANCHOR_KEY_ID", Some(aws.anchor_key_id.clone())),
            ("AUDIT_RETENTION_MONTHS", Some("13".to_owned())),
            ("AUDIT_RETENTION_FLOOR_MONTHS", Some("3".to_owned())),
            ("ACTIVITY_RETENTION_MONTHS", Some("13".to_owned())),
            ("KMS_KEY_ID", Some(aws.kms_key_id.clone())),
            ("ALERT_TOPIC_ARN", Some(aws.topic_arn.clone())),
            ("DATABASE_URL", database_url),
            ("DATABASE_CA_FILE", database_ca.map(|file| file.display().to_string())),
        ];
        let wiring = Wiring {
            values: values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            aws: aws.variables(&format!("http://{moto}")),
            clock: clock.clone(),
            extra: self.variables,
            binary: self.binary,
        };
        let fleet = Arc::new(Fleet::new(self.environments, move |function, index| wiring.spec(function, index)));
        let routes = RouteTable::from_template(Template::of_repository());
        let gateway = Arc::new(Gateway::new(routes, Arc::clone(&fleet), &domain, clock.clone()));

        if let Some(front) = http_front {
            front.serve(Arc::clone(&gateway));
        }

        let (event, nothing) = (scheduled_event(json!({})), json!({}));
        let migration = start_if(self.database, || fleet.invoke("migrate-database", &nothing));
        let (rings, app, migrated) = tokio::join!(
            fleet.invoke("rotate-keys", &event),
            create_application(&gateway, self.application),
            migration,
        );
        expect_success("rotate-keys", rings);
        migrated.into_iter().for_each(|migrated| drop(expect_success("migrate-database", migrated)));

        Stack {
            app,
            gateway,
            fleet,
            aws,
            name,
            public_url,
            redis_proxy,
            moto_proxy,
            database_proxy,
            redis,
            cluster,
            database,
            clock,
        }
    }
}

/// Everything the environments of the functions are made of.
struct Wiring {
    values: HashMap<&'static str, String>,
    aws: Vec<(String, String)>,
    clock: Option<Clock>,
    extra: Vec<(String, String)>,
    binary: Option<PathBuf>,
}

/// Files of private authorities. On AWS the roots are compiled in, so the template names none.
const LOCAL_COMPANIONS: [(&str, &str); 2] = [("REDIS_URL", "REDIS_CA_FILE"), ("DATABASE_URL", "DATABASE_CA_FILE")];

impl Wiring {
    /// A function is given the variables the template gives it and no others, so that a test fails when code reaches
    /// for a store that would be out of its reach when deployed.
    fn spec(&self, function: &str, index: usize) -> EnvironmentSpec {
        let resource = Template::of_repository().function(function);
        let declared = resource.unwrap_or_else(|| panic!("template.yaml has no function {function}")).variables();
        let mut variables = self.aws.clone();
        let value = |name: &str| {
            let value = self.values.get(name)?.clone();
            let value = match name {
                "DATABASE_URL" => signed_in_as(&value, &declared_user(declared[name])),
                _ => value,
            };
            Some((name.to_owned(), value))
        };
        variables.extend(declared.keys().filter_map(|name| value(name)));
        let companions = LOCAL_COMPANIONS.iter().filter(|(name, _)| declared.contains_key(name));
        variables.extend(companions.filter_map(|(_, companion)| value(companion)));
        variables.extend(self.extra.iter().cloned());
        let spec = EnvironmentSpec::new(function);
        EnvironmentSpec {
            variables,
            binary: self.binary.clone().unwrap_or_else(|| spec.binary.clone()),
            dial: self.clock.as_ref().map(|clock| clock.dial(&format!("{function}/{index}"))),
            ..spec
        }
    }
}

/// The user that the template signs a function in as.
fn declared_user(url: &Value) -> String {
    let url = url["Fn::Sub"].as_str().unwrap_or_default();
    let user = url.strip_prefix("postgres://").and_then(|rest| rest.split_once('@'));
    user.expect("DATABASE_URL in template.yaml names a user").0.to_owned()
}

/// The owner's URL with another user.
fn signed_in_as(url: &str, user: &str) -> String {
    url.replacen(&format!("//{OWNER}:"), &format!("//{user}:"), 1)
}

async fn start_if<T, F: Future<Output = T>>(wanted: bool, start: impl FnOnce() -> F) -> Option<T> {
    match wanted {
        true => Some(start().await),
        false => None,
    }
}

async fn proxy_if(wanted: bool, upstream: Option<&str>) -> Option<TcpProxy> {
    let upstream = wanted.then(|| upstream.expect("a proxy stands before a private server"));
    Some(TcpProxy::start(upstream?).await)
}
