//! Erasing a person: a job of small steps, written down after each, that any environment can go on with.
//!
//! What has to be gone first is what would let the rest be collected again. The audit keeps its rows: what is personal in
//! them is sealed under the subject's key, and the key goes. The ledger keeps the pseudonym with the epoch, so that no
//! restored store brings the person back.

use super::catch_up;
use super::inbound::Inbound;
use super::privacy::Access;
use super::rate;
use super::runtime::Service;
use super::subject_keys::SubjectKeys;
use crate::adapters::aws::Aws;
use crate::adapters::dynamodb::deliveries::Deliveries;
use crate::adapters::dynamodb::subject_keys::SubjectKeyTable;
use crate::adapters::postgres::{Database, people};
use crate::adapters::redis::keys;
use crate::adapters::redis::scripts::{self, Operation};
use crate::clock;
use crate::config::{AwsConfig, ConfigError, Environment, PostgresConfig, Tables};
use crate::core::audit;
use crate::core::crypto;
use crate::core::erasure::{Erasure, Step};
use crate::core::id::{UserId, UserSlot};
use crate::core::keyring::Purpose;
use crate::core::ledger::LedgerEntry;
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::random;
use redis::FromRedisValue;
use serde::Serialize;
use std::collections::BTreeMap;

/// The stores of a person beside those that every request uses.
pub struct Archive {
    /// What receivers have still to hear.
    pub deliveries: Deliveries,
    /// Keys of personal audit fields.
    pub subject_keys: SubjectKeys,
    /// PostgreSQL.
    pub database: Database,
}

impl Archive {
    /// Opens them; nothing is connected yet.
    pub fn from_environment() -> std::result::Result<Self, ConfigError> {
        let aws = AwsConfig::from(&Environment)?;
        let tables = Tables::from(&Environment);
        let dynamodb = Aws::new(aws.clone()).dynamodb();
        Ok(Archive {
            deliveries: Deliveries::new(dynamodb.clone(), tables.deliveries),
            subject_keys: SubjectKeys::new(SubjectKeyTable::new(dynamodb, tables.subject_keys)),
            database: Database::new(PostgresConfig::from(&Environment)?, Some(aws)),
        })
    }
}

/// An erasure as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErasureView {
    erasure_id: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
}

impl ErasureView {
    fn of(erasure: Erasure) -> Self {
        let complete = erasure.receipt.is_some() && erasure.step == Step::Done;
        ErasureView {
            erasure_id: erasure.erasure_id,
            state: if complete { "complete" } else { "running" },
            completed_at: erasure.completed_at.filter(|_| complete).map(Timestamp::from_millis),
            counts: complete.then_some(erasure.counts),
            receipt: erasure.receipt.filter(|_| complete),
        }
    }

    /// Whether nothing is left to do.
    pub fn is_complete(&self) -> bool {
        self.receipt.is_some()
    }
}

/// Erases a user, or goes on with that, until it is done or `until` has come. Asking again after it is done gives the same
/// receipt, as long as nothing of the user has come since.
pub async fn erase_user(
    service: &Service,
    archive: &Archive,
    inbound: &Inbound,
    user: &UserId,
    until: Timestamp,
) -> Result<ErasureView> {
    rate::watch(service, inbound, erase(service, archive, inbound, user, until)).await
}

async fn erase(
    service: &Service,
    archive: &Archive,
    inbound: &Inbound,
    user: &UserId,
    until: Timestamp,
) -> Result<ErasureView> {
    let access = Access::of(service, inbound, user, true).await?;
    let slot = access.slot;
    let subject = slot.subject();
    if let Some(running) = service.ledger.erasure(&subject).await? {
        return Ok(ErasureView::of(go_on(service, archive, running, until).await?));
    }
    let settings = service.users.settings(slot).await?;
    if settings.legal_hold {
        return Err(Error::LegalHold);
    }
    if let Some(complete) = service.ledger.completed_erasure(slot).await?
        && is_untouched(service, slot, &complete, settings.version, inbound.now).await?
    {
        return Ok(ErasureView::of(complete));
    }
    let (epoch, _) = service.users.raise_epoch(slot, None, inbound.now).await?;
    let erasure = Erasure {
        erasure_id: format!("era_{}", crypto::encode(&random::bytes::<16>()?)),
        subject,
        started_at: inbound.now.millis(),
        epoch,
        privacy_version: settings.version,
        application_id: access.caller.application().application_id.clone(),
        common: audit::common(&access.caller.actor(), &inbound.request_id, inbound.now),
        step: Step::Count,
        counts: BTreeMap::new(),
        completed_at: None,
        receipt: None,
    };
    let erasure = service.ledger.begin_erasure(&erasure).await?;
    Ok(ErasureView::of(go_on(service, archive, erasure, until).await?))
}

/// Whether nothing of a user has come since an erasure.
async fn is_untouched(
    service: &Service,
    slot: UserSlot,
    complete: &Erasure,
    privacy_version: u32,
    now: Timestamp,
) -> Result<bool> {
    let epoch = service.users.current_epoch(slot).await?;
    let state = service.users.state(slot).await?;
    let devices = service.devices.list(slot, now).await?;
    let same = epoch == complete.epoch && privacy_version == complete.privacy_version;
    Ok(same && state.version == 0 && devices.is_empty() && held_in_redis(service, slot).await?.is_empty())
}

/// What Redis holds under the names of a user: kinds of keys with the number of what is in them.
async fn held_in_redis(service: &Service, slot: UserSlot) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    let number = |value| u64::from_redis_value(value).unwrap_or(0);
    let sessions = number(service.state.command(redis::cmd("ZCARD").arg(keys::index(slot))).await?);
    let history = number(service.state.command(redis::cmd("EXISTS").arg(keys::history(slot))).await?);
    for (name, count) in [("sessions", sessions), ("history", history)] {
        if count > 0 {
            found.insert(name.to_owned(), count);
        }
    }
    Ok(found)
}

/// Goes on with what others have begun. Returns whether something is left that time was short for; an erasure that a legal hold
/// has stopped waits for the end of the hold.
pub async fn finish_erasures(service: &Service, archive: &Archive, until: Timestamp) -> Result<bool> {
    for erasure in service.ledger.unfinished_erasures().await? {
        match go_on(service, archive, erasure, until).await {
            Ok(erasure) if erasure.step == Step::Done => {}
            Ok(_) => return Ok(true),
            Err(Error::LegalHold) => tracing::info!("an erasure waits for the end of a legal hold"),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Runs erasures again that a store restored from a backup may have undone: whatever belongs to the time before them goes,
/// and what came since stays. Returns how many there were.
pub async fn replay_erasures(service: &Service, archive: &Archive, now: Timestamp) -> Result<u64> {
    let mut replayed = 0;
    for recorded in service.ledger.all(now).await? {
        let LedgerEntry::Erased { slot, .. } = recorded.entry else { continue };
        if let Some(erasure) = service.ledger.completed_erasure(slot).await? {
            replay(service, archive, slot, &erasure).await?;
            replayed += 1;
        }
    }
    Ok(replayed)
}

async fn replay(service: &Service, archive: &Archive, slot: UserSlot, erasure: &Erasure) -> Result<()> {
    let at = erasure.started_at();
    erase_in_redis(service, slot, erasure).await?;
    service.devices.erase(slot, at, true).await?;
    // Its mark tells that this item has been through the erasure; without it, it is from before.
    if service.users.erased_at(slot).await?.is_none_or(|erased| erased < at) {
        service.users.erase(slot, at).await?;
        archive.subject_keys.forget(&erasure.subject).await?;
        people::delete_activities(&archive.database, &erasure.subject).await?;
    }
    Ok(())
}

/// Does one step after another. Of two that do the same, one writes it down, and the other reads on.
async fn go_on(service: &Service, archive: &Archive, mut erasure: Erasure, until: Timestamp) -> Result<Erasure> {
    let slot = UserSlot::of_subject(&erasure.subject)
        .ok_or_else(|| Error::unavailable(Dependency::DynamoDb, "an erasure of another release"))?;
    while erasure.step != Step::Done {
        let now = clock::now();
        if now >= until {
            break;
        }
        let before = erasure.step;
        // The law may have asked for what is left since the job began. The job stays where it is.
        if before.destroys() && service.users.settings(slot).await?.legal_hold {
            return Err(Error::LegalHold);
        }
        // Boxed: the futures of the SDK are deep.
        Box::pin(work(service, archive, slot, &mut erasure, now)).await?;
        erasure.step = before.next();
        if erasure.step == Step::Done {
            service.ledger.complete_erasure(slot, &erasure, now).await?;
        } else if !service.ledger.save_erasure(&erasure, before.number()).await? {
            match service.ledger.erasure(&erasure.subject).await? {
                Some(further) => erasure = further,
                None => match service.ledger.completed_erasure(slot).await? {
                    Some(complete) if complete.erasure_id == erasure.erasure_id => return Ok(complete),
                    Some(_) | None => return Err(Error::SessionChanged),
                },
            }
        }
    }
    Ok(erasure)
}

async fn work(
    service: &Service,
    archive: &Archive,
    slot: UserSlot,
    erasure: &mut Erasure,
    now: Timestamp,
) -> Result<()> {
    let at = erasure.started_at();
    match erasure.step {
        Step::Count => erasure.counts = held(service, archive, slot, at).await?,
        Step::Redis => {
            let Erasure { epoch, privacy_version, .. } = *erasure;
            service.ledger.record(&LedgerEntry::Erased { slot, epoch, privacy_version }, now).await?;
            service.ledger.forget_settings(slot, privacy_version).await?;
            erase_in_redis(service, slot, erasure).await?;
        }
        Step::Devices => drop(service.devices.erase(slot, at, true).await?),
        Step::Deliveries => drop(archive.deliveries.erase(&erasure.subject, at, true).await?),
        Step::Postgres => {
            people::wait_for_drainers(&archive.database, slot.bucket.chain_group()).await?;
            people::delete_activities(&archive.database, &erasure.subject).await?;
        }
        Step::Key => archive.subject_keys.forget(&erasure.subject).await?,
        Step::User => service.users.erase(slot, at).await?,
        Step::Receipt => {
            let ring = service.keys.ring(Purpose::Token).await?;
            let receipt = erasure.sign(&ring.signing_key(now)?, &service.issuer, now);
            erasure.receipt = Some(receipt.ok_or_else(|| Error::Internal("signing failed".into()))?);
            erasure.completed_at = Some(now.millis());
        }
        Step::Tell => {
            let detail = format!("{},{}", erasure.erasure_id, erasure.receipt.as_deref().unwrap_or_default());
            let operation = operation_of(erasure, b"erased");
            let application_id = &erasure.application_id;
            let call = scripts::note_detail(slot, "user.erased", "", &detail, application_id, &operation);
            service.state.run(&call).await?;
        }
        Step::Done => {}
    }
    Ok(())
}

/// Counts by kind what there is of a user.
async fn held(service: &Service, archive: &Archive, slot: UserSlot, at: Timestamp) -> Result<BTreeMap<String, u64>> {
    let subject = slot.subject();
    let mut counts = held_in_redis(service, slot).await?;
    let (sealed, activities) = people::held(&archive.database, &subject).await?;
    let state = service.users.state(slot).await?;
    let settings = service.users.settings(slot).await?;
    for (name, count) in [
        ("devices", service.devices.erase(slot, at, false).await?),
        ("deliveries", archive.deliveries.erase(&subject, at, false).await?),
        ("auditEvents", sealed),
        ("activities", activities),
        ("state", u64::from(state.version > 0)),
        ("privacySettings", u64::from(settings.version > 0)),
    ] {
        counts.insert(name.to_owned(), count);
    }
    counts.entry("sessions".to_owned()).or_insert(0);
    Ok(counts)
}

async fn erase_in_redis(service: &Service, slot: UserSlot, erasure: &Erasure) -> Result<()> {
    let Erasure { epoch, privacy_version, .. } = *erasure;
    let entry = LedgerEntry::Erased { slot, epoch, privacy_version };
    let now = clock::now();
    let operation = Operation { common: erasure.common.clone(), ..catch_up::operation_of(&entry, now) };
    let call = scripts::erase_user(slot, epoch, privacy_version, &erasure.application_id, &operation, now);
    service.state.run(&call).await.map(drop)
}

/// The same operation each time, so that the audit has its events once.
fn operation_of(erasure: &Erasure, what: &[u8]) -> Operation {
    let digest = crypto::hash(&[b"erasure", what, erasure.erasure_id.as_bytes()]);
    let mut mark = [0; 8];
    mark.copy_from_slice(&digest[..8]);
    Operation { event_id: crypto::encode(&digest[..16]), mark, common: erasure.common.clone() }
}
