//! A private PostgreSQL server, which a test may stop, demote and fill.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::database::OWNER;
use crate::{eventually_within, settings, signal};

const PATIENCE: Duration = Duration::from_secs(60);
/// The user that Debian's packages make: root may not run the server.
const SERVER_USER: &str = "postgres";

/// A server with a data folder of its own. Killed on drop.
pub struct PostgresServer {
    directory: TempDir,
    identity: Option<(u32, u32)>,
    port: u16,
    process: Mutex<Option<Child>>,
}

impl PostgresServer {
    /// Makes the data folder, starts the server and waits until it answers.
    pub async fn start() -> Self {
        // Not below the folder of the user: the server's own user has to reach it.
        let directory = tempfile::Builder::new().prefix("session-postgres-").tempdir_in("/tmp").expect("a folder");
        let server = Self { directory, identity: identity(), port: settings::free_port(), process: Mutex::default() };
        server.own(server.directory.path());
        let data = server.data();
        let made = server
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb can be started (TEST_POSTGRES_BIN)");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.resume().await;
        // As on the shared server: it may create roles, which migrations do, and is no superuser.
        let owner = format!("CREATE ROLE {OWNER} LOGIN CREATEROLE");
        server.connect().await.batch_execute(&owner).await.expect("the owner can be made");
        server
    }

    /// URL of the superuser.
    pub fn admin_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// A connection as the superuser.
    pub async fn connect(&self) -> Client {
        eventually_within("PostgreSQL answers", PATIENCE, || self.try_connect()).await
    }

    /// Ends the server at once; clients are cut off.
    pub async fn stop(&self) {
        let child = self.process.lock().unwrap().take();
        if let Some(mut child) = child {
            signal::send(child.id(), "INT");
            eventually_within("PostgreSQL ends", PATIENCE, || {
                let ended = !matches!(child.try_wait(), Ok(None));
                async move { ended.then_some(()) }
            })
            .await;
        }
    }

    /// Starts the server again.
    pub async fn resume(&self) {
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"])
            .args(["-c", &format!("port={}", self.port), "-c", "max_connections=100"])
            .args(["-c", "synchronous_commit=off", "-c", "full_page_writes=off"])
            .spawn()
            .expect("postgres can be started (TEST_POSTGRES_BIN)");
        *self.process.lock().unwrap() = Some(child);
        self.connect().await;
    }

    /// Comes back as a standby: whoever finds it by its name reads and may not write (SQLSTATE 25006).
    pub async fn demote(&self) {
        self.stop().await;
        let standby = self.data().join("standby.signal");
        std::fs::write(&standby, "").expect("the signal can be written");
        self.own(&standby);
        self.resume().await;
    }

    /// Ends [`demote`](Self::demote), with every connection open.
    pub async fn promote(&self) {
        let promoted = self.connect().await.query_one("SELECT pg_promote()", &[]).await.expect("pg_promote succeeds");
        assert!(promoted.get::<_, bool>(0), "the server is promoted");
    }

    /// An empty folder of the server's own, for a tablespace.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.directory.path().join(name);
        std::fs::create_dir(&folder).expect("the folder can be made");
        self.own(&folder);
        folder
    }

    /// Gives a file to the server.
    pub fn own(&self, path: &Path) {
        if let Some((user, group)) = self.identity {
            chown(path, Some(user), Some(group)).expect("root gives files away");
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(settings::postgres_bin().join(program));
        command.current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.identity {
            command.uid(user).gid(group);
        }
        command
    }

    async fn try_connect(&self) -> Option<Client> {
        let (client, connection) = tokio_postgres::connect(&self.admin_url(), NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            // At once and without a farewell; its own children notice.
            signal::send(child.id(), "QUIT");
            let _ = child.wait();
        }
    }
}

/// User and group to run the server as: none when we are not root.
fn identity() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> u32 {
        let output = Command::new("id").args(arguments).output().expect("id(1) is installed");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", SERVER_USER]), id(&["-g", SERVER_USER])))
}
