//! Creating a session.

use super::authenticate;
use super::device_bound;
use super::devices;
use super::inbound::Inbound;
use super::present::{self, Data, SessionView, TokenPair};
use super::rate;
use super::risk::Asking;
use super::runtime::Service;
use super::session_data;
use crate::adapters::dynamodb::devices::{Device, Sighting};
use crate::adapters::redis::scripts::{self, Claim, ClaimOn, Created, Limits};
use crate::core::application::{Application, Scope};
use crate::core::attributes::Attributes;
use crate::core::audit::Actor;
use crate::core::context::{ClientContext, Sighting as Seen};
use crate::core::crypto;
use crate::core::device::{DeviceType, TrustLevel};
use crate::core::device_tag::DeviceTag;
use crate::core::device_trust::{self, Evidence};
use crate::core::end_reason::EndReason;
use crate::core::fingerprint::Fingerprint;
use crate::core::id::{SessionId, UserId, UserSlot};
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::ledger::LedgerEntry;
use crate::core::legacy_session;
use crate::core::place::Place;
use crate::core::policy::{Effective, Timeouts};
use crate::core::privacy::Privacy;
use crate::core::record::{Header, KEY_BOUND, SessionRecord, State as RecordState};
use crate::core::risk::history::Entry;
use crate::core::session::{Liveness, liveness};
use crate::core::standing::Standing;
use crate::core::time::Timestamp;
use crate::core::user_agent;
use crate::error::{Asker, Error, Result};
use crate::limits::{DEVICE_REGISTRATION_SECONDS, USER_AGENT_BYTES_MAX};
use crate::random;
use serde::Serialize;
use serde_json::{Map, Value};

/// How often a session is put together: for the user's privacy settings, and for a device whose sessions end meanwhile.
const ADMISSIONS_MAX: usize = 3;

/// What an application says of the device.
#[derive(Debug, Clone, Default)]
pub struct DeviceInput {
    /// Its id.
    pub device_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its kind.
    pub device_type: Option<DeviceType>,
    /// Where it is, coarsely.
    pub place: Option<String>,
}

/// A validated request for a session.
pub struct CreateSession {
    /// Whose session.
    pub user_id: UserId,
    /// On what.
    pub device: DeviceInput,
    /// From where, as the application states it.
    pub client: ClientContext,
    /// Session data.
    pub data: Map<String, Value>,
    /// Override of the idle timeout.
    pub idle_timeout_seconds: Option<u64>,
    /// Override of the absolute timeout.
    pub absolute_timeout_seconds: Option<u64>,
    /// Authentication context class.
    pub acr: Option<String>,
    /// Authentication methods.
    pub amr: Vec<String>,
    /// When the user authenticated.
    pub auth_time: Option<Timestamp>,
    /// Thumbprint of the key that the session is bound to.
    pub dpop_jkt: Option<String>,
    /// What lets the creation happen once.
    pub once: Option<Once>,
}

/// What lets a creation happen once.
pub enum Once {
    /// `Idempotency-Key`, with the SHA-256 of the request body that it stands for.
    IdempotencyKey(String, [u8; 32]),
    /// The id of a session of another system, which the application has verified.
    LegacySession(String),
}

/// A created session with its tokens.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedSession {
    /// The session.
    pub session: SessionView,
    /// Its tokens.
    #[serde(flatten)]
    pub tokens: TokenPair,
    /// Sessions that ended to make room.
    pub evicted: Vec<String>,
    /// How the browser may bind the session to its device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_bound_session: Option<DeviceBoundSession>,
}

/// For the browser of a new session.
#[derive(Serialize)]
pub struct DeviceBoundSession {
    /// The value of the `Secure-Session-Registration` header that the application's own answer should carry.
    pub registration: String,
}

/// Creates a session, or repeats the answer of an earlier call with the same idempotency key, or within a minute with the
/// same legacy session.
pub async fn create_session(service: &Service, inbound: &Inbound, request: CreateSession) -> Result<CreatedSession> {
    rate::watch(service, inbound, create(service, inbound, request)).await
}

async fn create(service: &Service, inbound: &Inbound, request: CreateSession) -> Result<CreatedSession> {
    let now = inbound.now;
    let application = authenticate::application(service, inbound, Scope::SessionsCreate).await?;
    let (token_ring, pseudonyms, routing) = tokio::try_join!(
        service.keys.ring(Purpose::Token),
        service.keys.ring(Purpose::Pseudonym),
        service.keys.routing()
    )?;
    let (_, pseudonym_key) = pseudonyms.active(KeyUse::Pseudonym, now)?;
    let (mac_key_id, _) = token_ring.active(KeyUse::Mac, now)?;
    let slot = UserSlot::of(pseudonym_key, &application.group_id, &request.user_id);
    inbound.notes.set_subject(slot);
    let session = SessionId::mint(slot, random::bytes()?, routing);
    let operation = inbound.operation(&Actor::Application)?;
    let digests = request.client.digests(routing, &session, application.policy.finest_bits());
    let located = service.places.locate(&request.client);
    let sighted = request.client.sighting(routing, slot.tag);
    let claim = request.once.as_ref().map(|once| claim(&application, once, &request.user_id, pseudonym_key));
    let device_tag = request.device.device_id.as_deref().map(|id| DeviceTag::of(pseudonym_key, slot, id));
    refuse_impossible_timeouts(&application, &request, &sighting(&application, &request, None))?;
    let sealed = session_data::seal(service, session, 1, &request.data, now).await?.bytes;
    let key_bound = request.dpop_jkt.is_some();
    // The record is built as for a user who has not chosen; whose choice is another costs a second round trip. The
    // device's epoch may rise between reading it and the script; then the device is looked at once more.
    let defaults = application.policy.privacy_defaults.privacy();
    let mut privacy = defaults;
    for _ in 0..ADMISSIONS_MAX {
        let place = located.clone().filter(|_| privacy.location());
        let seen = Entry::of(sighted.permitted(privacy), place.as_ref(), true, now);
        let seen = Some(seen).filter(|seen| seen.sighting != Seen::default());
        let digests = digests.permitted(privacy);
        let sighting = sighting(&application, &request, place.as_ref()).permitted(privacy);
        // Boxed: the futures of the SDK are deep.
        let device = match &request.device.device_id {
            Some(device_id) => Some(Box::pin(devices::sighted(service, slot, device_id, &sighting, now)).await?),
            None => None,
        };
        let device = match device {
            Some(device) => Some(Box::pin(prove(service, slot, device, &application, &request, now)).await?),
            None => None,
        };
        let OnDevice { trust, epoch: device_epoch, rules } = on_device(&application, device.as_ref(), &sighting);
        let timeouts = timeouts(&rules, &request)?;
        let offers = rules.binding.device_bound_credentials;
        if rules.binding.require_key && !key_bound {
            return Err(Error::field("dpopJkt", "is required by the application's policy"));
        }
        let bits = rules.binding.bits();
        let fingerprint = Fingerprint::of(&request.client, routing, &session, bits).permitted(privacy);
        let mut record = SessionRecord {
            header: Header {
                state: RecordState::Active,
                mac_key_id,
                version: 1,
                revision: 1,
                epoch: 0,
                generation: 1,
                idle_timeout_seconds: timeouts.idle_seconds,
                grace_seconds: rules.grace_seconds(key_bound),
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
                trust,
                risk_score: 0,
                flags: privacy.record_flags() | if key_bound { KEY_BOUND } else { 0 },
                superseded_generation: 0,
                device_epoch,
            },
            sealed: sealed.clone(),
            attributes: attributes(&application, &request, device.as_ref(), &sighting, device_tag, privacy),
        };
        record.attributes.set_fingerprint(&fingerprint);
        record.attributes.place.clone_from(&place);
        let registration =
            device.as_ref().zip(device_tag).and_then(|(device, tag)| registration(slot, device, tag, now));
        let limits = Limits::of(&rules);
        let call = scripts::create(
            &session,
            slot,
            (&record, defaults),
            limits,
            registration.as_deref(),
            &operation,
            claim.as_ref(),
            seen.as_ref(),
            now,
        );
        let (actor, request_id) = (&Actor::Application, inbound.request_id.as_str());
        let (policy, client) = (&application.policy, &request.client);
        let asking = Asking { policy, client, actor, request_id, session, slot, now, active: false };
        return match scripts::created(slot.bucket, service.state.run(&call).await?)? {
            Created::Admitted { epoch: _, history, evicted } => {
                record_evictions(service, &record, &evicted, now).await;
                let record = Box::pin(asking.begin(service, record, &history)).await?;
                respond(service, session, &record, evicted, offers, now).await
            }
            Created::Replayed { session, evicted } => {
                replayed(service, Asking { session, ..asking }, evicted, offers).await
            }
            Created::KeyReused => Err(Error::IdempotencyKeyReused),
            Created::Exchanged => Err(Error::LegacySessionExchanged),
            Created::LimitReached => Err(Error::SessionLimitReached),
            Created::PrivacyDiffers(real) => {
                privacy = real;
                continue;
            }
            Created::DeviceChanged => continue,
        };
    }
    Err(Error::SessionChanged)
}

/// The session of an earlier call with the same claim.
async fn replayed(
    service: &Service,
    asking: Asking<'_>,
    evicted: Vec<SessionId>,
    offers_binding: bool,
) -> Result<CreatedSession> {
    let Asking { session, slot, now, .. } = asking;
    let read = scripts::read_with_history(&[session], slot);
    let (records, epoch, history) = scripts::read_with_history_reply(service.state.command(&read).await?)?;
    let record = records.into_iter().next().flatten().ok_or(Error::NotFound)?;
    // The call that evicted them may have lost its reply, and with it the list.
    record_evictions(service, &record, &evicted, now).await;
    match liveness(&record.header, epoch, now) {
        Liveness::Alive => {
            // The first call may have ended between creation and judgement.
            let record = Box::pin(asking.begin(service, record, &history)).await?;
            respond(service, session, &record, evicted, offers_binding, now).await
        }
        Liveness::Ended(reason) | Liveness::Lapsed(reason) => {
            Err(Error::SessionEnded { reason, asker: Asker::Application })
        }
    }
}

/// What a session begins on its device with.
struct OnDevice {
    trust: TrustLevel,
    epoch: u32,
    rules: Effective,
}

fn on_device(application: &Application, device: Option<&Device>, sighting: &Sighting) -> OnDevice {
    let trust =
        device.map_or(TrustLevel::New, |device| device_trust::of_session(&device.facts, sighting.jkt.as_deref()));
    let rules = application.policy.effective(kind(device, sighting), trust);
    OnDevice { trust, epoch: device.map_or(0, |device| device.epoch), rules }
}

/// The kind of a session's device: what is stated, what is recorded of it, what the user agent claims.
fn kind(device: Option<&Device>, sighting: &Sighting) -> Option<DeviceType> {
    match device {
        Some(device) => device.device_type,
        None => sighting.stated_type.or(sighting.parsed_type),
    }
}

fn timeouts(rules: &Effective, request: &CreateSession) -> Result<Timeouts> {
    rules.timeouts(request.idle_timeout_seconds, request.absolute_timeout_seconds).map_err(Error::InvalidRequest)
}

/// Overrides that no level of trust allows are refused before the device is looked at.
fn refuse_impossible_timeouts(application: &Application, request: &CreateSession, sighting: &Sighting) -> Result<()> {
    let of_level = |trust| timeouts(&application.policy.effective(kind(None, sighting), trust), request);
    match request.device.device_id {
        None => of_level(TrustLevel::New).map(drop),
        Some(_) => [TrustLevel::Trusted, TrustLevel::Known, TrustLevel::New]
            .map(of_level)
            .into_iter()
            .reduce(Result::or)
            .map_or(Ok(()), |outcome| outcome.map(drop)),
    }
}

/// What the request says of its device.
/// Where it is, when the application does not say, is where its address is.
fn sighting(application: &Application, request: &CreateSession, place: Option<&Place>) -> Sighting {
    let parsed = request.client.user_agent.as_deref().map(user_agent::parse).unwrap_or_default();
    Sighting {
        name: request.device.name.clone(),
        stated_type: request.device.device_type,
        parsed_type: parsed.device_type,
        place: request.device.place.clone().or_else(|| place.map(|place| place.name.clone())),
        address_prefix: request.client.address_prefix(),
        client: parsed.label,
        jkt: request.dpop_jkt.clone(),
        application_id: application.application_id.clone(),
        privacy: Privacy::default(),
    }
}

/// Makes a new device known when the authentication that the application states proves it. Once in a device's life this
/// is a second call.
async fn prove(
    service: &Service,
    slot: UserSlot,
    device: Device,
    application: &Application,
    request: &CreateSession,
    now: Timestamp,
) -> Result<Device> {
    let rules = application.policy.effective(device.device_type, device.facts.trust);
    let in_time = |at: Timestamp| now <= at.plus_seconds(rules.step_up_age_seconds);
    let stated = request.acr.is_some() || !request.amr.is_empty();
    // The thumbprint is what the application says: possession shows with the first proof.
    let evidence = Evidence { recent_authentication: stated && request.auth_time.is_some_and(in_time), jkt: None };
    match device_trust::on_create(&device.facts, evidence, now) {
        None => Ok(device),
        Some(proof) => {
            let risen = service.devices.set_trust(slot, &device, TrustLevel::Known, Some(proof), now).await?;
            Ok(risen.unwrap_or(device))
        }
    }
}

/// The id of the event that a device was registered, while that is news: the same each time, so that the audit keeps one.
fn registration(slot: UserSlot, device: &Device, tag: DeviceTag, now: Timestamp) -> Option<String> {
    let first_seen_at = device.facts.first_seen_at;
    let news = now < first_seen_at.plus_seconds(DEVICE_REGISTRATION_SECONDS);
    news.then(|| {
        let at = first_seen_at.millis().to_be_bytes();
        let digest = crypto::hash(&[b"device registered", slot.subject().as_bytes(), tag.bytes(), &at]);
        crypto::encode(&digest[..16])
    })
}

/// The answer is that of the first call: the family's first token, whatever has been refreshed since.
async fn respond(
    service: &Service,
    session: SessionId,
    record: &SessionRecord,
    evicted: Vec<SessionId>,
    offers_binding: bool,
    now: Timestamp,
) -> Result<CreatedSession> {
    let unbound = record.header.flags & KEY_BOUND == 0;
    let device_bound_session = match offers_binding && unbound {
        true => Some(DeviceBoundSession { registration: device_bound::offer(service, session, record).await? }),
        false => None,
    };
    let data = session_data::open(service, session, record).await?;
    Ok(CreatedSession {
        session: SessionView::new(session, record.clone(), Some(Data::Object(data))),
        tokens: present::tokens(service, session, record, 1, now).await?,
        evicted: evicted.iter().map(ToString::to_string).collect(),
        device_bound_session,
    })
}

/// Evictions are decided inside the script, so the ledger learns of them after Redis. Should the write fail, the
/// tombstone in Redis still holds.
async fn record_evictions(service: &Service, record: &SessionRecord, evicted: &[SessionId], now: Timestamp) {
    for session in evicted {
        let entry = LedgerEntry::Session {
            session: *session,
            reason: EndReason::Evicted,
            application_tag: record.header.application_tag,
        };
        if let Err(error) = service.ledger.record(&entry, now).await {
            tracing::warn!(%error, "eviction not in the ledger");
        }
    }
}

fn attributes(
    application: &Application,
    request: &CreateSession,
    device: Option<&Device>,
    sighting: &Sighting,
    device_tag: Option<DeviceTag>,
    privacy: Privacy,
) -> Attributes {
    let mut user_agent = request.client.user_agent.clone().filter(|_| privacy.fingerprinting());
    if let Some(agent) = &mut user_agent {
        agent.truncate(agent.floor_char_boundary(USER_AGENT_BYTES_MAX));
    }
    let recorded_name = device.and_then(|device| device.name.clone());
    Attributes {
        user_id: request.user_id.as_str().to_owned(),
        application_id: application.application_id.clone(),
        acr: request.acr.clone(),
        amr: request.amr.clone(),
        auth_time: request.auth_time,
        device_id: request.device.device_id.clone(),
        device_name: recorded_name.or_else(|| request.device.name.clone()),
        device_type: kind(device, sighting).map(|kind| kind.as_str().to_owned()),
        address_prefix: sighting.address_prefix.clone(),
        user_agent,
        jkt: request.dpop_jkt.clone(),
        device_tag,
        ..Attributes::default()
    }
}

/// An idempotency key, or a legacy session, belongs to one application and one user; itself it reaches no store.
fn claim(application: &Application, once: &Once, user: &UserId, secret: &crypto::SecretKey) -> Claim {
    let application_id = application.application_id.as_str();
    match once {
        Once::IdempotencyKey(key, body) => {
            let parts = [b"idempotency", application_id.as_bytes(), user.as_str().as_bytes(), key.as_bytes()];
            let name = crypto::mac(secret, &parts);
            let mut payload = [0; 16];
            payload.copy_from_slice(&body[..16]);
            Claim { name: crypto::encode(&name[..16]), on: ClaimOn::Payload(payload) }
        }
        Once::LegacySession(id) => {
            let name = legacy_session::digest(secret, application_id, user, id);
            Claim { name: crypto::encode(&name), on: ClaimOn::LegacySession }
        }
    }
}
