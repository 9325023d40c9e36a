//! A Redis with the scripts of the service, and random records for it.
//!
//! Every case draws from its own generator, so a failure is named by seed and case and can be run alone.

use std::collections::BTreeMap;
use std::time::Duration;

use integration_tests::settings;
use integration_tests::stores::{RedisOptions, RedisServer};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use redis::cluster::ClusterClientBuilder;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisResult, Value};
use shared::adapters::redis::connection::{Connection, Losses};
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Call, Operation, Own};
use shared::core::attributes::Attributes;
use shared::core::audit::{self, Actor, EVENT_TYPES};
use shared::core::crypto;
use shared::core::device::TrustLevel;
use shared::core::device_tag::DeviceTag;
use shared::core::end_reason::{self, EndReason};
use shared::core::id::{Bucket, SessionId, UserSlot, UserTag};
use shared::core::place::Place;
use shared::core::record::{HEADER_BYTES, Header, KEY_BOUND, SessionRecord, State};
use shared::core::risk::{Note, Signals, Verdict};
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

/// Two applications of one group: owner tags of records.
pub const OWN: [u8; 8] = *b"own-app-";
/// Two devices of one user, as records name them.
pub const DEVICE: [u8; 8] = *b"device-A";
/// The other one.
pub const ANOTHER_DEVICE: [u8; 8] = *b"device-B";
/// The other application.
pub const OTHER: [u8; 8] = *b"other-ap";

/// Redis, reached the way the service reaches it.
pub struct Bench {
    connection: Connection,
    _server: Option<RedisServer>,
}

/// An event of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub reason: String,
    pub session: String,
    pub user: String,
    pub application: String,
    pub common: String,
    pub detail: String,
    /// What is told of the session.
    pub attributes: Option<Attributes>,
    /// When a session that ended had begun, in milliseconds.
    pub began_at: Option<i64>,
}

impl Bench {
    /// A private server.
    pub async fn private() -> Self {
        let server = RedisServer::start(RedisOptions::default()).await;
        let connection = connect(vec![server.url()], false).await;
        Bench { connection, _server: Some(server) }
    }

    /// The shared cluster.
    pub async fn cluster() -> Self {
        Bench { connection: connect(settings::redis_cluster_urls(), true).await, _server: None }
    }

    /// The connection itself, for functions of the service.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Runs a script as the service does.
    pub async fn run(&self, call: &Call) -> RedisResult<Value> {
        scripts::run(&mut self.connection.clone(), call).await
    }

    /// Runs a plain command that must succeed.
    pub async fn command(&self, command: &redis::Cmd) -> Value {
        self.connection.clone().command(command).await.expect("the command succeeds")
    }

    /// The bytes of a key.
    pub async fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        match self.command(redis::cmd("GET").arg(key)).await {
            Value::BulkString(bytes) => Some(bytes),
            Value::Nil => None,
            other => panic!("{key}: {other:?}"),
        }
    }

    /// How many fields a hash has.
    pub async fn fields(&self, key: &str) -> u64 {
        redis::from_redis_value(self.command(redis::cmd("HLEN").arg(key)).await).expect("a number")
    }

    /// Writes the bytes of a key.
    pub async fn set(&self, key: &str, bytes: &[u8]) {
        self.command(redis::cmd("SET").arg(key).arg(bytes)).await;
    }

    /// Puts a record in its place, index and queue included.
    pub async fn place(&self, session: &SessionId, record: &SessionRecord) {
        let slot = slot_of(session, record.header.user_tag);
        self.place_bytes(session, slot, &record.encode(), record.header.created_at, record.header.absolute_expires_at)
            .await;
    }

    /// Puts any bytes in the place of a record.
    pub async fn place_bytes(
        &self,
        session: &SessionId,
        slot: UserSlot,
        bytes: &[u8],
        created: Timestamp,
        due: Timestamp,
    ) {
        self.set(&keys::session(session), bytes).await;
        self.add(&keys::index(slot), session, created).await;
        self.add(&keys::expiry_queue(slot.bucket), session, due).await;
    }

    /// Adds a session to a sorted set.
    pub async fn add(&self, key: &str, session: &SessionId, score: Timestamp) {
        self.command(redis::cmd("ZADD").arg(key).arg(score.millis()).arg(session.key_text())).await;
    }

    /// Writes the mirror of a user's epoch; 0 stands for none.
    pub async fn set_epoch(&self, slot: UserSlot, epoch: u32) {
        match epoch {
            0 => self.command(redis::cmd("DEL").arg(keys::epoch(slot))).await,
            epoch => self.command(redis::cmd("SET").arg(keys::epoch(slot)).arg(epoch)).await,
        };
    }

    /// A sorted set: member to score.
    pub async fn members(&self, key: &str) -> BTreeMap<String, i64> {
        let value = self.command(redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES")).await;
        let pairs: Vec<(String, f64)> = redis::from_redis_value(value).expect("members with scores");
        pairs.into_iter().map(|(member, score)| (member, score as i64)).collect()
    }

    /// Milliseconds left to a key, -1 without an end, -2 without the key.
    pub async fn ttl(&self, key: &str) -> i64 {
        redis::from_redis_value(self.command(redis::cmd("PTTL").arg(key)).await).expect("a number")
    }

    /// Events of an operation in their order. Each is held to the vocabulary of the audit.
    pub async fn events(&self, bucket: Bucket, operation: &Operation) -> Vec<Event> {
        let mut events = self.outbox(bucket).await;
        events.retain(|event| event.id.starts_with(&operation.event_id));
        for event in &events {
            assert_eq!(event.common, operation.common);
        }
        events
    }

    /// Every event of a bucket in its order.
    pub async fn outbox(&self, bucket: Bucket) -> Vec<Event> {
        let value = self.command(redis::cmd("XRANGE").arg(keys::outbox(bucket)).arg("-").arg("+")).await;
        let entries: Vec<(String, Vec<Vec<u8>>)> = redis::from_redis_value(value).expect("stream entries");
        entries.into_iter().map(|(_, fields)| event(&fields)).collect()
    }

    /// Takes the events of an operation out of a bucket that others use as well.
    pub async fn discard_events(&self, bucket: Bucket, operation: &Operation) {
        let key = keys::outbox(bucket);
        let value = self.command(redis::cmd("XRANGE").arg(&key).arg("-").arg("+")).await;
        let entries: Vec<(String, Vec<Vec<u8>>)> = redis::from_redis_value(value).expect("stream entries");
        for (entry, _) in entries.iter().filter(|(_, fields)| event(fields).id.starts_with(&operation.event_id)) {
            self.command(redis::cmd("XDEL").arg(&key).arg(entry)).await;
        }
    }

    /// Removes the keys of a case.
    pub async fn remove(&self, keys: &[String]) {
        for key in keys {
            self.command(redis::cmd("DEL").arg(key)).await;
        }
    }
}

fn event(fields: &[Vec<u8>]) -> Event {
    let bytes = |name: &str| fields.chunks_exact(2).find(|pair| pair[0] == name.as_bytes()).map(|pair| &pair[1]);
    let text = |name: &str| bytes(name).map(|value| String::from_utf8(value.clone()).expect("a text"));
    let field = |name: &str| text(name).unwrap_or_else(|| panic!("no field {name} in {fields:?}"));
    // What is told of a session is as its record has it.
    let attributes = bytes("p").map(|value| Attributes::decode(value).expect("attributes"));
    let began_at = text("b").map(|value| value.parse().expect("milliseconds"));
    let event = Event {
        id: field("i"),
        kind: field("t"),
        reason: field("r"),
        session: field("s"),
        user: field("u"),
        application: field("a"),
        common: field("c"),
        detail: text("d").unwrap_or_default(),
        attributes,
        began_at,
    };
    assert!(EVENT_TYPES.contains(&event.kind.as_str()), "not in the vocabulary: {event:?}");
    assert!(event.reason.is_empty() || EndReason::parse(&event.reason).is_some(), "not a reason: {event:?}");
    event
}

/// As the service connects, but however long an answer takes: a busy machine is no finding here.
async fn connect(urls: Vec<String>, cluster: bool) -> Connection {
    let patience = Duration::from_secs(60);
    if cluster {
        let builder = ClusterClientBuilder::new(urls).use_protocol(ProtocolVersion::RESP3);
        let builder = builder.connection_timeout(patience).response_timeout(patience);
        let client = builder.build().expect("URLs of a cluster");
        let connection = client.get_async_connection().await.expect("the cluster answers");
        return Connection::Cluster(connection, Losses::default());
    }
    let client = redis::Client::open(urls[0].as_str()).expect("a URL");
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    Connection::Single(connection.expect("Redis answers"))
}

/// The generator of one case.
pub fn case_rng(seed: u64, case: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(case))
}

/// One of the listed values.
pub fn pick<T: Copy>(rng: &mut StdRng, values: &[T]) -> T {
    *values.choose(rng).expect("not empty")
}

/// A user nobody else has, whose bucket is random.
pub fn random_slot(rng: &mut StdRng) -> UserSlot {
    // The tag comes from outside the seed: cases of two runs must not meet in the shared cluster.
    let tag: [u8; 6] = rand::random();
    let bucket = Bucket::new(rng.random_range(0..4096)).expect("in range");
    UserSlot { bucket, tag: UserTag::parse(&crypto::encode(&tag)).expect("six bytes") }
}

/// A session nobody else has.
pub fn random_session(slot: UserSlot) -> SessionId {
    SessionId::from_parts(slot.bucket, rand::random())
}

/// The slot of a session whose owner is known.
pub fn slot_of(session: &SessionId, tag: UserTag) -> UserSlot {
    UserSlot { bucket: session.bucket(), tag }
}

/// A new operation.
pub fn operation(now: Timestamp) -> Operation {
    let id: [u8; 16] = rand::random();
    let mark = id[..8].try_into().expect("eight bytes");
    Operation { event_id: crypto::encode(&id), mark, common: audit::common(&Actor::Service, "twin", now) }
}

/// An instant `millis` away from another.
pub fn shifted(instant: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(instant.millis() + millis)
}

/// Attributes as a later release might write them: every kind of field, unknown ones too.
pub fn random_attributes(rng: &mut StdRng) -> Attributes {
    let text = |rng: &mut StdRng| rng.random_bool(0.5).then(|| settings::random_hex(rng.random_range(1..20)));
    let unknown: Vec<u8> = (0..rng.random_range(0..40)).map(|_| rng.random()).collect();
    Attributes {
        user_id: "ada".into(),
        application_id: pick(rng, &["demo", "shop-eu-2"]).into(),
        acr: text(rng),
        amr: (0..rng.random_range(0..3)).map(|index| format!("method{index}")).collect(),
        auth_time: rng.random_bool(0.3).then(|| Timestamp::from_seconds(1_700_000_000)),
        device_id: text(rng),
        device_name: text(rng),
        device_type: rng.random_bool(0.3).then(|| "phone".into()),
        address_prefix: text(rng),
        user_agent: text(rng),
        jkt: rng.random_bool(0.3).then(|| pick(rng, &["key-A", "key-B"]).to_owned()),
        seen: rng.random_bool(0.3).then(|| unknown.clone()),
        risk: rng
            .random_bool(0.3)
            .then(|| Note { verdict: Verdict::StepUp, reasons: Signals::from_bits(rng.random()) }),
        place: rng.random_bool(0.3).then(|| Place::new("AT", Some("Linz"), None, 100).expect("a place")),
        device_tag: rng.random_bool(0.7).then(|| pick(rng, &[DEVICE, ANOTHER_DEVICE])).map(DeviceTag::from_bytes),
        device_key: rng.random_bool(0.1).then_some([7; 64]),
        unknown: match rng.random_bool(0.5) {
            true => vec![(rng.random_range(100..=255), unknown)],
            false => Vec::new(),
        },
    }
}

/// A digest: unknown, or one of two.
pub fn random_digest(rng: &mut StdRng) -> [u8; 8] {
    pick(rng, &[[0; 8], *b"digest-A", *b"digest-B"])
}

/// A header whose every limit lies close to `now`, on either side, about half of them alive.
pub fn random_header(rng: &mut StdRng, tag: UserTag, now: Timestamp) -> Header {
    let around = [-1, 0, 1];
    let idle = pick(rng, &[1, 60, 3600, 604_800]);
    let grace: u16 = pick(rng, &[0, 1, 10, 30]);
    let last_activity = match rng.random_bool(0.3) {
        true => shifted(now, -i64::from(idle) * 1000 + pick(rng, &around)),
        false => shifted(now, -rng.random_range(0..i64::from(idle) * 1000)),
    };
    let absolute = match rng.random_bool(0.2) {
        true => shifted(now, pick(rng, &around)),
        false => shifted(now, rng.random_range(1..2_592_000_000)),
    };
    let rotated = match rng.random_bool(0.5) {
        true => shifted(now, -i64::from(grace) * 1000 + pick(rng, &around)),
        false => shifted(now, pick(rng, &[-100_000, -1, 0, 1, 5000])),
    };
    let ended = rng.random_bool(0.1);
    Header {
        state: if ended { State::Ended(pick(rng, &end_reason::ALL)) } else { State::Active },
        mac_key_id: rng.random(),
        version: pick(rng, &[1, 2, 255, 256, 65_536, u32::MAX - 1, u32::MAX]),
        revision: pick(rng, &[1, 2, 300, u32::MAX - 1, u32::MAX]),
        epoch: pick(rng, &[0, 1, 2, 7, u32::MAX - 1]),
        generation: pick(rng, &[1, 2, 3, 4, 255, 256, 70_000, u32::MAX - 2, u32::MAX - 1, u32::MAX]),
        idle_timeout_seconds: idle,
        grace_seconds: grace,
        created_at: shifted(now, -rng.random_range(0..1_000_000_000)),
        last_activity_at: last_activity,
        absolute_expires_at: absolute,
        rotated_at: rotated,
        ended_at: Timestamp::from_millis(0),
        last_operation: rng.random(),
        user_tag: tag,
        application_tag: OWN,
        address: random_digest(rng),
        device: random_digest(rng),
        standing: pick(rng, &[Standing::Good, Standing::Good, Standing::Good, Standing::StepUp, Standing::Quarantined]),
        trust: pick(rng, &TrustLevel::ALL),
        risk_score: rng.random_range(0..=100),
        flags: pick(rng, &[0, 0, 0, KEY_BOUND]),
        superseded_generation: 0,
        device_epoch: rng.random(),
    }
}

/// A record around a header; a tombstone has nothing but the header.
pub fn record_of(rng: &mut StdRng, header: Header) -> SessionRecord {
    match header.state {
        State::Active => {
            let sealed = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
            SessionRecord { attributes: random_attributes(rng), sealed, header }
        }
        State::Ended(_) => SessionRecord { attributes: Attributes::default(), sealed: Vec::new(), header },
    }
}

/// What an ended record must look like.
pub fn tombstone(before: &SessionRecord, reason: EndReason, mark: [u8; 8], now: Timestamp) -> SessionRecord {
    SessionRecord {
        header: Header {
            state: State::Ended(reason),
            ended_at: now,
            revision: before.header.revision.wrapping_add(1),
            last_operation: mark,
            ..before.header.clone()
        },
        attributes: Attributes::default(),
        sealed: Vec::new(),
    }
}

/// The same record as scripts return it.
pub fn without_data(record: &SessionRecord) -> SessionRecord {
    SessionRecord { sealed: Vec::new(), ..record.clone() }
}

/// When a record's user authenticated, as access tokens say it.
pub fn authenticated(record: &SessionRecord) -> Option<i64> {
    record.attributes.auth_time.map(Timestamp::seconds)
}

/// What a caller's token says of a session: an application has none, some tokens are from before a step-up. The second
/// value says so.
pub fn own_token(rng: &mut StdRng, session: SessionId, record: &SessionRecord) -> (Option<Own>, bool) {
    let current = authenticated(record);
    let before = if current.is_none() { Some(5) } else { None };
    match rng.random_range(0..10) {
        0..5 => (None, false),
        5..9 => (Some(Own { session, auth_time: current }), false),
        _ => (Some(Own { session, auth_time: before }), true),
    }
}

/// Bytes that this release can not read in the place of a record: another format, or too short.
pub fn unreadable(rng: &mut StdRng, record: &SessionRecord) -> Vec<u8> {
    let mut bytes = record.encode();
    match rng.random_range(0..3) {
        0 => bytes.truncate(rng.random_range(1..HEADER_BYTES)),
        1 => bytes[0] = pick(rng, &[0, 1, 255]),
        _ => bytes[1] = pick(rng, &[0, 3, 255]),
    }
    bytes
}
