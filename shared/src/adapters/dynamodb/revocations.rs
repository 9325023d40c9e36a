//! The `revocations` table: the ledger of ends, which survives whatever Redis loses.
//!
//! | scope | entry | what |
//! |---|---|---|
//! | `b<hex3>` | `s#<session>#<application tag>`, `f#<session>#<application tag>#<asking tag>`, `u#<user tag>`, `d#<user tag>#<device tag>` | every end, for as long as what it ended could have lived |
//! | `b<hex3>` | `v#<user tag>` | privacy settings, for good |
//! | `b<hex3>` | `z#<user tag>` | the last erasure of a user, with its receipt, for longer than any backup |
//! | `erasing` | the user's pseudonym | erasures that are not complete |
//! | `pending` | `b<hex3>#…` | ends that Redis has not acknowledged |
//! | `stores` | an incarnation of Redis | this Redis has had the whole ledger applied |

use super::{Item, classify, n, number, s, text, unreadable};
use crate::core::crypto;
use crate::core::end_reason::EndReason;
use crate::core::erasure::Erasure;
use crate::core::id::{Bucket, SessionId, UserSlot};
use crate::core::ledger::{LedgerEntry, Recorded, Spared, Subject, Told, parse_sort_key};
use crate::core::privacy::Privacy;
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::{ERASURE_SECONDS, LEDGER_SECONDS};
use aws_sdk_dynamodb::Client;

const PENDING: &str = "pending";
const STORES: &str = "stores";
const ERASING: &str = "erasing";
/// Of what is kept for good: the year 9999.
const NEVER: i64 = 253_370_764_800;

/// The table.
#[derive(Clone)]
pub struct Revocations {
    client: Client,
    table: String,
}

/// What an environment must know before it serves from a Redis it has just connected to.
#[derive(Debug, Default)]
pub struct Standing {
    /// Ends that Redis has not acknowledged.
    pub pending: Vec<Recorded>,
    /// Whether this incarnation of Redis has had the whole ledger applied.
    pub caught_up: bool,
}

impl Revocations {
    /// Opens the table.
    pub fn new(client: Client, table: String) -> Self {
        Revocations { client, table }
    }

    /// Records an end. Called before Redis is touched.
    pub async fn record(&self, entry: &LedgerEntry, now: Timestamp) -> Result<()> {
        self.put(entry.bucket().to_string(), entry.sort_key(), entry, now).await
    }

    /// Marks an end that Redis did not acknowledge.
    pub async fn mark_pending(&self, entry: &LedgerEntry, now: Timestamp) -> Result<()> {
        self.put(PENDING.into(), pending_key(entry), entry, now).await
    }

    /// Removes the mark after Redis has acknowledged the end, unless it was set again meanwhile.
    pub async fn clear_pending(&self, recorded: &Recorded) -> Result<()> {
        let outcome = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("scope", s(PENDING))
            .key("entry", s(pending_key(&recorded.entry)))
            .condition_expression("#at = :at")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":at", n(recorded.at.millis()))
            .send()
            .await;
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(()),
            Err(error) => Err(classify(&error)),
        }
    }

    /// Pending ends, and whether the incarnation is known as caught up: two queries at once.
    pub async fn standing(&self, incarnation: &str, now: Timestamp) -> Result<Standing> {
        let (pending, store) = futures_util::future::join(self.pending(now), self.store(incarnation)).await;
        Ok(Standing { pending: pending?, caught_up: store? })
    }

    /// Ends that Redis has not acknowledged.
    pub async fn pending(&self, now: Timestamp) -> Result<Vec<Recorded>> {
        let items = self.query(PENDING).await?;
        self.read_all(items.iter().map(|item| (text(item, "entry").and_then(|entry| entry.split_once('#')), item)), now)
    }

    async fn store(&self, incarnation: &str) -> Result<bool> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("scope", s(STORES))
            .key("entry", s(incarnation))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(output.item.is_some())
    }

    /// Notes that the whole ledger has been applied to an incarnation of Redis.
    pub async fn mark_caught_up(&self, incarnation: &str, now: Timestamp) -> Result<()> {
        self.client
            .put_item()
            .table_name(&self.table)
            .item("scope", s(STORES))
            .item("entry", s(incarnation))
            .item("at", n(now.millis()))
            .item("expiresAt", n(now.plus_seconds(LEDGER_SECONDS).seconds()))
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(())
    }

    /// The whole ledger, in no order. Rare: after Redis restarted or failed over.
    pub async fn all(&self, now: Timestamp) -> Result<Vec<Recorded>> {
        let mut entries = Vec::new();
        let mut pages = self.client.scan().table_name(&self.table).consistent_read(true).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(&error))?;
            let of_buckets = page.items().iter().filter_map(|item| {
                let scope = text(item, "scope").filter(|scope| ![PENDING, STORES, ERASING].contains(scope))?;
                Some((text(item, "entry").map(|entry| (scope, entry)), item))
            });
            entries.extend(self.read_all(of_buckets, now)?);
        }
        Ok(entries)
    }

    /// Begins an erasure, or returns the one that has begun.
    pub async fn begin_erasure(&self, erasure: &Erasure) -> Result<Erasure> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("scope", s(ERASING))
            .item("entry", s(&erasure.subject))
            .item("step", n(erasure.step.number()))
            .item("erasure", s(written(erasure)?))
            .condition_expression("attribute_not_exists(entry)");
        match put.send().await {
            Ok(_) => Ok(erasure.clone()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                self.erasure(&erasure.subject).await?.ok_or_else(|| unreadable(&self.table))
            }
            Err(error) => Err(classify(&error)),
        }
    }

    /// The erasure of a user that is not complete.
    pub async fn erasure(&self, subject: &str) -> Result<Option<Erasure>> {
        self.erasure_at(ERASING, subject).await
    }

    /// The last complete erasure of a user.
    pub async fn completed_erasure(&self, slot: UserSlot) -> Result<Option<Erasure>> {
        let entry = LedgerEntry::Erased { slot, epoch: 0, privacy_version: 0 };
        self.erasure_at(&slot.bucket.to_string(), &entry.sort_key()).await
    }

    async fn erasure_at(&self, scope: &str, entry: &str) -> Result<Option<Erasure>> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("scope", s(scope))
            .key("entry", s(entry))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        let item = output.item.unwrap_or_default();
        text(&item, "erasure").map(|json| serde_json::from_str(json).map_err(|_| unreadable(&self.table))).transpose()
    }

    /// Every erasure that is not complete.
    pub async fn unfinished_erasures(&self) -> Result<Vec<Erasure>> {
        let items = self.query(ERASING).await?;
        items
            .iter()
            .map(|item| text(item, "erasure").and_then(|json| serde_json::from_str(json).ok()))
            .map(|erasure| erasure.ok_or_else(|| unreadable(&self.table)))
            .collect()
    }

    /// Writes an erasure after a step, if nobody else has gone on meanwhile. Whether that was so.
    pub async fn save_erasure(&self, erasure: &Erasure, before: usize) -> Result<bool> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("scope", s(ERASING))
            .key("entry", s(&erasure.subject))
            .update_expression("SET #step = :step, erasure = :erasure")
            .condition_expression("#step = :before")
            .expression_attribute_names("#step", "step")
            .expression_attribute_values(":step", n(erasure.step.number()))
            .expression_attribute_values(":erasure", s(written(erasure)?))
            .expression_attribute_values(":before", n(before));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(classify(&error)),
        }
    }

    /// Puts a complete erasure where restored stores are held to it, and ends the job.
    pub async fn complete_erasure(&self, slot: UserSlot, erasure: &Erasure, now: Timestamp) -> Result<()> {
        let entry = LedgerEntry::Erased { slot, epoch: erasure.epoch, privacy_version: erasure.privacy_version };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("scope", s(slot.bucket.to_string()))
            .item("entry", s(entry.sort_key()))
            .item("at", n(erasure.started_at))
            .item("epoch", n(erasure.epoch))
            .item("privacyVersion", n(erasure.privacy_version))
            .item("erasure", s(written(erasure)?))
            .item("expiresAt", n(now.plus_seconds(ERASURE_SECONDS).seconds()));
        put.send().await.map_err(|error| classify(&error))?;
        self.delete(ERASING, &erasure.subject).await
    }

    /// Forgets what the ledger keeps of the privacy settings of a user, up to a version.
    pub async fn forget_settings(&self, slot: UserSlot, version: u32) -> Result<()> {
        let told = Told::default();
        let entry = LedgerEntry::Privacy { slot, privacy: Privacy::default(), version, told };
        for (scope, name) in [(slot.bucket.to_string(), entry.sort_key()), (PENDING.to_owned(), pending_key(&entry))] {
            let delete = self
                .client
                .delete_item()
                .table_name(&self.table)
                .key("scope", s(scope))
                .key("entry", s(name))
                .condition_expression("attribute_not_exists(version) OR version <= :version")
                .expression_attribute_values(":version", n(version));
            match delete.send().await {
                Ok(_) => {}
                Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {}
                Err(error) => return Err(classify(&error)),
            }
        }
        Ok(())
    }

    async fn delete(&self, scope: &str, entry: &str) -> Result<()> {
        let delete = self.client.delete_item().table_name(&self.table).key("scope", s(scope)).key("entry", s(entry));
        delete.send().await.map(drop).map_err(|error| classify(&error))
    }

    /// What the ledger keeps of a bucket.
    pub async fn of_bucket(&self, bucket: Bucket, now: Timestamp) -> Result<Vec<Recorded>> {
        let scope = bucket.to_string();
        let items = self.query(&scope).await?;
        self.read_all(items.iter().map(|item| (text(item, "entry").map(|entry| (scope.as_str(), entry)), item)), now)
    }

    /// What has not expired. One entry that this release can not read fails them all: it may be the end of a session, and
    /// a store that never hears of it would serve that session. I-3, F-32.
    fn read_all<'a>(&self, items: impl Iterator<Item = Placed<'a>>, now: Timestamp) -> Result<Vec<Recorded>> {
        items
            .filter(|(_, item)| number::<i64>(item, "expiresAt").is_none_or(|at| at > now.seconds()))
            .map(|(place, item)| read(place, item).ok_or_else(|| unreadable(&self.table)))
            .collect()
    }

    async fn query(&self, scope: &str) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#scope = :scope")
            .expression_attribute_names("#scope", "scope")
            .expression_attribute_values(":scope", s(scope))
            .consistent_read(true)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            items.extend(page.map_err(|error| classify(&error))?.items.unwrap_or_default());
        }
        Ok(items)
    }

    async fn put(&self, scope: String, entry: String, what: &LedgerEntry, now: Timestamp) -> Result<()> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("scope", s(scope))
            .item("entry", s(entry))
            .item("at", n(now.millis()))
            .item("expiresAt", n(now.plus_seconds(LEDGER_SECONDS).seconds()));
        let put = match what {
            LedgerEntry::Erased { epoch, privacy_version, .. } => put
                .item("epoch", n(epoch))
                .item("privacyVersion", n(privacy_version))
                .item("expiresAt", n(now.plus_seconds(ERASURE_SECONDS).seconds()))
                .condition_expression("attribute_not_exists(epoch) OR epoch < :epoch")
                .expression_attribute_values(":epoch", n(epoch)),
            LedgerEntry::Privacy { privacy, version, told, .. } => put
                .item("privacy", n(privacy.bits()))
                .item("version", n(version))
                .item("applicationId", s(&told.application_id))
                .item("common", s(&told.common))
                .item("detail", s(&told.detail))
                .item("expiresAt", n(NEVER))
                .condition_expression("attribute_not_exists(version) OR version <= :version")
                .expression_attribute_values(":version", n(version)),
            LedgerEntry::Session { reason, application_tag, .. } => {
                put.item("reason", s(reason.as_str())).item("applicationTag", s(crypto::encode(application_tag)))
            }
            LedgerEntry::Family { .. } => put,
            LedgerEntry::User { epoch, spared, .. } => {
                // Of two concurrent revocations the later epoch stays.
                let put = put
                    .item("epoch", n(epoch))
                    .condition_expression("attribute_not_exists(epoch) OR epoch <= :epoch")
                    .expression_attribute_values(":epoch", n(epoch));
                match spared {
                    Some(spared) => {
                        put.item("spared", s(spared.session.to_string())).item("sparedFloor", n(spared.floor))
                    }
                    None => put,
                }
            }
            LedgerEntry::Device { epoch, reason, .. } => put
                .item("epoch", n(epoch))
                .item("reason", s(reason.as_str()))
                .condition_expression("attribute_not_exists(epoch) OR epoch <= :epoch")
                .expression_attribute_values(":epoch", n(epoch)),
        };
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(()),
            Err(error) => Err(classify(&error)),
        }
    }
}

fn written(erasure: &Erasure) -> Result<String> {
    serde_json::to_string(erasure).map_err(|error| Error::Internal(error.to_string()))
}

fn pending_key(entry: &LedgerEntry) -> String {
    format!("{}#{}", entry.bucket(), entry.sort_key())
}

/// Where an item lies, as bucket and entry, when that can be read, and the item.
type Placed<'a> = (Option<(&'a str, &'a str)>, &'a Item);

/// Reads an item. Expired ones are left out before, since DynamoDB deletes them late.
fn read(place: Option<(&str, &str)>, item: &Item) -> Option<Recorded> {
    let (bucket, entry) = place?;
    let bucket = Bucket::new(u16::from_str_radix(bucket.strip_prefix('b')?, 16).ok()?)?;
    let entry = match parse_sort_key(bucket, entry)? {
        Subject::Session(session) => LedgerEntry::Session {
            session,
            reason: text(item, "reason").and_then(EndReason::parse)?,
            application_tag: text(item, "applicationTag").and_then(crypto::decode)?,
        },
        Subject::Family { session, application_tag, asking_tag } => {
            LedgerEntry::Family { session, application_tag, asking_tag }
        }
        Subject::User(slot) => LedgerEntry::User {
            slot,
            epoch: number(item, "epoch")?,
            spared: match text(item, "spared") {
                Some(session) => {
                    Some(Spared { session: SessionId::parse(session)?, floor: number(item, "sparedFloor")? })
                }
                None => None,
            },
        },
        Subject::Erased(slot) => LedgerEntry::Erased {
            slot,
            epoch: number(item, "epoch")?,
            privacy_version: number(item, "privacyVersion")?,
        },
        Subject::Privacy(slot) => LedgerEntry::Privacy {
            slot,
            privacy: Privacy::from_bits(number(item, "privacy")?),
            version: number(item, "version")?,
            told: Told {
                application_id: text(item, "applicationId")?.to_owned(),
                common: text(item, "common")?.to_owned(),
                detail: text(item, "detail")?.to_owned(),
            },
        },
        Subject::Device(slot, device) => LedgerEntry::Device {
            slot,
            device,
            epoch: number(item, "epoch")?,
            reason: text(item, "reason").and_then(EndReason::parse)?,
        },
    };
    Some(Recorded { entry, at: Timestamp::from_millis(number(item, "at")?) })
}
