//! AWS clients without the configuration chain: Lambda states region and credentials in the environment, so no
//! profile, metadata service or certificate bundle is ever read.

use crate::adapters::aws_http;
use crate::config::{AwsConfig, RedisIam};
use crate::core::time::Timestamp;
use crate::limits::{AWS_ATTEMPT_MILLIS, AWS_ATTEMPTS};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use std::time::{Duration, SystemTime};

/// What every client is built from.
#[derive(Clone)]
pub struct Aws {
    config: AwsConfig,
    http: Option<SharedHttpClient>,
}

/// Why a call failed, as far as callers care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A condition of a write did not hold.
    ConditionFailed,
    /// Everything else: throttled, timed out, refused, unreachable.
    Unavailable,
}

impl Aws {
    /// One HTTP client for all services: ring, and Amazon's roots only.
    pub fn new(config: AwsConfig) -> Self {
        // Always there, since ring lacks no version of TLS; without one every call would fail as in an outage.
        let http = aws_http::client(Duration::from_millis(AWS_ATTEMPT_MILLIS / 2)).ok();
        Aws { config, http }
    }

    fn credentials(&self) -> Credentials {
        credentials(&self.config)
    }

    fn region(&self) -> Region {
        Region::new(self.config.region.clone())
    }

    /// DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(self.region())
            .credentials_provider(self.credentials())
            .retry_config(RetryConfig::standard().with_max_attempts(AWS_ATTEMPTS))
            .timeout_config(timeouts());
        config.set_http_client(self.http.clone());
        config.set_endpoint_url(self.config.endpoint_url.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// SNS.
    pub fn sns(&self) -> aws_sdk_sns::Client {
        let mut config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(self.region())
            .credentials_provider(self.credentials())
            .retry_config(RetryConfig::standard().with_max_attempts(AWS_ATTEMPTS))
            .timeout_config(timeouts());
        config.set_http_client(self.http.clone());
        config.set_endpoint_url(self.config.endpoint_url.clone());
        aws_sdk_sns::Client::from_conf(config.build())
    }

    /// S3. A local endpoint has no host name per bucket.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(self.region())
            .credentials_provider(self.credentials())
            .retry_config(RetryConfig::standard().with_max_attempts(AWS_ATTEMPTS))
            .timeout_config(timeouts())
            .force_path_style(self.config.endpoint_url.is_some());
        config.set_http_client(self.http.clone());
        config.set_endpoint_url(self.config.endpoint_url.clone());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// KMS.
    pub fn kms(&self) -> aws_sdk_kms::Client {
        let mut config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(self.region())
            .credentials_provider(self.credentials())
            .retry_config(RetryConfig::standard().with_max_attempts(AWS_ATTEMPTS))
            .timeout_config(timeouts());
        config.set_http_client(self.http.clone());
        config.set_endpoint_url(self.config.endpoint_url.clone());
        aws_sdk_kms::Client::from_conf(config.build())
    }
}

fn credentials(config: &AwsConfig) -> Credentials {
    Credentials::new(
        config.access_key_id.clone(),
        config.secret_access_key.clone(),
        config.session_token.clone(),
        None,
        "lambda environment",
    )
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(AWS_ATTEMPT_MILLIS / 2))
        .operation_attempt_timeout(Duration::from_millis(AWS_ATTEMPT_MILLIS))
        .operation_timeout(Duration::from_millis(AWS_ATTEMPT_MILLIS * 2))
        .build()
}

/// Password of an ElastiCache user with IAM authentication: a presigned `connect` request without its scheme, valid
/// for 15 minutes; the connection lives on for 12 hours.
pub fn elasticache_password(config: &AwsConfig, iam: &RedisIam, now: Timestamp) -> Option<String> {
    let url = format!("http://{}/?Action=connect&User={}", iam.replication_group, iam.user);
    presign(config, "elasticache", &url, now).map(|url| url.trim_start_matches("http://").to_owned())
}

/// Password of an RDS user with IAM authentication.
pub fn rds_password(config: &AwsConfig, host: &str, port: u16, user: &str, now: Timestamp) -> Option<String> {
    let url = format!("https://{host}:{port}/?Action=connect&DBUser={user}");
    presign(config, "rds-db", &url, now).map(|url| url.trim_start_matches("https://").to_owned())
}

fn presign(config: &AwsConfig, service: &str, url: &str, now: Timestamp) -> Option<String> {
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(Duration::from_secs(900));
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials(config).into();
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.millis()).ok()?);
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&config.region)
        .name(service)
        .time(time)
        .settings(settings)
        .build()
        .ok()?
        .into();
    let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[])).ok()?;
    let (instructions, _) = sign(request, &parameters).ok()?.into_parts();
    let mut signed = http::Request::builder().uri(url).body(()).ok()?;
    instructions.apply_to_request_http1x(&mut signed);
    Some(signed.uri().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> AwsConfig {
        AwsConfig {
            region: "eu-west-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "secret".into(),
            session_token: Some("token".into()),
            endpoint_url: None,
        }
    }

    #[test]
    fn iam_passwords_have_the_shape_aws_expects() {
        let iam = RedisIam { user: "sessions".into(), replication_group: "sessions-prod".into() };
        let now = Timestamp::from_seconds(1_700_000_000);
        let password = elasticache_password(&config(), &iam, now).expect("signs");
        assert!(
            password.starts_with("sessions-prod/?Action=connect&User=sessions&X-Amz-Algorithm=AWS4-HMAC-SHA256"),
            "{password}"
        );
        for part in [
            "X-Amz-Credential=AKIDEXAMPLE%2F20231114%2Feu-west-1%2Felasticache%2Faws4_request",
            "X-Amz-Expires=900",
            "X-Amz-Security-Token=token",
            "X-Amz-Signature=",
        ] {
            assert!(password.contains(part), "{part} in {password}");
        }
        assert!(!password.contains("secret"));
        let password = rds_password(&config(), "db.example", 5432, "audit", now).expect("signs");
        assert!(password.starts_with("db.example:5432/?Action=connect&DBUser=audit&"), "{password}");
        assert!(password.contains("%2Frds-db%2Faws4_request"));
    }
}
