//! What stores hold.

use shared::core::analytics::distinct::Distinct;
use shared::core::analytics::sample::{self, Samples};
use shared::core::analytics::spread::Spread;
use shared::core::application::Application;
use shared::core::attributes::Attributes;
use shared::core::audit::{self, Actor, AuditEvent, GENESIS, Times};
use shared::core::audit_anchor::{Anchor, CHAINS, Draft, Head};
use shared::core::audit_personal::{self, Personal};
use shared::core::context::Sighting;
use shared::core::crypto::{self, SecretKey};
use shared::core::device::TrustLevel;
use shared::core::device_tag::DeviceTag;
use shared::core::end_reason::EndReason;
use shared::core::envelope::{self, Slot};
use shared::core::erasure::{self, Erasure};
use shared::core::family::{Family, SharedScopes};
use shared::core::fingerprint::Fingerprint;
use shared::core::id::{ApplicationId, Bucket, SessionId, UserSlot, UserTag};
use shared::core::keyring::{KeyUse, Ring, RingKey};
use shared::core::ledger::{LedgerEntry, parse_sort_key};
use shared::core::notice::Notice;
use shared::core::place::Place;
use shared::core::record::{Header, SHARED, SessionRecord, State};
use shared::core::risk::history::Entry;
use shared::core::risk::{History, Note, Signals, Verdict};
use shared::core::sealed_document;
use shared::core::standing::Standing;
use shared::core::time::Timestamp;
use shared::core::{activity, privacy::Privacy};

use super::{Format, Guard, Later, Read, signed, text};

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

pub fn key() -> SecretKey {
    SecretKey::new([7; 32])
}

pub fn session() -> SessionId {
    SessionId::from_parts(Bucket::new(0x2a5).expect("in range"), *b"sixteen bytes id")
}

pub fn slot() -> UserSlot {
    UserSlot { bucket: session().bucket(), tag: UserTag::from_bytes(*b"usertg") }
}

pub fn attributes() -> Attributes {
    let fingerprint = [1, 24, 48].into_iter().chain(*b"network!").chain([0, 120, 3, 0, 9]).collect();
    Attributes {
        user_id: "ada".into(),
        application_id: "demo".into(),
        acr: Some("urn:example:silver".into()),
        amr: vec!["pwd".into(), "otp".into()],
        auth_time: Some(at(-5)),
        device_id: Some("phone-1".into()),
        device_name: Some("Ada's phone".into()),
        device_type: Some("phone".into()),
        address_prefix: Some("203.0.113.0/24".into()),
        user_agent: Some("Mozilla/5.0".into()),
        jkt: Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into()),
        seen: Some(fingerprint),
        risk: Some(Note { verdict: Verdict::StepUp, reasons: Signals::from_bits(5) }),
        place: Place::new("AT", Some("Linz"), None, 100),
        device_tag: Some(DeviceTag::from_bytes(*b"device-A")),
        device_key: Some([9; 64]),
        unknown: Vec::new(),
    }
}

fn header(state: State) -> Header {
    Header {
        state,
        mac_key_id: 3,
        version: 4,
        revision: 17,
        epoch: 2,
        generation: 6,
        idle_timeout_seconds: 1800,
        grace_seconds: 10,
        created_at: at(0),
        last_activity_at: at(60),
        absolute_expires_at: at(43_200),
        rotated_at: at(50),
        ended_at: if state == State::Active { Timestamp::from_millis(0) } else { at(70) },
        last_operation: *b"operate!",
        user_tag: slot().tag,
        application_tag: *b"own-app-",
        address: *b"address!",
        device: *b"device-d",
        standing: Standing::StepUp,
        trust: TrustLevel::Known,
        risk_score: 40,
        flags: SHARED,
        superseded_generation: 5,
        device_epoch: 8,
    }
}

fn envelope_slot() -> Slot {
    Slot { session: session(), version: 4 }
}

fn read<T: std::fmt::Debug>(value: T, again: Option<Vec<u8>>) -> Read {
    Read { says: format!("{value:#?}"), again }
}

fn record(bytes: &[u8]) -> Option<Read> {
    let record = SessionRecord::decode(bytes).ok()?;
    let again = record.encode();
    Some(read(record, Some(again)))
}

fn opened(plaintext: Option<Vec<u8>>) -> Option<Read> {
    plaintext.map(|plaintext| Read { says: String::from_utf8_lossy(&plaintext).into_owned(), again: None })
}

/// One kind of ledger entry each: what a sort key names.
fn ledger_key(kind: usize) -> Vec<u8> {
    let (session, application_tag, asking_tag, slot) = (session(), *b"own-app-", *b"other-ap", slot());
    let entries = [
        LedgerEntry::Session { session, reason: EndReason::Admin, application_tag },
        LedgerEntry::Family { session, application_tag, asking_tag },
        LedgerEntry::User { slot, epoch: 3, spared: None },
        LedgerEntry::Erased { slot, epoch: 3, privacy_version: 1 },
        LedgerEntry::Privacy { slot, privacy: Privacy::from_bits(5), version: 2, told: Default::default() },
        LedgerEntry::Device { slot, device: DeviceTag::from_bytes(*b"device-A"), epoch: 9, reason: EndReason::Admin },
    ];
    entries[kind].sort_key().into_bytes()
}

fn read_ledger_key(bytes: &[u8]) -> Option<Read> {
    let subject = parse_sort_key(session().bucket(), text(bytes)?)?;
    Some(read(subject, None))
}

pub fn event() -> AuditEvent {
    AuditEvent {
        event_id: "ZXZlbnQgb2YgZ29sZCEhIQ".into(),
        occurred_at: at(0),
        event_type: "session.created".into(),
        application_id: "demo".into(),
        subject: slot().subject(),
        session_id: session().to_string(),
        actor: "application".into(),
        reason: String::new(),
        request_id: "request-1".into(),
        detail: "detail".into(),
        sealed: b"sealed".to_vec(),
    }
}

/// The row's hash at its place, which is all that a chain hands on.
fn chain_hash() -> Vec<u8> {
    let times = Times { queued_at: at(1), recorded_at: at(2) };
    let hashes = [
        event().chain_hash(&GENESIS, 1, Some(times)),
        event().chain_hash(&GENESIS, 1, None),
        AuditEvent { detail: String::new(), sealed: Vec::new(), ..event() }.chain_hash(&[5; 32], 9, Some(times)),
    ];
    hashes.concat()
}

/// Hashes are not read, they are made again: bytes that differ are another chain.
fn read_chain_hash(bytes: &[u8]) -> Option<Read> {
    (bytes == chain_hash()).then(|| read(event(), Some(chain_hash())))
}

fn anchor() -> Vec<u8> {
    let head = |number: i64| Head { sequence: number, hash: [u8::try_from(number).expect("small"); 32] };
    let heads = (0..i64::try_from(CHAINS).expect("small")).map(head).collect();
    let draft = Draft::new("stack", None, heads, at(0)).expect("64 chains");
    draft.signed(b"signature".to_vec()).encode().into_bytes()
}

fn read_anchor(bytes: &[u8]) -> Option<Read> {
    let anchor = Anchor::decode(bytes)?;
    Some(read((anchor.digest(), anchor.signed_at()), Some(anchor.encode().into_bytes())))
}

fn samples() -> Vec<u8> {
    let mut samples = Samples::default();
    for millis in [1.0, 2.5, 40.0] {
        samples.record(at(0), "demo", "get-session", millis, 200);
    }
    samples.take().into_bytes()
}

fn read_samples(bytes: &[u8]) -> Option<Read> {
    let told = |sample: &sample::Sample| {
        let counted = (sample.millis.count(), sample.answers);
        format!("{} {} {} {counted:?}", sample.minute, sample.application, sample.operation)
    };
    let samples = sample::parse(text(bytes)?)?;
    Some(Read { says: samples.iter().map(told).collect::<Vec<_>>().join("\n"), again: None })
}

fn spread() -> Vec<u8> {
    let mut spread = Spread::default();
    (1..=100).for_each(|value| spread.insert(f64::from(value)));
    spread.stored()
}

fn distinct() -> Vec<u8> {
    let mut distinct = Distinct::new().expect("a set");
    (0..100_u64).for_each(|member| distinct.insert(member.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    distinct.stored()
}

pub const APPLICATION: &str = r#"{"applicationId":"demo","groupId":"demo","name":"Demo","scopes":["sessions:read"],
    "status":"active","policy":{},"keys":[{"sha256":"00","expiresAt":null}],"createdAt":1790000000000,"version":1}"#;

/// Every member that an application record can have, none as it is by default.
pub const APPLICATION_WITH_EVERYTHING: &str = r#"{"applicationId":"demo","groupId":"shop","name":"Demo",
    "scopes":["sessions:create","sessions:read","sessions:write","users:manage","devices:manage","analytics:read",
        "audit:read","privacy:manage"],
    "status":"disabled",
    "policy":{"idleTimeoutSeconds":900,"idleTimeoutSecondsMax":3600,"absoluteTimeoutSeconds":7200,
        "absoluteTimeoutSecondsMax":14400,"refreshGraceSeconds":5,"sessionLimit":{"max":3,"onLimit":"evict_oldest"},
        "stepUpAgeSeconds":120,
        "binding":{"ip":"prefix","ipv4PrefixBits":20,"ipv6PrefixBits":48,"requireKey":true,"requireNonce":true,
            "deviceBoundCredentials":true},
        "risk":{"mode":"shadow","stepUpAt":30,"quarantineAt":60,"endAt":90},
        "rateLimits":{"applicationPerMinute":6000,"holderPerMinute":60,"addressPerMinute":30,"unknownPerMinute":10},
        "privacyDefaults":{"activityTracking":false,"location":false,"fingerprinting":true,"sharing":false},
        "retention":{"auditMonths":3,"activityDays":10,"reportMonths":3},
        "deviceTypes":{"phone":{"idleTimeoutSeconds":600,"sessionLimit":{"max":1,"onLimit":"reject"},
            "binding":{"ip":"exact"}}},
        "trustLevels":{"trusted":{"idleTimeoutSecondsMax":7200,"absoluteTimeoutSeconds":3600,
            "absoluteTimeoutSecondsMax":7200,"refreshGraceSeconds":10,"stepUpAgeSeconds":600,
            "risk":{"mode":"enforce","endAt":95}}}},
    "keys":[{"sha256":"00","expiresAt":1790000000000},{"sha256":"01","expiresAt":null}],
    "receivers":[{"receiverId":"hook","url":"https://receiver.example/hook","kind":"webhook",
            "events":["session.ended","alert.fired"],"salt":"AgICAgICAgICAgICAgICAg","createdAt":1790000000000},
        {"receiverId":"caep","url":"https://receiver.example/caep","kind":"ssf","events":["user.revoked"],
            "audience":"https://receiver.example","salt":"AwMDAwMDAwMDAwMDAwMDAw","createdAt":1790000000000}],
    "createdAt":1790000000000,"version":7}"#;

fn written(application: &str) -> Vec<u8> {
    let application: Application = serde_json::from_str(application).expect("an application");
    serde_json::to_vec(&application).expect("JSON")
}

/// An erasure that waits for its receipt.
pub fn erasure() -> Erasure {
    Erasure {
        erasure_id: "era_CQkJCQkJCQkJCQkJCQkJCQ".into(),
        subject: slot().subject(),
        started_at: at(80).millis(),
        epoch: 3,
        privacy_version: 2,
        application_id: "demo".into(),
        common: audit::common(&Actor::Service, "request-1", at(80)),
        step: erasure::Step::Receipt,
        counts: [("devices", 2), ("sessions", 4)].map(|(name, count)| (name.to_owned(), count)).into(),
        completed_at: None,
        receipt: None,
    }
}

/// The same when it is over.
pub fn complete_erasure() -> Erasure {
    Erasure {
        step: erasure::Step::Done,
        completed_at: Some(at(90).millis()),
        receipt: Some("header.claims.signature".into()),
        ..erasure()
    }
}

/// Keys of each use, as KMS seals them.
fn ring() -> Vec<u8> {
    use KeyUse::{Mac, Pseudonym, Seal, SealAudit, SealDocument, Sign};
    let uses = [Sign, Mac, Seal, SealDocument, SealAudit, Pseudonym];
    let keys = (1..).zip(uses).map(|(id, key_use)| RingKey::new(id, key_use, at(id.into()), &[id; 32]));
    serde_json::to_vec(&Ring { keys: keys.collect() }).expect("JSON")
}

fn read_ring(bytes: &[u8]) -> Option<Read> {
    let ring: Ring = serde_json::from_slice(bytes).ok()?;
    let told = |key: &RingKey| Some(format!("{key:?}: {}", crypto::hex(&key.secret()?)));
    let says: Option<Vec<String>> = ring.keys.iter().map(told).collect();
    Some(Read { says: says?.join("\n"), again: serde_json::to_vec(&ring).ok() })
}

/// Reads JSON that is written so again.
macro_rules! document {
    ($of:ty) => {
        |bytes| {
            let value: $of = serde_json::from_slice(bytes).ok()?;
            let again = serde_json::to_vec(&value).ok()?;
            Some(read(value, Some(again)))
        }
    };
}

pub fn formats() -> Vec<Format> {
    let open = Guard::Open;
    vec![
        Format {
            name: "session-record",
            guard: open,
            sample: || {
                let record = SessionRecord {
                    header: header(State::Active),
                    attributes: attributes(),
                    sealed: b"sealed".to_vec(),
                };
                record.encode()
            },
            read: record,
            later: &[Later::Version(0)],
        },
        Format {
            name: "session-tombstone",
            guard: open,
            sample: || {
                let header = header(State::Ended(EndReason::Reuse));
                SessionRecord { header, attributes: Attributes::default(), sealed: Vec::new() }.encode()
            },
            read: record,
            later: &[Later::Version(0), Later::Version(1), Later::Version(2)],
        },
        Format {
            name: "attributes",
            guard: open,
            sample: || attributes().encode(),
            read: |bytes| {
                let attributes = Attributes::decode(bytes)?;
                let again = attributes.encode();
                Some(read(attributes, Some(again)))
            },
            later: &[Later::Keeps(&[200, 0, 3, 1, 2, 3])],
        },
        Format {
            name: "family",
            guard: open,
            sample: || {
                let family = Family {
                    mac_key_id: 3,
                    scopes: SharedScopes::all(),
                    first_generation: 18,
                    generation: 20,
                    grace_seconds: 10,
                    created_at: at(1),
                    rotated_at: at(2),
                    last_operation: *b"operate!",
                    address: *b"address!",
                    device: *b"device-d",
                    application_id: ApplicationId::parse("shop").expect("an application id"),
                };
                family.encode()
            },
            read: |bytes| {
                let family = Family::decode(bytes).ok()?;
                let again = family.encode();
                Some(read(family, Some(again)))
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "fingerprint",
            guard: open,
            sample: || attributes().seen.expect("one"),
            read: |bytes| {
                let fingerprint = Fingerprint::decode(bytes)?;
                let again = fingerprint.encode();
                Some(read(fingerprint, Some(again)))
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "history",
            guard: open,
            sample: || {
                let sighting = Sighting { network: *b"networ", device: *b"device" };
                let entry = Entry { first: 1, last: 2, run: 3, created: 4, sighting, place: *b"AT\0\x01\0\x02" };
                History { replayed: 7, entries: vec![entry] }.encode()
            },
            // A history of another version counts as none, and is not written over by the script that meets it.
            read: |bytes| {
                let history = History::decode(bytes);
                let again = history.encode();
                (bytes.first() == again.first()).then(|| read(history, Some(again)))
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "risk-note",
            guard: open,
            sample: || Note { verdict: Verdict::Quarantine, reasons: Signals::from_bits(3) }.encode().to_vec(),
            read: |bytes| {
                let note = Note::decode(bytes)?;
                Some(read(note, Some(note.encode().to_vec())))
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "place",
            guard: open,
            sample: || attributes().place.expect("one").encode(),
            read: |bytes| {
                let place = Place::decode(bytes)?;
                let again = place.encode();
                Some(read(place, Some(again)))
            },
            later: &[],
        },
        Format {
            name: "session-data",
            guard: Guard::Genuine,
            sample: || envelope::seal(1, &key(), [2; 16], envelope_slot(), br#"{"cart":[1,2]}"#).expect("seals"),
            read: |bytes| {
                // Whoever opens looks for the key by its id.
                (envelope::key_id(bytes) == Ok(1)).then_some(())?;
                opened(envelope::open(&key(), envelope_slot(), bytes).ok())
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "user-state",
            guard: Guard::Genuine,
            sample: || {
                let place = sealed_document::Place::User(slot());
                sealed_document::seal(1, &key(), [2; 16], place, 4, br#"{"theme":"dark"}"#).expect("seals")
            },
            read: |bytes| {
                (envelope::key_id(bytes) == Ok(1)).then_some(())?;
                opened(sealed_document::open(&key(), sealed_document::Place::User(slot()), 4, bytes).ok())
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "device-data",
            guard: Guard::Genuine,
            sample: || {
                let place = sealed_document::Place::Device(slot(), DeviceTag::from_bytes(*b"device-A"));
                sealed_document::seal(1, &key(), [2; 16], place, 4, br#"{"push":"on"}"#).expect("seals")
            },
            read: |bytes| {
                (envelope::key_id(bytes) == Ok(1)).then_some(())?;
                let place = sealed_document::Place::Device(slot(), DeviceTag::from_bytes(*b"device-A"));
                opened(sealed_document::open(&key(), place, 4, bytes).ok())
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "audit-personal",
            guard: Guard::Genuine,
            sample: || {
                let personal = Personal::of(&attributes());
                personal.seal(&key(), [2; 16], &slot().subject(), "event").expect("seals")
            },
            read: |bytes| {
                (envelope::key_id(bytes) == Ok(0)).then_some(())?;
                Some(read(Personal::open(&key(), &slot().subject(), "event", bytes).ok()?, None))
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "subject-key",
            guard: Guard::Genuine,
            sample: || {
                let subject = slot().subject();
                audit_personal::wrap_key(1, &key(), [2; 16], &subject, &SecretKey::new([8; 32])).expect("wraps")
            },
            read: |bytes| {
                (envelope::key_id(bytes) == Ok(1)).then_some(())?;
                let key = audit_personal::unwrap_key(&key(), &slot().subject(), bytes).ok()?;
                Some(read(key == SecretKey::new([8; 32]), None))
            },
            later: &[Later::Version(0)],
        },
        Format {
            name: "activity-properties",
            guard: Guard::Genuine,
            sample: || {
                let properties = serde_json::from_str(r#"{"page":"start"}"#).expect("an object");
                activity::seal(&key(), [2; 16], &slot().subject(), "activity", &properties).expect("seals")
            },
            read: |bytes| {
                (envelope::key_id(bytes) == Ok(0)).then_some(())?;
                Some(read(activity::open(&key(), &slot().subject(), "activity", bytes).ok()?, None))
            },
            later: &[Later::Version(0)],
        },
        Format { name: "audit-chain-hash", guard: open, sample: chain_hash, read: read_chain_hash, later: &[] },
        Format { name: "audit-anchor", guard: open, sample: anchor, read: read_anchor, later: &[] },
        Format { name: "samples", guard: open, sample: samples, read: read_samples, later: &[] },
        Format {
            name: "spread",
            guard: open,
            sample: spread,
            read: |bytes| {
                let mut spread = Spread::default();
                spread.merge(bytes).then(|| read((spread.count(), spread.quantile(0.5)), None))
            },
            later: &[],
        },
        Format {
            name: "distinct",
            guard: open,
            sample: distinct,
            read: |bytes| {
                let mut distinct = Distinct::new()?;
                distinct.merge(bytes).then(|| read(distinct.count(), None))
            },
            later: &[],
        },
        Format {
            name: "application",
            guard: open,
            sample: || written(APPLICATION),
            read: document!(Application),
            later: &[],
        },
        Format {
            name: "application-with-everything",
            guard: open,
            sample: || written(APPLICATION_WITH_EVERYTHING),
            read: document!(Application),
            later: &[],
        },
        Format { name: "key-ring", guard: open, sample: ring, read: read_ring, later: &[] },
        Format {
            name: "erasure",
            guard: open,
            sample: || serde_json::to_vec(&erasure()).expect("JSON"),
            read: document!(Erasure),
            later: &[],
        },
        Format {
            name: "erasure-complete",
            guard: open,
            sample: || serde_json::to_vec(&complete_erasure()).expect("JSON"),
            read: document!(Erasure),
            later: &[],
        },
        Format {
            name: "notice-of-alert",
            guard: open,
            sample: || serde_json::to_vec(&signed::alert()).expect("JSON"),
            read: document!(Notice),
            later: &[],
        },
        Format { name: "ledger-session", guard: open, sample: || ledger_key(0), read: read_ledger_key, later: &[] },
        Format { name: "ledger-family", guard: open, sample: || ledger_key(1), read: read_ledger_key, later: &[] },
        Format { name: "ledger-user", guard: open, sample: || ledger_key(2), read: read_ledger_key, later: &[] },
        Format { name: "ledger-erased", guard: open, sample: || ledger_key(3), read: read_ledger_key, later: &[] },
        Format { name: "ledger-privacy", guard: open, sample: || ledger_key(4), read: read_ledger_key, later: &[] },
        Format { name: "ledger-device", guard: open, sample: || ledger_key(5), read: read_ledger_key, later: &[] },
    ]
}
