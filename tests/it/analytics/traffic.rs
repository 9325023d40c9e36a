//! Random traffic as scripts queue it, and plain counts over it that share no code with the service.

use integration_tests::audit::outbox;
use integration_tests::json;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::aio::MultiplexedConnection;
use shared::core::attributes::Attributes;
use shared::core::place::Place;
use time::macros::datetime;
use time::{Duration, OffsetDateTime, UtcOffset};

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) id: String,
    pub(crate) at: OffsetDateTime,
    pub(crate) kind: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) actor: &'static str,
    pub(crate) application: String,
    pub(crate) user: u32,
    pub(crate) session: u32,
    pub(crate) country: Option<&'static str>,
    pub(crate) device: Option<&'static str>,
    pub(crate) began: Option<OffsetDateTime>,
    /// Activities that an entry of them holds.
    pub(crate) activities: Vec<OffsetDateTime>,
}

/// When Vienna puts its clocks in 2026.
const SPRING: OffsetDateTime = datetime!(2026-03-29 01:00 UTC);

/// The offset of a zone at an instant of spring 2026.
pub(crate) fn offset(zone: &str, at: OffsetDateTime) -> UtcOffset {
    let (hours, minutes) = match zone {
        "UTC" => (0, 0),
        "Asia/Kathmandu" => (5, 45),
        "Europe/Vienna" => (if at < SPRING { 1 } else { 2 }, 0),
        other => panic!("no offset of {other}"),
    };
    UtcOffset::from_hms(hours, minutes, 0).expect("an offset")
}

/// Sessions of ten days around the change of clocks: created, refreshed, active and ended, some of them attacked.
pub(crate) fn traffic(seed: u64, application: &str, sessions: u32) -> Vec<Fact> {
    let mut random = StdRng::seed_from_u64(seed);
    let first = datetime!(2026-03-24 00:00 UTC);
    let mut facts = Vec::new();
    for session in 0..sessions {
        let user = random.random_range(0..sessions / 3 + 1);
        let began = first + Duration::milliseconds(random.random_range(0..9 * 24 * 3_600_000));
        let country = [None, Some("AT"), Some("NP"), Some("DE")][random.random_range(0..4)];
        let device = [None, Some("phone"), Some("desktop")][random.random_range(0..3)];
        let fact = |number: u32, at, kind| Fact {
            id: format!("{application}-{seed}-{session}-{number}"),
            at,
            kind,
            reason: "",
            actor: "application",
            application: application.to_owned(),
            user,
            session,
            country: None,
            device: None,
            began: None,
            activities: Vec::new(),
        };
        facts.push(Fact { country, device, ..fact(0, began, "session.created") });
        let mut at = began;
        for number in 1..random.random_range(1..6) {
            at += Duration::milliseconds(random.random_range(1..20 * 3_600_000));
            facts.push(match random.random_range(0..4) {
                0 => {
                    let activities = (0..random.random_range(1..4)).map(|n| at + Duration::seconds(n * 700)).collect();
                    Fact { activities, ..fact(number, at, "session.activity") }
                }
                1 => Fact { actor: "holder", ..fact(number, at, "session.risk_raised") },
                _ => Fact { actor: "holder", ..fact(number, at, "session.refreshed") },
            });
        }
        if random.random_bool(0.7) {
            at += Duration::milliseconds(random.random_range(1..40 * 3_600_000));
            let (reason, actor) =
                [("user", "holder"), ("idle", "service"), ("reuse", "holder")][random.random_range(0..3)];
            facts.push(Fact { reason, actor, country, device, began: Some(began), ..fact(90, at, "session.ended") });
        }
    }
    facts
}

fn millis(at: OffsetDateTime) -> i64 {
    (at.unix_timestamp_nanos() / 1_000_000) as i64
}

/// The text of a session's key, of 16 bytes.
fn key_text(session: u32) -> String {
    use base64::Engine;
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&session.to_be_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn user_tag(user: u32) -> String {
    use base64::Engine;
    let mut bytes = [0; 6];
    bytes[..4].copy_from_slice(&user.to_be_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn command(fact: &Fact) -> redis::Cmd {
    let bucket = (fact.user * 37 % 4096) as u16;
    let mut command = redis::cmd("XADD");
    command.arg(outbox(bucket)).arg("*").arg("i").arg(&fact.id).arg("t").arg(fact.kind);
    command.arg("s").arg(key_text(fact.session)).arg("u").arg(user_tag(fact.user)).arg("a").arg(&fact.application);
    if !fact.activities.is_empty() {
        let activities: Vec<_> =
            fact.activities.iter().map(|at| json!({ "n": "page.viewed", "at": millis(*at) })).collect();
        command.arg("y").arg(json!(activities).to_string());
        return command;
    }
    let common = json!({ "actor": fact.actor, "requestId": "test", "at": millis(fact.at) });
    command.arg("r").arg(fact.reason).arg("c").arg(common.to_string());
    let attributes = Attributes {
        device_type: fact.device.map(str::to_owned),
        place: fact.country.and_then(|country| Place::new(country, None, None, 50)),
        ..Attributes::default()
    };
    if fact.country.is_some() || fact.device.is_some() {
        command.arg("p").arg(attributes.encode());
    }
    if let Some(began) = fact.began {
        command.arg("b").arg(millis(began));
    }
    command
}

/// Queues facts as the scripts do.
pub(crate) async fn queue(redis: &mut MultiplexedConnection, facts: &[Fact]) {
    for batch in facts.chunks(500) {
        let mut pipeline = redis::pipe();
        for fact in batch {
            pipeline.add_command(command(fact)).ignore();
        }
        pipeline.exec_async(redis).await.expect("facts can be queued");
    }
}
