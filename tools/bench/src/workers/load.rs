//! Fills Redis with sessions, as `create-session` would, millions of them: the keys of `create.lua`, record and seal and
//! all, by plain commands in long pipelines and without the event, which the audit drains a minute later.
//!
//! Before anything is loaded, a sample of users goes through the script and then through the commands, and what lies in
//! Redis afterwards must be the same, byte for byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};
use serde_json::Map;
use shared::adapters::redis::keys;
use shared::adapters::redis::scripts::{self, Limits, Operation};
use shared::clock;
use shared::core::application::KnownApplication;
use shared::core::attributes::Attributes;
use shared::core::audit::Actor;
use shared::core::context::ClientContext;
use shared::core::device::TrustLevel;
use shared::core::fingerprint::Fingerprint;
use shared::core::id::{ApplicationId, SessionId, UserId, UserSlot};
use shared::core::keyring::{KeyUse, Purpose};
use shared::core::policy::Effective;
use shared::core::privacy::Privacy;
use shared::core::record::{Header, SessionRecord, State};
use shared::core::risk::history::{Entry, History};
use shared::core::standing::Standing;
use shared::core::time::Timestamp;
use shared::core::user_agent;
use shared::limits::HISTORY_SECONDS;
use shared::service::runtime::{Service, operation};
use shared::service::session_data;

use crate::site;

/// Sessions of each user.
pub const PER_USER: u64 = 3;
const BATCH: u64 = 600;
const SAMPLED_USERS: u64 = 20;
/// The sample's users come from beyond all others.
const SAMPLE: u64 = 90_000_000;
const DAY: u64 = 86_400;

/// What to load.
pub struct Order {
    application: String,
    first: u64,
    count: u64,
    shape: Shape,
}

/// What the sessions are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Alive, with data and what a backend knows of the client.
    Usual,
    /// Alive, with data only.
    Plain,
    /// As usual, but their last activity is so long ago that they have lapsed.
    Lapsed,
}

impl Order {
    /// Arguments of `bench load`.
    pub fn arguments(application: &str, first: u64, count: u64, shape: Shape) -> Vec<String> {
        let shape = match shape {
            Shape::Usual => "usual",
            Shape::Plain => "plain",
            Shape::Lapsed => "lapsed",
        };
        ["load", application, &first.to_string(), &count.to_string(), shape].map(str::to_owned).to_vec()
    }

    /// Reads them.
    pub fn parse(arguments: &[&str]) -> Self {
        let [application, first, count, shape] = arguments else {
            panic!("usage: bench load APPLICATION FIRST COUNT SHAPE")
        };
        let shape = match *shape {
            "usual" => Shape::Usual,
            "plain" => Shape::Plain,
            "lapsed" => Shape::Lapsed,
            other => panic!("unknown shape: {other}"),
        };
        let number = |text: &str| text.parse().expect("a number");
        Order { application: (*application).to_owned(), first: number(first), count: number(count), shape }
    }
}

/// Whose the session with a number is, and its id: every worker of a stack knows them all.
pub async fn session(service: &Service, group: &str, number: u64) -> (UserId, UserSlot, SessionId) {
    let pseudonyms = service.keys.ring(Purpose::Pseudonym).await.expect("the ring");
    let (_, pseudonym_key) = pseudonyms.active(KeyUse::Pseudonym, clock::now()).expect("a key");
    let routing = service.keys.routing().await.expect("the routing key");
    let user = UserId::parse(&format!("user-{:08}", number / PER_USER)).expect("a user id");
    let slot = UserSlot::of(pseudonym_key, group, &user);
    let session = SessionId::mint(slot, StdRng::seed_from_u64(site::SEED ^ number).random(), routing);
    (user, slot, session)
}

/// The application that sessions are loaded for.
pub async fn application(service: &Service, id: &str) -> Arc<KnownApplication> {
    let id = ApplicationId::parse(id).expect("an application id");
    service.applications.get(&id, clock::now()).await.expect("DynamoDB answers").expect("it is there")
}

/// Loads, and prints a few ids, one per line, spread over what was loaded.
#[tokio::main(flavor = "current_thread")]
pub async fn run(order: &Order) {
    let maker = Maker::new(&order.application, order.shape).await;
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let client = redis::Client::open(url).expect("a URL");
    // A busy server may take long over a pipeline.
    let patience = redis::AsyncConnectionConfig::new().set_response_timeout(Some(std::time::Duration::from_secs(60)));
    let connection = client.get_multiplexed_async_connection_with_config(&patience).await;
    let mut connection = connection.expect("Redis answers");
    maker.compare(&mut connection).await;

    let (mut number, end) = (order.first, order.first + order.count);
    let mut waiting = None;
    while number < end {
        let stop = end.min(number + BATCH);
        let pipeline = maker.batch(number, stop).await;
        // The next batch is made while this one is on its way.
        let mut own = connection.clone();
        let sent = tokio::spawn(async move { pipeline.exec_async(&mut own).await.expect("the batch is written") });
        if let Some(earlier) = waiting.replace(sent) {
            let _: () = earlier.await.expect("a batch");
        }
        tokio::task::yield_now().await;
        number = stop;
    }
    if let Some(last) = waiting {
        last.await.expect("a batch");
    }
    let step = (order.count / 512).max(1);
    for number in (order.first..end).step_by(usize::try_from(step).expect("a step")) {
        println!("{}", maker.made(number, maker.now).await.session);
    }
}

/// Makes sessions.
struct Maker {
    service: Service,
    application: Arc<KnownApplication>,
    rules: Effective,
    client: ClientContext,
    device_type: Option<String>,
    data: Map<String, serde_json::Value>,
    shape: Shape,
    now: Timestamp,
}

/// A session before it is written.
struct Made {
    session: SessionId,
    slot: UserSlot,
    record: SessionRecord,
    seen: Option<Entry>,
    operation: Operation,
}

impl Maker {
    async fn new(application: &str, shape: Shape) -> Self {
        let service = super::service().await;
        let application = self::application(&service, application).await;
        let rules = application.policy.effective(None, TrustLevel::New);
        let client = match shape {
            Shape::Plain => ClientContext::default(),
            Shape::Usual | Shape::Lapsed => ClientContext {
                address: site::client()["ip"].as_str().and_then(|address| address.parse().ok()),
                user_agent: site::client()["userAgent"].as_str().map(str::to_owned),
                ..ClientContext::default()
            },
        };
        let parsed = client.user_agent.as_deref().map(user_agent::parse).unwrap_or_default();
        let device_type = parsed.device_type.map(|kind| kind.as_str().to_owned());
        let data = site::data().as_object().cloned().expect("an object");
        Maker { service, application, rules, client, device_type, data, shape, now: clock::now() }
    }

    /// What `create_session` makes of the same request.
    async fn made(&self, number: u64, now: Timestamp) -> Made {
        let (service, application) = (&self.service, &self.application);
        let (user, slot, session) = session(service, &application.group_id, number).await;
        let routing = service.keys.routing().await.expect("the routing key");
        let tokens = service.keys.ring(Purpose::Token).await.expect("the ring");
        let (mac_key_id, _) = tokens.active(KeyUse::Mac, now).expect("a key");
        let operation = operation(&Actor::Application, "bench", now).expect("an operation");
        let sealed = session_data::seal(service, session, 1, &self.data, now).await.expect("it is sealed").bytes;
        let digests = self.client.digests(routing, &session, application.policy.finest_bits());
        let timeouts = self.rules.timeouts(None, None).expect("the policy's own");
        let fingerprint = Fingerprint::of(&self.client, routing, &session, self.rules.binding.bits());
        let sighting = self.client.sighting(routing, slot.tag);
        let seen = Entry::of(sighting, None, true, now);
        let mut attributes = Attributes {
            user_id: user.as_str().to_owned(),
            application_id: application.application_id.clone(),
            device_type: self.device_type.clone(),
            address_prefix: self.client.address_prefix(),
            user_agent: self.client.user_agent.clone(),
            ..Attributes::default()
        };
        attributes.set_fingerprint(&fingerprint);
        let header = Header {
            state: State::Active,
            mac_key_id,
            version: 1,
            revision: 1,
            epoch: 0,
            generation: 1,
            idle_timeout_seconds: timeouts.idle_seconds,
            grace_seconds: self.rules.grace_seconds(false),
            created_at: now,
            last_activity_at: now,
            absolute_expires_at: now.plus_seconds(u64::from(timeouts.absolute_seconds)),
            rotated_at: now,
            ended_at: Timestamp::from_millis(0),
            last_operation: operation.mark,
            user_tag: slot.tag,
            application_tag: application.tag(),
            address: digests.address,
            device: digests.device,
            standing: Standing::Good,
            trust: TrustLevel::New,
            risk_score: 0,
            flags: 0,
            superseded_generation: 0,
            device_epoch: 0,
        };
        let record = SessionRecord { header, attributes, sealed };
        let seen = Some(seen).filter(|seen| seen.sighting != Default::default());
        Made { session, slot, record, seen, operation }
    }

    /// When the sessions of this shape began.
    fn began(&self) -> Timestamp {
        match self.shape {
            Shape::Usual | Shape::Plain => self.now,
            // Longer ago than the idle timeout, and not so long that the record is gone by itself.
            Shape::Lapsed => {
                let timeouts = self.rules.timeouts(None, None).expect("the policy's own");
                let idle = i64::from(timeouts.idle_seconds.min(timeouts.absolute_seconds)) + 60;
                Timestamp::from_millis(self.now.millis() - idle * 1000)
            }
        }
    }

    async fn batch(&self, first: u64, end: u64) -> Pipeline {
        let mut pipeline = redis::pipe();
        for number in first..end {
            write(&mut pipeline, &self.made(number, self.began()).await, number % PER_USER == 0, number % PER_USER + 1);
        }
        pipeline
    }

    /// The same sessions by the script and by plain commands leave the same bytes.
    async fn compare(&self, connection: &mut MultiplexedConnection) {
        for user in 0..SAMPLED_USERS {
            let numbers = (SAMPLE + user) * PER_USER..(SAMPLE + user + 1) * PER_USER;
            let mut made = Vec::new();
            for number in numbers {
                made.push(self.made(number, self.began()).await);
            }
            for one in &made {
                let limits = Limits::of(&self.rules);
                let (record, operation, seen) = ((&one.record, Privacy::default()), &one.operation, one.seen.as_ref());
                let began = self.began();
                let call = scripts::create(&one.session, one.slot, record, limits, None, operation, None, seen, began);
                let reply = self.service.state.run(&call).await.expect("the script runs");
                let created = scripts::created(one.slot.bucket, reply);
                assert!(matches!(created, Ok(scripts::Created::Admitted { .. })), "{created:?}");
            }
            let by_script = taken(connection, &made).await;
            let mut pipeline = redis::pipe();
            for (place, one) in made.iter().enumerate() {
                write(&mut pipeline, one, place == 0, place as u64 + 1);
            }
            pipeline.exec_async(connection).await.expect("the commands run");
            let by_commands = taken(connection, &made).await;
            assert_eq!(by_script.len(), made.len() + 2 + usize::from(made[0].seen.is_some()));
            assert_eq!(by_script, by_commands, "the script writes something else than the loader");
        }
    }
}

/// The keys of `create.lua` for a user who switched nothing off, in its order.
fn write(pipeline: &mut Pipeline, made: &Made, first_of_user: bool, creations: u64) {
    let header = &made.record.header;
    let gone = header.absolute_expires_at.plus_seconds(DAY).millis();
    let due = header.last_activity_at.plus_seconds(u64::from(header.idle_timeout_seconds));
    let due = due.min(header.absolute_expires_at).millis();
    let (index, queue) = (keys::index(made.slot), keys::expiry_queue(made.slot.bucket));
    let id = made.session.key_text();
    pipeline.cmd("SET").arg(keys::session(&made.session)).arg(made.record.encode()).arg("PXAT").arg(gone).ignore();
    pipeline.cmd("ZADD").arg(&index).arg(header.created_at.millis()).arg(&id).ignore();
    if first_of_user {
        pipeline.cmd("PEXPIREAT").arg(&index).arg(gone).ignore();
    }
    pipeline.cmd("ZADD").arg(queue).arg(due).arg(&id).ignore();
    // The last of a user's sessions leaves the history that all of them make.
    if let (Some(seen), PER_USER) = (made.seen, creations) {
        let history = (0..PER_USER).fold(History::default(), |history, _| history.learn(seen));
        let key = keys::history(made.slot);
        pipeline.cmd("SET").arg(key).arg(history.encode()).arg("PX").arg(HISTORY_SECONDS * 1000).ignore();
    }
}

/// What lies under the keys of a user, with the instant at which each goes; the keys are removed. Of the queue, which others
/// share, only these sessions.
async fn taken(connection: &mut MultiplexedConnection, made: &[Made]) -> BTreeMap<String, String> {
    let slot = made[0].slot;
    let mut found = BTreeMap::new();
    let mut names: Vec<String> = made.iter().map(|one| keys::session(&one.session)).collect();
    names.extend([keys::index(slot), keys::history(slot), keys::epoch(slot)]);
    for name in names {
        let dump: Value = redis::cmd("DUMP").arg(&name).query_async(connection).await.expect("DUMP");
        let Value::BulkString(dump) = dump else { continue };
        let until: i64 = redis::cmd("PEXPIRETIME").arg(&name).query_async(connection).await.expect("PEXPIRETIME");
        // A history is kept for a time from the moment of writing, so its instant is not compared.
        let until = if name == keys::history(slot) { 0 } else { until };
        found.insert(name.clone(), format!("{until} {dump:x?}"));
        redis::cmd("DEL").arg(&name).exec_async(connection).await.expect("DEL");
    }
    let queue = keys::expiry_queue(slot.bucket);
    let mut scores = Vec::new();
    for one in made {
        let id = one.session.key_text();
        let score: Option<f64> =
            redis::cmd("ZSCORE").arg(&queue).arg(&id).query_async(connection).await.expect("ZSCORE");
        scores.push(score);
        redis::cmd("ZREM").arg(&queue).arg(&id).exec_async(connection).await.expect("ZREM");
    }
    found.insert(queue, format!("{scores:?}"));
    redis::cmd("DEL").arg(keys::outbox(slot.bucket)).exec_async(connection).await.expect("DEL");
    found
}
