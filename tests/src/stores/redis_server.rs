//! A private Redis server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::certificates::Certificates;
use super::redis_dump::{self, KeyDump};
use crate::clock::{self, Dial};
use crate::{eventually, settings, signal};

const DUMP_FILE: &str = "dump.rdb";

/// How a server is started.
#[derive(Default)]
pub struct RedisOptions {
    /// Serve TLS as well, with a certificate of a private authority.
    pub tls: bool,
    /// Wall clock of the server.
    pub dial: Option<Dial>,
}

/// A Redis server of its own, without persistence and without eviction. Killed on drop.
pub struct RedisServer {
    directory: TempDir,
    port: u16,
    tls: Option<(u16, Certificates)>,
    dial: Option<Dial>,
    process: Mutex<Option<Process>>,
}

struct Process {
    child: Child,
    _remains: Option<clock::Remains>,
}

/// The contents of a server at one moment.
pub struct Snapshot {
    contents: Vec<u8>,
}

impl Snapshot {
    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.contents
    }
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub async fn start(options: RedisOptions) -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder for Redis");
        let tls = options.tls.then(|| (settings::free_port(), Certificates::create(directory.path())));
        let mut server =
            Self { directory, port: settings::free_port(), tls, dial: options.dial, process: Mutex::default() };
        // Another process may take a free port before Redis does.
        while !server.launch().await {
            server.port = settings::free_port();
            server.tls = server.tls.map(|(_, certificates)| (settings::free_port(), certificates));
        }
        server
    }

    /// `redis://…` without TLS.
    pub fn url(&self) -> String {
        format!("redis://{}", self.authority())
    }

    /// `host:port` without TLS.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of the TLS port.
    pub fn tls_authority(&self) -> Option<String> {
        self.tls.as_ref().map(|(port, _)| format!("127.0.0.1:{port}"))
    }

    /// The authority that signed the TLS certificate.
    pub fn ca_file(&self) -> Option<&Path> {
        self.tls.as_ref().map(|(_, certificates)| certificates.authority.as_path())
    }

    /// A connection for the test itself, past any proxy.
    pub async fn connection(&self) -> MultiplexedConnection {
        connect(&self.url()).await.expect("Redis answers")
    }

    /// Kills the server: what it held is lost.
    pub async fn stop(&self) {
        self.process.lock().unwrap().take();
    }

    /// Starts the server again on the same port, empty.
    pub async fn restart(&self) {
        self.restart_with(None).await;
    }

    /// Takes a snapshot, without stopping the server.
    pub async fn snapshot(&self) -> Snapshot {
        let mut connection = self.connection().await;
        redis::cmd("SAVE").exec_async(&mut connection).await.expect("SAVE succeeds");
        Snapshot { contents: std::fs::read(self.dump_file()).expect("SAVE wrote its file") }
    }

    /// Starts the server again on the same port with the contents of a snapshot: what came later is lost.
    pub async fn restart_from_snapshot(&self, snapshot: &Snapshot) {
        self.restart_with(Some(snapshot)).await;
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub async fn freeze(&self) {
        signal::stop(self.pid()).await;
    }

    /// Ends a freeze.
    pub fn thaw(&self) {
        signal::resume(self.pid());
    }

    /// Every key with everything it holds.
    pub async fn dump_keys(&self) -> Vec<KeyDump> {
        redis_dump::dump(&mut self.connection().await).await
    }

    /// Calls of each command since the start, from `INFO commandstats`.
    pub async fn command_calls(&self) -> std::collections::BTreeMap<String, u64> {
        redis_dump::command_calls(&mut self.connection().await).await
    }

    async fn restart_with(&self, snapshot: Option<&Snapshot>) {
        self.stop().await;
        let _ = std::fs::remove_file(self.dump_file());
        if let Some(snapshot) = snapshot {
            std::fs::write(self.dump_file(), &snapshot.contents).expect("the snapshot can be written");
        }
        assert!(self.launch().await, "port {} is taken", self.port);
    }

    /// Starts the process. `false` when it ended at once, which a taken port makes it do.
    async fn launch(&self) -> bool {
        let mut command = Command::new(settings::redis_server());
        command
            .current_dir(self.directory.path())
            .args(["--bind", "127.0.0.1", "--dir", ".", "--dbfilename", DUMP_FILE, "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--zset-max-listpack-entries", "512"])
            .args(["--port", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((port, certificates)) = &self.tls {
            command
                .args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"])
                .arg("--tls-cert-file")
                .arg(&certificates.certificate)
                .arg("--tls-key-file")
                .arg(&certificates.key)
                .arg("--tls-ca-cert-file")
                .arg(&certificates.authority);
        }
        if let Some(dial) = &self.dial {
            command.envs(dial.variables_without_jemalloc());
        }
        let child = command.spawn().expect("redis-server can be started (TEST_REDIS_SERVER)");
        let remains = self.dial.is_some().then(|| clock::Remains::of(child.id()));
        *self.process.lock().unwrap() = Some(Process { child, _remains: remains });
        eventually("Redis answers or ends", || self.look()).await
    }

    /// Whether the server answers (`true`) or has ended (`false`); nothing while it is starting.
    async fn look(&self) -> Option<bool> {
        // Ended first: on a taken port somebody else's server would answer.
        if self.process.lock().unwrap().as_mut().is_none_or(Process::has_ended) {
            return Some(false);
        }
        let mut connection = connect(&self.url()).await.ok()?;
        let id: i64 = redis::cmd("INFO")
            .arg("server")
            .query_async::<redis::InfoDict>(&mut connection)
            .await
            .ok()?
            .get("process_id")?;
        (id == i64::from(self.pid())).then_some(true)
    }

    fn pid(&self) -> u32 {
        self.process.lock().unwrap().as_ref().map(|process| process.child.id()).expect("Redis is running")
    }

    fn dump_file(&self) -> PathBuf {
        self.directory.path().join(DUMP_FILE)
    }
}

impl Process {
    fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects to a node. The library's own half a second is too short for a SAVE while the disk is busy.
pub(crate) async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let patience = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
    redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&patience).await
}
