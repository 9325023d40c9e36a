//! A TCP proxy that counts what passes and breaks on command. Stands before Redis, PostgreSQL and moto.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Sub;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::{eventually, settings};

mod fuse;
mod http_targets;
mod labels;

pub use fuse::Fuse;
use http_targets::TargetReader;
use labels::Labels;

/// What passed through a proxy. Subtract an earlier reading to get what passed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Times the upstream answered after the client had written: requests, when none overlap.
    pub round_trips: u64,
    /// Bytes from clients.
    pub bytes_to_upstream: u64,
    /// Bytes to clients.
    pub bytes_to_client: u64,
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            connections: self.connections - earlier.connections,
            round_trips: self.round_trips - earlier.round_trips,
            bytes_to_upstream: self.bytes_to_upstream - earlier.bytes_to_upstream,
            bytes_to_client: self.bytes_to_client - earlier.bytes_to_client,
        }
    }
}

/// State of the line that persists until changed.
#[derive(Clone, Copy, Default)]
struct Line {
    refuse: bool,
    stalled: bool,
    delay_to_upstream: Duration,
    delay_to_client: Duration,
    /// Connections of an earlier generation are cut.
    generation: u64,
}

/// A proxy on a loopback port. Dropping it cuts every connection.
pub struct TcpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

struct Shared {
    upstream: String,
    counts: Mutex<Counts>,
    targets: Mutex<BTreeMap<String, u64>>,
    labels: Mutex<Labels>,
    line: watch::Sender<Line>,
    /// Requests containing one of these are forwarded and their replies withheld, once each.
    withheld: Mutex<Vec<Vec<u8>>>,
    /// Requests containing the first are not forwarded; the second is the reply, empty for none.
    intercepted: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    /// Requests containing the first wait this long before they are forwarded.
    slowed: Mutex<Vec<(Vec<u8>, Duration)>>,
    /// Clients at these addresses are not served.
    shunned: watch::Sender<BTreeSet<IpAddr>>,
    fuse: Mutex<Option<Fuse>>,
    listening: AtomicBool,
}

impl TcpProxy {
    /// A proxy to `upstream`, `host:port`.
    pub async fn start(upstream: &str) -> Self {
        let address: SocketAddr = ([127, 0, 0, 1], settings::free_port()).into();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            counts: Mutex::default(),
            targets: Mutex::default(),
            labels: Mutex::default(),
            line: watch::Sender::default(),
            withheld: Mutex::default(),
            intercepted: Mutex::default(),
            slowed: Mutex::default(),
            shunned: watch::Sender::default(),
            fuse: Mutex::default(),
            listening: AtomicBool::new(false),
        });
        let acceptor = tokio::spawn(accept(address, Arc::clone(&shared)));
        let proxy = Self { address, shared, acceptor };
        proxy.until_listening(true).await;
        proxy
    }

    /// `host:port` of the proxy.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// What passed so far.
    pub fn counts(&self) -> Counts {
        *self.shared.counts.lock().unwrap()
    }

    /// Runs `work` and returns with its result what passed meanwhile.
    pub async fn measure<T>(&self, work: impl Future<Output = T>) -> (T, Counts) {
        let before = self.counts();
        let result = work.await;
        (result, self.counts() - before)
    }

    /// HTTP requests so far by their `X-Amz-Target`, such as `TrentService.Decrypt`.
    pub fn targets(&self) -> BTreeMap<String, u64> {
        self.shared.targets.lock().unwrap().clone()
    }

    /// HTTP requests so far whose `X-Amz-Target` starts with `prefix`.
    pub fn calls(&self, prefix: &str) -> u64 {
        let targets = self.shared.targets.lock().unwrap();
        targets.iter().filter(|(target, _)| target.starts_with(prefix)).map(|(_, count)| count).sum()
    }

    /// Counts requests that contain `needle` under a label, with the replies to them. A request of several labels counts
    /// under the first.
    pub fn label(&self, label: &str, needle: &[u8]) {
        self.shared.labels.lock().unwrap().add(label, needle);
    }

    /// What has passed under each label. Connections are not counted there.
    pub fn labelled(&self) -> BTreeMap<String, Counts> {
        self.shared.labels.lock().unwrap().counts()
    }

    /// Closes every open connection.
    pub fn cut_connections(&self) {
        self.shared.line.send_modify(|line| line.generation += 1);
    }

    /// Closes every connection and refuses new ones, as a host without the service does.
    pub async fn go_offline(&self) {
        self.refuse_connections().await;
        self.cut_connections();
    }

    /// Answers every request that contains `needle` with `reply` in place of the upstream, until
    /// [`go_online`](Self::go_online). Without a reply the connection is closed: one service of several is away. A
    /// request must fit into one packet, as those of the AWS clients and of Redis do.
    pub fn intercept(&self, needle: &[u8], reply: &[u8]) {
        self.shared.intercepted.lock().unwrap().push((needle.to_vec(), reply.to_vec()));
    }

    /// Holds every request that contains `needle` back for a while, until [`go_online`](Self::go_online): one service of
    /// several is slow.
    pub fn slow(&self, needle: &[u8], by: Duration) {
        self.shared.slowed.lock().unwrap().push((needle.to_vec(), by));
    }

    /// Serves no client at these addresses, and cuts the connections they have: one side of a partition. An empty set
    /// ends it.
    pub fn shun(&self, clients: BTreeSet<IpAddr>) {
        self.shared.shunned.send_replace(clients);
    }

    /// Every request from here on burns this fuse. Several proxies may share one.
    pub fn set_fuse(&self, fuse: &Fuse) {
        *self.shared.fuse.lock().unwrap() = Some(fuse.clone());
    }

    /// Accepts connections again and ends stalls, delays and interceptions.
    pub async fn go_online(&self) {
        self.shared.intercepted.lock().unwrap().clear();
        self.shared.slowed.lock().unwrap().clear();
        self.shared.line.send_modify(|line| *line = Line { generation: line.generation, ..Line::default() });
        self.until_listening(true).await;
    }

    /// Refuses new connections; open ones go on.
    pub async fn refuse_connections(&self) {
        self.shared.line.send_modify(|line| line.refuse = true);
        self.until_listening(false).await;
    }

    /// Holds every byte back in both directions, as a network that drops packets does.
    pub fn stall(&self) {
        self.shared.line.send_modify(|line| line.stalled = true);
    }

    /// Ends a stall; what was held back passes.
    pub fn resume(&self) {
        self.shared.line.send_modify(|line| line.stalled = false);
    }

    /// Delays each piece of traffic by direction.
    pub fn delay(&self, to_upstream: Duration, to_client: Duration) {
        self.shared.line.send_modify(|line| {
            line.delay_to_upstream = to_upstream;
            line.delay_to_client = to_client;
        });
    }

    /// Forwards the next request and closes its connection in place of the reply: the outcome stays unknown.
    pub fn cut_next_reply(&self) {
        self.cut_next_reply_to(b"");
    }

    /// [`cut_next_reply`](Self::cut_next_reply) for the next request that contains `needle`, say `EVALSHA`.
    pub fn cut_next_reply_to(&self, needle: &[u8]) {
        self.shared.withheld.lock().unwrap().push(needle.to_vec());
    }

    /// Replies that were to be cut and have not been yet.
    pub fn pending_cuts(&self) -> usize {
        self.shared.withheld.lock().unwrap().len()
    }

    async fn until_listening(&self, expected: bool) {
        eventually("the proxy changes its port", || async {
            (self.shared.listening.load(Ordering::SeqCst) == expected).then_some(())
        })
        .await;
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Listens while connections are welcome; the port is closed, not merely ignored, while they are not.
async fn accept(address: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut line = shared.line.subscribe();
    while line.wait_for(|line| !line.refuse).await.is_ok() {
        let listener = eventually("the proxy's port is free", || async { TcpListener::bind(address).await.ok() }).await;
        shared.listening.store(true, Ordering::SeqCst);
        loop {
            tokio::select! {
                biased;
                _ = line.wait_for(|line| line.refuse) => break,
                accepted = listener.accept() => {
                    if let Ok((client, peer)) = accepted {
                        shared.counts.lock().unwrap().connections += 1;
                        connections.spawn(serve(client, peer.ip(), Arc::clone(&shared)));
                    }
                    while connections.try_join_next().is_some() {}
                }
            }
        }
        drop(listener);
        shared.listening.store(false, Ordering::SeqCst);
    }
}

/// One connection, until either side or a fault ends it. Dropping the four halves closes both sockets.
async fn serve(client: TcpStream, peer: IpAddr, shared: Arc<Shared>) {
    let mut line = shared.line.subscribe();
    let mut shunned = shared.shunned.subscribe();
    let generation = line.borrow().generation;
    let conversation = async {
        let upstream = TcpStream::connect(&shared.upstream).await?;
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_upstream, to_upstream) = upstream.into_split();
        let turn = Turn::default();
        tokio::select! {
            ended = forward_requests(from_client, to_upstream, &shared, &turn) => ended,
            ended = forward_replies(from_upstream, to_client, &shared, &turn) => ended,
        }
    };
    tokio::select! {
        biased;
        _ = line.wait_for(|line| line.generation != generation) => {}
        _ = shunned.wait_for(|shunned| shunned.contains(&peer)) => {}
        _ = conversation => {}
    }
}

/// What one direction of a connection tells the other.
#[derive(Default)]
struct Turn {
    client_spoke: AtomicBool,
    label: Mutex<Option<String>>,
    withhold_reply: AtomicBool,
    reply: Mutex<Vec<u8>>,
    replies: Notify,
    /// Its reply is the last thing that happens on this line.
    last: Mutex<Option<Fuse>>,
}

async fn forward_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    turn: &Turn,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut targets = TargetReader::default();
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let piece = &buffer[..length];
        for target in targets.read(piece) {
            *shared.targets.lock().unwrap().entry(target).or_default() += 1;
        }
        shared.counts.lock().unwrap().bytes_to_upstream += length as u64;
        shared.count_request(piece, turn);
        shared.pass(|line| line.delay_to_upstream).await;
        if let Some(reply) = shared.intercepts(piece) {
            if reply.is_empty() {
                return Ok(());
            }
            *turn.reply.lock().unwrap() = reply;
            turn.replies.notify_one();
            continue;
        }
        if shared.takes_withheld(piece) {
            turn.withhold_reply.store(true, Ordering::SeqCst);
        }
        if let Some(by) = shared.slows(piece) {
            tokio::time::sleep(by).await;
        }
        let fuse = shared.fuse.lock().unwrap().clone();
        if let Some(fuse) = fuse {
            match fuse.burn().await {
                fuse::Burnt::Passes => {}
                fuse::Burnt::IsTheLast => *turn.last.lock().unwrap() = Some(fuse),
                fuse::Burnt::ComesTooLate => return Ok(()),
            }
        }
        turn.client_spoke.store(true, Ordering::SeqCst);
        to.write_all(piece).await?;
    }
}

async fn forward_replies(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    turn: &Turn,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = tokio::select! {
            length = from.read(&mut buffer) => length?,
            () = turn.replies.notified() => {
                let reply = std::mem::take(&mut *turn.reply.lock().unwrap());
                to.write_all(&reply).await?;
                continue;
            }
        };
        // The upstream has answered, so it has done the work: now the reply may get lost.
        if length == 0 || turn.withhold_reply.load(Ordering::SeqCst) {
            return Ok(());
        }
        let last = turn.last.lock().unwrap().take();
        if let Some(fuse) = last {
            fuse.blow().await;
            return Ok(());
        }
        // Counted before it is delivered: whoever has the reply finds it in the counts.
        {
            let mut counts = shared.counts.lock().unwrap();
            let turns = u64::from(turn.client_spoke.swap(false, Ordering::SeqCst));
            counts.bytes_to_client += length as u64;
            counts.round_trips += turns;
            shared.count_reply(length, turns, turn);
        }
        shared.pass(|line| line.delay_to_client).await;
        to.write_all(&buffer[..length]).await?;
    }
}

impl Shared {
    /// Waits out the delay of a direction and any stall.
    async fn pass(&self, delay: impl Fn(&Line) -> Duration) {
        let delay = delay(&self.line.borrow());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let _ = self.line.subscribe().wait_for(|line| !line.stalled).await;
    }

    fn count_request(&self, piece: &[u8], turn: &Turn) {
        let (mut labels, mut label) = (self.labels.lock().unwrap(), turn.label.lock().unwrap());
        // The first piece after a reply begins a request.
        if !turn.client_spoke.load(Ordering::SeqCst) {
            *label = labels.find(piece);
        }
        if let Some(counts) = label.as_deref().and_then(|label| labels.counts_of(label)) {
            counts.bytes_to_upstream += piece.len() as u64;
        }
    }

    fn count_reply(&self, length: usize, turns: u64, turn: &Turn) {
        let (mut labels, label) = (self.labels.lock().unwrap(), turn.label.lock().unwrap());
        if let Some(counts) = label.as_deref().and_then(|label| labels.counts_of(label)) {
            counts.bytes_to_client += length as u64;
            counts.round_trips += turns;
        }
    }

    fn intercepts(&self, request: &[u8]) -> Option<Vec<u8>> {
        let intercepted = self.intercepted.lock().unwrap();
        intercepted.iter().find(|(needle, _)| contains(request, needle)).map(|(_, reply)| reply.clone())
    }

    fn slows(&self, request: &[u8]) -> Option<Duration> {
        let slowed = self.slowed.lock().unwrap();
        slowed.iter().find(|(needle, _)| contains(request, needle)).map(|(_, by)| *by)
    }

    fn takes_withheld(&self, request: &[u8]) -> bool {
        let mut withheld = self.withheld.lock().unwrap();
        let found = withheld.iter().position(|needle| contains(request, needle));
        found.map(|at| withheld.remove(at)).is_some()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}
