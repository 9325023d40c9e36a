//! A private Redis Cluster with replicas, whose every line can be cut.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cmd;
use tempfile::TempDir;

use super::redis_dump::{self, KeyDump};
use super::redis_server::connect;
use crate::proxy::TcpProxy;
use crate::{eventually_within, settings};

/// How long a node may not hear of another before it takes it for lost.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(2);

const SLOTS: u16 = 16_384;
const PATIENCE: Duration = Duration::from_secs(60);
/// Address from which the functions, and the test itself, come.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Primaries that share the slots evenly, each with replicas.
pub struct RedisCluster {
    nodes: Vec<Node>,
    primaries: usize,
}

/// One server. Clients and other nodes reach it through its proxies, whose ports it announces; it speaks from an address
/// of its own, by which the proxies of the others know it.
struct Node {
    directory: TempDir,
    address: Ipv4Addr,
    port: u16,
    bus: u16,
    clients: TcpProxy,
    peers: TcpProxy,
    process: Mutex<Option<Child>>,
}

impl RedisCluster {
    /// Starts the nodes and waits until all agree and every replica has synchronised: one that never did is not promoted.
    pub async fn start(primaries: usize, replicas_of_each: usize) -> Self {
        let mut nodes = Vec::new();
        for number in 0..primaries * (1 + replicas_of_each) {
            nodes.push(Node::start(number).await);
        }
        let cluster = Self { nodes, primaries };
        cluster.form().await;
        cluster
    }

    /// `REDIS_URL` of the functions: the nodes as they announce themselves.
    pub fn urls(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(|node| format!("redis://{}", node.clients.authority())).collect();
        urls.join(",")
    }

    /// How many nodes there are, primaries first.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// A connection for the test itself, past any proxy.
    pub async fn connection(&self, node: usize) -> MultiplexedConnection {
        self.nodes[node].connect().await.expect("the node answers")
    }

    /// Kills a node on the spot.
    pub fn kill(&self, node: usize) {
        if let Some(mut child) = self.nodes[node].process.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a killed node again, with nothing but its place in the cluster.
    pub async fn restart(&self, node: usize) {
        self.nodes[node].launch().await;
    }

    /// The replicas of a node receive nothing more from it, and stay its replicas.
    pub async fn pause_replication(&self, primary: usize) {
        let mut connection = self.connection(primary).await;
        tell(&mut connection, &["ACL", "SETUSER", "default", "-psync", "-sync"]).await;
        tell(&mut connection, &["CLIENT", "KILL", "TYPE", "replica"]).await;
    }

    /// Ends [`pause_replication`](Self::pause_replication).
    pub async fn resume_replication(&self, primary: usize) {
        tell(&mut self.connection(primary).await, &["ACL", "SETUSER", "default", "+@all"]).await;
        let replicas = self.replicas_of(primary).await;
        eventually_within("the replicas have caught up", PATIENCE, || async {
            for replica in &replicas {
                let mut connection = self.nodes[*replica].connect().await.ok()?;
                let info: redis::InfoDict = cmd("INFO").arg("replication").query_async(&mut connection).await.ok()?;
                (info.get::<String>("master_link_status")? == "up").then_some(())?;
            }
            Some(())
        })
        .await;
    }

    /// Waits until another node than `lost` serves each slot; returns the nodes that are primaries then.
    pub async fn await_failover(&self, lost: usize) -> Vec<usize> {
        eventually_within("a replica takes over", PATIENCE, || async {
            let mut found = Vec::new();
            for number in (0..self.nodes.len()).filter(|number| *number != lost) {
                let mut connection = self.nodes[number].connect().await.ok()?;
                let info: String = cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.ok()?;
                info.contains("cluster_state:ok").then_some(())?;
                if redis_dump::is_primary(&mut connection).await {
                    found.push(number);
                }
            }
            (found.len() == self.primaries).then_some(found)
        })
        .await
    }

    /// Cuts the network in two: the functions and `node` on one side, every other node on the other.
    pub fn partition(&self, node: usize) {
        let alone = &self.nodes[node];
        let others = self.nodes.iter().enumerate().filter(|(number, _)| *number != node).map(|(_, other)| other);
        let mut addresses = BTreeSet::new();
        for other in others {
            addresses.insert(IpAddr::V4(other.address));
            let far = BTreeSet::from([OUTSIDE, IpAddr::V4(alone.address)]);
            other.clients.shun(far.clone());
            other.peers.shun(far);
        }
        alone.clients.shun(addresses.clone());
        alone.peers.shun(addresses);
    }

    /// Ends a partition.
    pub fn heal(&self) {
        for node in &self.nodes {
            node.clients.shun(BTreeSet::new());
            node.peers.shun(BTreeSet::new());
        }
    }

    /// Waits until every running node sees a whole cluster.
    pub async fn until_whole(&self) {
        eventually_within("the nodes agree", PATIENCE, || async {
            for node in self.nodes.iter().filter(|node| node.process.lock().unwrap().is_some()) {
                let mut connection = node.connect().await.ok()?;
                let info: String = cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.ok()?;
                let known = format!("cluster_known_nodes:{}\r\n", self.nodes.len());
                (info.contains("cluster_state:ok") && info.contains(&known)).then_some(())?;
            }
            Some(())
        })
        .await;
    }

    /// The slots of a node that hold keys, in order.
    pub async fn slots_in_use(&self, node: usize) -> Vec<u16> {
        let mut connection = self.connection(node).await;
        let keys: Vec<Vec<u8>> = cmd("KEYS").arg("*").query_async(&mut connection).await.expect("KEYS succeeds");
        let mut slots = BTreeSet::new();
        for key in keys {
            slots.insert(cmd("CLUSTER").arg("KEYSLOT").arg(key).query_async(&mut connection).await.expect("a slot"));
        }
        slots.into_iter().collect()
    }

    /// Moves a slot with its keys to another node, one key at a time, while both serve.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let (mut source, mut target) = (self.connection(from).await, self.connection(to).await);
        let (source_id, target_id) = (my_id(&mut source).await, my_id(&mut target).await);
        let slot = slot.to_string();
        tell(&mut target, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]).await;
        tell(&mut source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]).await;
        loop {
            let mut next = cmd("CLUSTER");
            next.arg("GETKEYSINSLOT").arg(&slot).arg(1);
            let keys: Vec<Vec<u8>> = next.query_async(&mut source).await.expect("CLUSTER succeeds");
            let Some(key) = keys.first() else { break };
            let mut migrate = cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(self.nodes[to].port).arg(key).arg(0).arg(5000);
            migrate.exec_async(&mut source).await.expect("MIGRATE succeeds");
        }
        tell(&mut target, &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
        tell(&mut source, &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
    }

    /// Every key of the nodes that are primaries.
    pub async fn dump_keys(&self) -> Vec<KeyDump> {
        let mut keys = Vec::new();
        for node in &self.nodes {
            let Ok(mut connection) = node.connect().await else { continue };
            if redis_dump::is_primary(&mut connection).await {
                keys.extend(redis_dump::dump(&mut connection).await);
            }
        }
        keys
    }

    /// The nodes that replicate this one.
    pub async fn replicas_of(&self, primary: usize) -> Vec<usize> {
        let mut connection = self.connection(primary).await;
        let id = my_id(&mut connection).await;
        let table: String = cmd("CLUSTER").arg("NODES").query_async(&mut connection).await.expect("CLUSTER succeeds");
        let mut replicas = Vec::new();
        for line in table.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words[3] == id {
                replicas.push(self.number_of(words[0]).await);
            }
        }
        replicas
    }

    async fn number_of(&self, id: &str) -> usize {
        for number in 0..self.nodes.len() {
            if let Ok(mut connection) = self.nodes[number].connect().await
                && my_id(&mut connection).await == id
            {
                return number;
            }
        }
        panic!("no running node has the id {id}");
    }

    async fn form(&self) {
        let mut ids = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let mut connection = self.connection(number).await;
            ids.push(my_id(&mut connection).await);
            if number < self.primaries {
                let share = |index: usize| (usize::from(SLOTS) * index / self.primaries).to_string();
                let last = (share(number + 1).parse::<u16>().expect("a slot") - 1).to_string();
                tell(&mut connection, &["CLUSTER", "ADDSLOTSRANGE", &share(number), &last]).await;
                tell(&mut connection, &["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
            }
            if number > 0 {
                let port = |proxy: &TcpProxy| proxy.authority().rsplit_once(':').expect("a port").1.to_owned();
                let words = ["CLUSTER", "MEET", "127.0.0.1", &port(&node.clients), &port(&node.peers)];
                tell(&mut self.connection(0).await, &words).await;
            }
        }
        for replica in self.primaries..self.nodes.len() {
            let primary = &ids[replica % self.primaries];
            eventually_within("the replica knows its primary", PATIENCE, || async {
                let mut connection = self.nodes[replica].connect().await.ok()?;
                let known: String = cmd("CLUSTER").arg("NODES").query_async(&mut connection).await.ok()?;
                known.contains(primary).then_some(())
            })
            .await;
            tell(&mut self.connection(replica).await, &["CLUSTER", "REPLICATE", primary]).await;
        }
        self.until_whole().await;
        for primary in 0..self.primaries {
            self.resume_replication(primary).await;
        }
    }
}

impl Node {
    async fn start(number: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder for Redis");
        let (port, bus) = (settings::free_port(), settings::free_port());
        let node = Self {
            directory,
            // Every address of 127.0.0.0/8 is this machine.
            address: Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).expect("few nodes")),
            port,
            bus,
            clients: TcpProxy::start(&format!("127.0.0.1:{port}")).await,
            peers: TcpProxy::start(&format!("127.0.0.1:{bus}")).await,
            process: Mutex::default(),
        };
        node.launch().await;
        node
    }

    async fn launch(&self) {
        let port = |proxy: &TcpProxy| proxy.authority().rsplit_once(':').expect("a port").1.to_owned();
        let child = Command::new(settings::redis_server())
            .current_dir(self.directory.path())
            .args(["--bind", "127.0.0.1", "--bind-source-addr", &self.address.to_string()])
            .args(["--port", &self.port.to_string(), "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--zset-max-listpack-entries", "512"])
            .args(["--cluster-enabled", "yes"])
            .args(["--cluster-node-timeout", &NODE_TIMEOUT.as_millis().to_string()])
            // However long replication was paused, the replica is the one that takes over.
            .args(["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"])
            .args(["--cluster-port", &self.bus.to_string(), "--cluster-announce-ip", "127.0.0.1"])
            .args(["--cluster-announce-port", &port(&self.clients)])
            .args(["--cluster-announce-bus-port", &port(&self.peers)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can be started (TEST_REDIS_SERVER)");
        *self.process.lock().unwrap() = Some(child);
        eventually_within("the node answers", PATIENCE, || async { self.connect().await.ok() }).await;
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        connect(&format!("redis://127.0.0.1:{}", self.port)).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn my_id(connection: &mut MultiplexedConnection) -> String {
    cmd("CLUSTER").arg("MYID").query_async(connection).await.expect("CLUSTER MYID succeeds")
}

async fn tell(connection: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command.exec_async(connection).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}
