//! Settings, read once from the environment and checked as a whole. Errors name the variable.

use crate::core::alerts::Thresholds;
use crate::core::metrics::Origin;
use crate::core::retention::StackRetention;
use crate::limits::{
    ACTIVITY_RETENTION_MONTHS_DEFAULT, AUDIT_RETENTION_FLOOR_MONTHS_DEFAULT, AUDIT_RETENTION_MONTHS_DEFAULT,
    RETENTION_MONTHS_MAX,
};

/// How to reach Redis.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://` or `rediss://`, one or more seed nodes separated by commas.
    pub urls: Vec<String>,
    /// Whether it is a Redis Cluster.
    pub cluster: bool,
    /// PEM certificates of a private authority; `None` uses the compiled-in roots.
    pub ca_pem: Option<Vec<u8>>,
    /// ElastiCache IAM authentication.
    pub iam: Option<RedisIam>,
    /// Whether the clock of an environment may differ from the store's: for a demonstration that lives through a day that is
    /// over. No deployment sets it.
    pub clock_may_differ: bool,
}

/// ElastiCache IAM authentication: the password is a signed token, made anew for each connection.
#[derive(Clone)]
pub struct RedisIam {
    /// The ElastiCache user.
    pub user: String,
    /// The replication group.
    pub replication_group: String,
}

/// DynamoDB tables.
#[derive(Clone, Default)]
pub struct Tables {
    /// Applications.
    pub applications: String,
    /// Key rings.
    pub keys: String,
    /// User epochs.
    pub users: String,
    /// The revocation ledger.
    pub revocations: String,
    /// Devices.
    pub devices: String,
    /// Deliveries to receivers.
    pub deliveries: String,
    /// Keys of subjects' personal audit fields.
    pub subject_keys: String,
}

/// How to reach PostgreSQL.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://…`
    pub url: String,
    /// Whether the password is an RDS IAM token.
    pub iam: bool,
    /// PEM certificates of a private authority.
    pub ca_pem: Option<Vec<u8>>,
}

/// Where addresses are.
#[derive(Clone, Default)]
pub struct GeoConfig {
    /// The bytes of an MMDB file.
    pub database: Option<Vec<u8>>,
}

/// AWS access: what Lambda puts into the environment.
#[derive(Clone)]
pub struct AwsConfig {
    /// Region.
    pub region: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token.
    pub session_token: Option<String>,
    /// Another endpoint for every service (local stacks).
    pub endpoint_url: Option<String>,
}

/// Where anchors of the audit lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorLocation {
    /// A folder of this machine.
    Folder(std::path::PathBuf),
    /// An S3 bucket.
    Bucket {
        /// Its name.
        bucket: String,
        /// Empty, or ends with a slash.
        prefix: String,
    },
}

/// Anchors of the audit.
#[derive(Debug, Clone)]
pub struct AnchorConfig {
    /// The location as configured: the name of the series.
    pub series: String,
    /// The same, read.
    pub location: AnchorLocation,
    /// The asymmetric KMS key that signs.
    pub key_id: String,
}

/// Something is missing or wrong in the environment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {variable}: {problem}")]
pub struct ConfigError {
    /// Which variable.
    pub variable: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// A source of variables: the process environment, or a list in tests.
pub trait Source {
    /// The value of a variable; empty counts as absent.
    fn get(&self, variable: &str) -> Option<String>;
}

/// The process environment.
pub struct Environment;

impl Source for Environment {
    fn get(&self, variable: &str) -> Option<String> {
        std::env::var(variable).ok().filter(|value| !value.is_empty())
    }
}

fn required(source: &impl Source, variable: &'static str) -> Result<String, ConfigError> {
    source.get(variable).ok_or_else(|| ConfigError { variable, problem: "is required".into() })
}

fn flag(source: &impl Source, variable: &'static str) -> Result<bool, ConfigError> {
    match source.get(variable).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ConfigError { variable, problem: "must be true or false".into() }),
    }
}

fn file(source: &impl Source, variable: &'static str) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(path) = source.get(variable) else { return Ok(None) };
    let content = std::fs::read(&path);
    content.map(Some).map_err(|error| ConfigError { variable, problem: format!("{path} can not be read: {error}") })
}

impl AwsConfig {
    /// Reads `AWS_*`.
    pub fn from(source: &impl Source) -> Result<Self, ConfigError> {
        Ok(AwsConfig {
            region: required(source, "AWS_REGION")?,
            access_key_id: required(source, "AWS_ACCESS_KEY_ID")?,
            secret_access_key: required(source, "AWS_SECRET_ACCESS_KEY")?,
            session_token: source.get("AWS_SESSION_TOKEN"),
            endpoint_url: source.get("AWS_ENDPOINT_URL"),
        })
    }
}

impl RedisConfig {
    /// Reads `REDIS_*`.
    pub fn from(source: &impl Source) -> Result<Self, ConfigError> {
        let iam = match (source.get("REDIS_IAM_USER"), source.get("REDIS_IAM_CLUSTER")) {
            (Some(user), Some(replication_group)) => Some(RedisIam { user, replication_group }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(ConfigError { variable: "REDIS_IAM_CLUSTER", problem: "goes with REDIS_IAM_USER".into() });
            }
            (None, Some(_)) => {
                return Err(ConfigError { variable: "REDIS_IAM_USER", problem: "goes with REDIS_IAM_CLUSTER".into() });
            }
        };
        Ok(RedisConfig {
            urls: redis_urls("REDIS_URL", &required(source, "REDIS_URL")?)?,
            cluster: flag(source, "REDIS_CLUSTER")?,
            ca_pem: file(source, "REDIS_CA_FILE")?,
            iam,
            clock_may_differ: flag(source, "REDIS_CLOCK_MAY_DIFFER")?,
        })
    }

    /// Reads `REDIS_MOVE_TO_*`: the store that all buckets are moved to, `None` while none are.
    pub fn move_to(source: &impl Source) -> Result<Option<Self>, ConfigError> {
        const VARIABLE: &str = "REDIS_MOVE_TO_URL";
        let Some(text) = source.get(VARIABLE) else { return Ok(None) };
        if source.get("REDIS_URL").as_ref() == Some(&text) {
            return Err(ConfigError { variable: VARIABLE, problem: "must not be REDIS_URL".into() });
        }
        let iam = match (source.get("REDIS_IAM_USER"), source.get("REDIS_MOVE_TO_IAM_CLUSTER")) {
            (_, None) => None,
            (Some(user), Some(replication_group)) => Some(RedisIam { user, replication_group }),
            (None, Some(_)) => {
                let problem = "goes with REDIS_MOVE_TO_IAM_CLUSTER".into();
                return Err(ConfigError { variable: "REDIS_IAM_USER", problem });
            }
        };
        Ok(Some(RedisConfig {
            urls: redis_urls(VARIABLE, &text)?,
            cluster: flag(source, "REDIS_MOVE_TO_CLUSTER")?,
            ca_pem: file(source, "REDIS_MOVE_TO_CA_FILE")?,
            iam,
            clock_may_differ: flag(source, "REDIS_CLOCK_MAY_DIFFER")?,
        }))
    }
}

fn redis_urls(variable: &'static str, text: &str) -> Result<Vec<String>, ConfigError> {
    let urls: Vec<String> = text.split(',').map(|url| url.trim().to_owned()).collect();
    match urls.iter().all(|url| url.starts_with("redis://") || url.starts_with("rediss://")) {
        true => Ok(urls),
        false => Err(ConfigError { variable, problem: "must begin with redis:// or rediss://".into() }),
    }
}

impl Tables {
    /// Reads the table names; a function names only the tables it may use.
    pub fn from(source: &impl Source) -> Self {
        let table = |variable: &str| source.get(variable).unwrap_or_default();
        Tables {
            applications: table("APPLICATIONS_TABLE"),
            keys: table("KEYS_TABLE"),
            users: table("USERS_TABLE"),
            revocations: table("REVOCATIONS_TABLE"),
            devices: table("DEVICES_TABLE"),
            deliveries: table("DELIVERIES_TABLE"),
            subject_keys: table("SUBJECT_KEYS_TABLE"),
        }
    }
}

impl PostgresConfig {
    /// Reads `DATABASE_*`.
    pub fn from(source: &impl Source) -> Result<Self, ConfigError> {
        let url = required(source, "DATABASE_URL")?;
        Ok(PostgresConfig { url, iam: flag(source, "DATABASE_IAM")?, ca_pem: file(source, "DATABASE_CA_FILE")? })
    }
}

/// How long the stack keeps what. The floor of the audit is never above what the stack keeps.
pub fn stack_retention(source: &impl Source) -> Result<StackRetention, ConfigError> {
    let months = |variable: &'static str, default: u32| {
        let months = source.get(variable).map_or(Ok(default), |text| text.parse());
        let months = months.ok().filter(|months| (1..=RETENTION_MONTHS_MAX).contains(months));
        months.ok_or_else(|| ConfigError { variable, problem: format!("must be 1 to {RETENTION_MONTHS_MAX}") })
    };
    let audit_months = months("AUDIT_RETENTION_MONTHS", AUDIT_RETENTION_MONTHS_DEFAULT)?;
    let floor = months("AUDIT_RETENTION_FLOOR_MONTHS", AUDIT_RETENTION_FLOOR_MONTHS_DEFAULT)?;
    let activity_months = months("ACTIVITY_RETENTION_MONTHS", ACTIVITY_RETENTION_MONTHS_DEFAULT)?;
    Ok(StackRetention { audit_months, audit_floor_months: floor.min(audit_months), activity_months })
}

impl AnchorConfig {
    /// Reads `AUDIT_ANCHORS` and `AUDIT_ANCHOR_KEY_ID`.
    pub fn from(source: &impl Source) -> Result<Self, ConfigError> {
        let series = required(source, "AUDIT_ANCHORS")?;
        let location = anchor_location(&series).ok_or_else(|| ConfigError {
            variable: "AUDIT_ANCHORS",
            problem: "must be s3://<bucket>/<prefix> or file:///<folder>".into(),
        })?;
        Ok(AnchorConfig { series, location, key_id: required(source, "AUDIT_ANCHOR_KEY_ID")? })
    }
}

/// Reads the location of a series of anchors.
pub fn anchor_location(text: &str) -> Option<AnchorLocation> {
    if let Some(path) = text.strip_prefix("file://") {
        return path.starts_with('/').then(|| AnchorLocation::Folder(path.into()));
    }
    let (bucket, prefix) = text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
    let prefix = prefix.trim_end_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    (!bucket.is_empty())
        .then(|| AnchorLocation::Bucket { bucket: bucket.to_owned(), prefix: format!("{prefix}{slash}") })
}

impl GeoConfig {
    /// Reads the file of `GEOIP_DATABASE`.
    pub fn from(source: &impl Source) -> Result<Self, ConfigError> {
        Ok(GeoConfig { database: file(source, "GEOIP_DATABASE")? })
    }
}

/// The SHA-256, in hexadecimal, of the secret by which CloudFront proves itself; a digest is no secret.
pub fn origin_digest(source: &impl Source) -> Result<Option<[u8; 32]>, ConfigError> {
    const VARIABLE: &str = "CLOUDFRONT_ORIGIN_DIGEST";
    let Some(text) = source.get(VARIABLE) else { return Ok(None) };
    let mut digest = [0; 32];
    let pairs = text.as_bytes().chunks_exact(2);
    let whole = text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit());
    for (byte, pair) in digest.iter_mut().zip(pairs).filter(|_| whole) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
    }
    match whole {
        true => Ok(Some(digest)),
        false => Err(ConfigError { variable: VARIABLE, problem: "must be 64 hexadecimal digits".into() }),
    }
}

/// The stack's name: part of every KMS encryption context.
pub fn stack_name(source: &impl Source) -> Result<String, ConfigError> {
    required(source, "STACK_NAME")
}

/// Where metrics of this environment belong. They are no reason not to start, so nothing is required.
pub fn origin(source: &impl Source) -> Origin {
    let or_local = |variable: &str| source.get(variable).unwrap_or_else(|| "local".into());
    let stack = or_local("STACK_NAME");
    let function = or_local("AWS_LAMBDA_FUNCTION_NAME");
    let operation = function.strip_prefix(&stack).and_then(|rest| rest.strip_prefix('-')).unwrap_or(&function);
    Origin { namespace: format!("Sessions/{stack}"), operation: operation.to_owned(), stage: or_local("STACK_STAGE") }
}

/// From which values on alerts fire. What is not set has its default.
pub fn alert_thresholds(source: &impl Source) -> Result<Thresholds, ConfigError> {
    let default = Thresholds::default();
    let threshold = |variable: &'static str, default: f64, most: f64| match source.get(variable) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite() && *value > 0.0 && *value <= most)
            .ok_or_else(|| ConfigError { variable, problem: format!("must be above 0 and at most {most}") }),
    };
    Ok(Thresholds {
        security_events: threshold("ALERT_SECURITY_EVENTS", default.security_events, 1e9)?,
        refresh_replays: threshold("ALERT_REFRESH_REPLAYS", default.refresh_replays, 1e9)?,
        evictions: threshold("ALERT_EVICTIONS", default.evictions, 1e9)?,
        audit_lag_seconds: threshold("ALERT_AUDIT_LAG_SECONDS", default.audit_lag_seconds, 86_400.0)?,
        error_percent: threshold("ALERT_ERROR_PERCENT", default.error_percent, 100.0)?,
    })
}

/// The SNS topic that alerts are published to.
pub fn alert_topic(source: &impl Source) -> Result<String, ConfigError> {
    required(source, "ALERT_TOPIC_ARN")
}

/// Whether receivers of events may be on this machine, in clear text: for development and tests. No deployment sets it.
pub fn webhook_allow_loopback(source: &impl Source) -> Result<bool, ConfigError> {
    flag(source, "WEBHOOK_ALLOW_LOOPBACK")
}

/// The public base URL: the issuer of access tokens.
pub fn public_url(source: &impl Source) -> Result<String, ConfigError> {
    let url = required(source, "PUBLIC_URL")?;
    if !(url.starts_with("https://") || url.starts_with("http://")) || url.ends_with('/') {
        return Err(ConfigError { variable: "PUBLIC_URL", problem: "must be a URL without a trailing slash".into() });
    }
    Ok(url)
}

/// Origins whose pages may embed the account page and hand it an access token, separated by commas. They become part of
/// a Content-Security-Policy, so each is a scheme, a host and perhaps a port, and nothing more. Clear text is for
/// development on this machine.
pub fn account_parent_origins(source: &impl Source) -> Result<Vec<String>, ConfigError> {
    const VARIABLE: &str = "ACCOUNT_PARENT_ORIGINS";
    let text = source.get(VARIABLE).unwrap_or_default();
    let origins: Vec<String> =
        text.split(',').map(|origin| origin.trim().to_owned()).filter(|o| !o.is_empty()).collect();
    match origins.iter().all(|origin| is_origin(origin)) {
        true => Ok(origins),
        false => Err(ConfigError {
            variable: VARIABLE,
            problem: "must be origins, https://host or https://host:port".into(),
        }),
    }
}

fn is_origin(text: &str) -> bool {
    let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return false,
    };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-".contains(&c);
    let named = !host.is_empty() && host.bytes().all(lower) && host.starts_with(|c: char| c.is_ascii_alphanumeric());
    let numbered = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port));
    named && numbered && (secure || matches!(host, "localhost" | "127.0.0.1"))
}

/// The KMS key that seals the rings.
pub fn kms_key_id(source: &impl Source) -> Result<String, ConfigError> {
    required(source, "KMS_KEY_ID")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Listed(&'static [(&'static str, &'static str)]);

    impl Source for Listed {
        fn get(&self, variable: &str) -> Option<String> {
            self.0.iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn operations_are_functions_without_the_name_of_the_stack() {
        let deployed = origin(&Listed(&[
            ("STACK_NAME", "shop"),
            ("AWS_LAMBDA_FUNCTION_NAME", "shop-get-session"),
            ("STACK_STAGE", "prod"),
        ]));
        let wanted =
            Origin { namespace: "Sessions/shop".into(), operation: "get-session".into(), stage: "prod".into() };
        assert_eq!(deployed, wanted);
        let local = origin(&Listed(&[("AWS_LAMBDA_FUNCTION_NAME", "get-session")]));
        assert_eq!((local.operation.as_str(), local.stage.as_str()), ("get-session", "local"));
    }

    #[test]
    fn errors_name_the_variable() {
        let variable = |result: Result<RedisConfig, ConfigError>| result.err().map(|error| error.variable);
        assert_eq!(variable(RedisConfig::from(&Listed(&[]))), Some("REDIS_URL"));
        assert_eq!(variable(RedisConfig::from(&Listed(&[("REDIS_URL", "http://x")]))), Some("REDIS_URL"));
        assert_eq!(
            variable(RedisConfig::from(&Listed(&[("REDIS_URL", "redis://x"), ("REDIS_CLUSTER", "yes")]))),
            Some("REDIS_CLUSTER")
        );
        assert_eq!(
            variable(RedisConfig::from(&Listed(&[("REDIS_URL", "redis://x"), ("REDIS_IAM_USER", "u")]))),
            Some("REDIS_IAM_CLUSTER")
        );
        let move_to = |listed| RedisConfig::move_to(&Listed(listed)).map(|config| config.is_some());
        let refused = |listed| move_to(listed).err().map(|error| error.variable);
        assert_eq!(move_to(&[("REDIS_URL", "redis://x")]), Ok(false));
        assert_eq!(move_to(&[("REDIS_URL", "redis://x"), ("REDIS_MOVE_TO_URL", "redis://y")]), Ok(true));
        assert_eq!(refused(&[("REDIS_MOVE_TO_URL", "y")]), Some("REDIS_MOVE_TO_URL"));
        let itself = &[("REDIS_URL", "redis://x"), ("REDIS_MOVE_TO_URL", "redis://x")];
        assert_eq!(refused(itself), Some("REDIS_MOVE_TO_URL"));
        let nobody = &[("REDIS_MOVE_TO_URL", "redis://y"), ("REDIS_MOVE_TO_IAM_CLUSTER", "c")];
        assert_eq!(refused(nobody), Some("REDIS_IAM_USER"));
        assert!(
            RedisConfig::from(&Listed(&[("REDIS_URL", "redis://x,redis://y")]))
                .is_ok_and(|config| config.urls.len() == 2)
        );
        assert_eq!(
            public_url(&Listed(&[("PUBLIC_URL", "https://x/")])).err().map(|error| error.variable),
            Some("PUBLIC_URL")
        );
        let bucket = |prefix: &str| Some(AnchorLocation::Bucket { bucket: "b".into(), prefix: prefix.to_owned() });
        assert_eq!(anchor_location("s3://b"), bucket(""));
        assert_eq!(anchor_location("s3://b/a/c/"), bucket("a/c/"));
        assert_eq!(anchor_location("file:///a"), Some(AnchorLocation::Folder("/a".into())));
        for wrong in ["", "s3:///a", "file://a", "https://b"] {
            assert_eq!(anchor_location(wrong), None, "{wrong}");
        }
        let digest = "00ff".repeat(16);
        struct Digest(String);
        impl Source for Digest {
            fn get(&self, _: &str) -> Option<String> {
                Some(self.0.clone())
            }
        }
        assert_eq!(origin_digest(&Listed(&[])), Ok(None));
        assert!(matches!(origin_digest(&Digest(digest)), Ok(Some(bytes)) if bytes[..2] == [0, 255]));
        for wrong in ["00", "x", "zz"] {
            let wrong = origin_digest(&Digest(wrong.repeat(32))).err().map(|error| error.variable);
            assert!(wrong.is_none() || wrong == Some("CLOUDFRONT_ORIGIN_DIGEST"));
        }
        assert!(origin_digest(&Digest("zz".repeat(32))).is_err() && origin_digest(&Digest("00".into())).is_err());
        for wrong in ["0", "-1", "x", "NaN", "101"] {
            struct Percent(&'static str);
            impl Source for Percent {
                fn get(&self, variable: &str) -> Option<String> {
                    (variable == "ALERT_ERROR_PERCENT").then(|| self.0.to_owned())
                }
            }
            let refused = alert_thresholds(&Percent(wrong)).err().map(|error| error.variable);
            assert_eq!(refused, Some("ALERT_ERROR_PERCENT"), "{wrong}");
        }
        for variable in ["AUDIT_RETENTION_MONTHS", "AUDIT_RETENTION_FLOOR_MONTHS", "ACTIVITY_RETENTION_MONTHS"] {
            struct Zero(&'static str);
            impl Source for Zero {
                fn get(&self, variable: &str) -> Option<String> {
                    (variable == self.0).then(|| "0".to_owned())
                }
            }
            assert_eq!(stack_retention(&Zero(variable)).err().map(|error| error.variable), Some(variable));
        }
        let short = stack_retention(&Listed(&[("AUDIT_RETENTION_MONTHS", "2")])).expect("a short one");
        assert_eq!((short.audit_months, short.audit_floor_months, short.activity_months), (2, 2, 13));
    }

    #[test]
    fn only_origins_may_embed_the_account_page() {
        struct Origins(&'static str);
        impl Source for Origins {
            fn get(&self, _: &str) -> Option<String> {
                Some(self.0.to_owned())
            }
        }
        let read = |text| account_parent_origins(&Origins(text));
        assert_eq!(account_parent_origins(&Listed(&[])), Ok(Vec::new()));
        let origins = ["https://app.example.com", "https://app.example.com:8443", "http://localhost:5173"];
        let wanted = origins.map(str::to_owned).to_vec();
        assert_eq!(read("https://app.example.com, https://app.example.com:8443,http://localhost:5173"), Ok(wanted));
        let wrong = [
            "*",
            "https://*.example.com",
            "https://a.example/",
            "https://a.example; script-src *",
            "http://a.example",
            "https://a.example:x",
            "https://A.example",
            "https://",
            "a.example",
        ];
        for wrong in wrong {
            let variable = read(wrong).err().map(|error| error.variable);
            assert_eq!(variable, Some("ACCOUNT_PARENT_ORIGINS"), "{wrong}");
        }
    }
}
