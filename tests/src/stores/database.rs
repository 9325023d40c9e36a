//! A private PostgreSQL database.

use tokio_postgres::{Client, NoTls};

use crate::settings;

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
        admin.batch_execute(&format!("CREATE DATABASE {}", database.name)).await.expect("CREATE DATABASE succeeds");
        database
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `postgres://…`, without TLS.
    pub fn url(&self) -> String {
        self.url_through(&self.authority(), false)
    }

    /// The URL with another `host:port`, such as a proxy's, and with or without TLS.
    pub fn url_through(&self, authority: &str, tls: bool) -> String {
        let mode = if tls { "require" } else { "disable" };
        let credentials = self.split_admin_url().0.map_or(String::new(), |credentials| format!("{credentials}@"));
        format!("postgres://{credentials}{authority}/{}?sslmode={mode}", self.name)
    }

    /// `host:port` of the server.
    pub fn authority(&self) -> String {
        match self.split_admin_url().1 {
            authority if authority.contains(':') => authority.to_owned(),
            host => format!("{host}:5432"),
        }
    }

    /// A connection for the test itself, past any proxy.
    pub async fn connect(&self) -> Client {
        connect(&self.url()).await
    }

    /// `user:password` and `host:port`.
    fn split_admin_url(&self) -> (Option<&str>, &str) {
        let (_, rest) = self.admin_url.split_once("://").expect("TEST_DATABASE_ADMIN_URL is a URL");
        let server = rest.split(['/', '?']).next().unwrap_or_default();
        server.rsplit_once('@').map_or((None, server), |(credentials, server)| (Some(credentials), server))
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
