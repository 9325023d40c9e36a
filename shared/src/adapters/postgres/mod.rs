//! PostgreSQL: audit, roll-ups and activities. Only jobs write, and what erases a person;
//! no request to `/sessions` connects to it.

pub mod activity;
pub mod alerts;
pub mod anchors;
pub mod audit;
pub mod audit_chain;
pub mod audit_query;
pub mod migrate;
pub mod people;
pub mod retention;
pub mod rollups;

use crate::adapters::aws;
use crate::clock;
use crate::config::{AwsConfig, PostgresConfig};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connects to PostgreSQL; the connection's driver runs until the client is dropped.
pub async fn connect(
    config: &PostgresConfig,
    aws: Option<&AwsConfig>,
    now: Timestamp,
) -> Result<tokio_postgres::Client> {
    let mut settings = settings(&config.url)?;
    if config.iam {
        settings.password(iam_password(&settings, aws, now)?).ssl_mode(SslMode::Require);
    }
    let tls = MakeRustlsConnect::new(tls_config(config)?);
    let (client, driver) = settings.connect(tls).await.map_err(|error| classify(&error))?;
    tokio::spawn(driver);
    Ok(client)
}

/// TLS, unless the URL says `sslmode=disable`: the driver's own default would do without it where a server has none.
fn settings(url: &str) -> Result<tokio_postgres::Config> {
    let mut settings: tokio_postgres::Config =
        url.parse().map_err(|_| Error::unavailable(Dependency::Postgres, "DATABASE_URL is not readable"))?;
    if settings.get_ssl_mode() != SslMode::Disable {
        settings.ssl_mode(SslMode::Require);
    }
    settings.connect_timeout(Duration::from_secs(5)).application_name("session-jobs");
    Ok(settings)
}

/// The database as an environment that answers requests holds it: one connection, made when it is first needed and again
/// when it has broken.
pub struct Database {
    config: PostgresConfig,
    aws: Option<AwsConfig>,
    client: Mutex<Option<Arc<tokio_postgres::Client>>>,
}

impl Database {
    /// Nothing is connected before [`Database::client`].
    pub fn new(config: PostgresConfig, aws: Option<AwsConfig>) -> Self {
        Database { config, aws, client: Mutex::default() }
    }

    /// The connection, a fresh one when the last is closed.
    pub async fn client(&self) -> Result<Arc<tokio_postgres::Client>> {
        let mut held = self.client.lock().await;
        if let Some(client) = held.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(connect(&self.config, self.aws.as_ref(), clock::now()).await?);
        *held = Some(Arc::clone(&client));
        Ok(client)
    }
}

fn iam_password(settings: &tokio_postgres::Config, aws: Option<&AwsConfig>, now: Timestamp) -> Result<String> {
    let missing = || Error::unavailable(Dependency::Postgres, "DATABASE_IAM needs host, user and AWS credentials");
    let host = settings.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        Host::Unix(_) => None,
    });
    let port = settings.get_ports().first().copied().unwrap_or(5432);
    match (aws, host, settings.get_user()) {
        (Some(aws), Some(host), Some(user)) => aws::rds_password(aws, host, port, user, now).ok_or_else(missing),
        _ => Err(missing()),
    }
}

/// Compiled-in roots (RDS Proxy presents an Amazon certificate), or a private authority.
fn tls_config(config: &PostgresConfig) -> Result<rustls::ClientConfig> {
    let failed = |error: rustls::Error| Error::unavailable(Dependency::Postgres, error);
    let mut roots = rustls::RootCertStore::empty();
    match &config.ca_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate
                    .map_err(|_| Error::unavailable(Dependency::Postgres, "DATABASE_CA_FILE is not readable"))?;
                roots.add(certificate).map_err(failed)?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(failed)?.with_root_certificates(roots).with_no_client_auth())
}

/// The service's view of a PostgreSQL failure; values never stand in it.
pub fn classify(error: &tokio_postgres::Error) -> Error {
    let detail = match error.as_db_error() {
        Some(database) => format!("SQLSTATE {} {}", database.code().code(), database.message()),
        None => error.to_string(),
    };
    Error::unavailable(Dependency::Postgres, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_is_for_urls_that_ask_for_it() {
        for (query, mode) in [
            ("", SslMode::Require),
            ("?sslmode=prefer", SslMode::Require),
            ("?sslmode=require", SslMode::Require),
            ("?sslmode=disable", SslMode::Disable),
        ] {
            let url = format!("postgres://owner@127.0.0.1:5432/sessions{query}");
            assert_eq!(settings(&url).expect("readable").get_ssl_mode(), mode, "{query}");
        }
    }
}
