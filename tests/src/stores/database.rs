//! A private PostgreSQL database, owned by the user that owns it when deployed.

use tokio_postgres::{Client, NoTls};

use crate::settings;

/// Owner of the schema.
pub const OWNER: &str = "sessions_owner";

/// A database of its own, dropped with this value.
pub struct Database {
    name: String,
    admin_url: String,
}

impl Database {
    /// Creates an empty database on the shared server.
    pub async fn create() -> Self {
        Self::create_on(settings::database_admin_url()).await
    }

    /// Creates an empty database on the server of this URL, as a role that may.
    pub async fn create_on(admin_url: String) -> Self {
        let database = Self { name: format!("t_{}", settings::random_hex(8)), admin_url };
        let admin = connect(&database.admin_url).await;
        let create = format!("CREATE DATABASE {} OWNER {OWNER}", database.name);
        admin.batch_execute(&create).await.expect("CREATE DATABASE succeeds");
        database
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `postgres://…` of the owner, without TLS.
    pub fn url(&self) -> String {
        self.url_through(&self.authority(), false)
    }

    /// The owner's URL with another `host:port`, such as a proxy's, and with or without TLS.
    pub fn url_through(&self, authority: &str, tls: bool) -> String {
        let (mode, password) = (if tls { "require" } else { "disable" }, settings::database_password());
        format!("postgres://{OWNER}:{password}@{authority}/{}?sslmode={mode}", self.name)
    }

    /// `host:port` of the server.
    pub fn authority(&self) -> String {
        let (_, rest) = self.admin_url.split_once("://").expect("TEST_DATABASE_ADMIN_URL is a URL");
        let server = rest.split(['/', '?']).next().unwrap_or_default();
        match server.rsplit_once('@').map_or(server, |(_, server)| server) {
            authority if authority.contains(':') => authority.to_owned(),
            host => format!("{host}:5432"),
        }
    }

    /// A connection for the test itself, past any proxy.
    pub async fn connect(&self) -> Client {
        connect(&self.url()).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let admin_url = self.admin_url.clone();
        // The runtime of the test may be blocked on this very drop, so the statement runs on one of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async { connect(&admin_url).await.batch_execute(&statement).await })
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("database {} could not be dropped", self.name);
        }
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client
}
