//! The keys of subjects' personal audit fields: wrapped under the `audit` ring in DynamoDB, never kept in memory beyond
//! one run or request, so that a forgotten key is forgotten everywhere at once.

use super::key_store::{KeyStore, OpenRing};
use crate::adapters::dynamodb::subject_keys::SubjectKeyTable;
use crate::clock;
use crate::core::audit_personal;
use crate::core::crypto::SecretKey;
use crate::core::envelope;
use crate::core::keyring::{KeyUse, Purpose};
use crate::error::{Dependency, Error, Result};
use crate::limits::SUBJECT_KEYS_PER_RUN;
use crate::random;
use std::collections::{BTreeSet, HashMap};

/// How often a race about fresh keys is settled by reading again.
const ATTEMPTS: usize = 5;

/// Keys by subject.
pub type Keys = HashMap<String, SecretKey>;

/// The keys of subjects.
#[derive(Clone)]
pub struct SubjectKeys {
    table: SubjectKeyTable,
}

impl SubjectKeys {
    /// Over this table.
    pub fn new(table: SubjectKeyTable) -> Self {
        SubjectKeys { table }
    }

    /// The keys of those subjects that have one; of the others there is nothing to open.
    pub async fn for_reading(&self, keys: &KeyStore, subjects: &BTreeSet<&str>) -> Result<Keys> {
        if subjects.is_empty() {
            return Ok(Keys::new());
        }
        let ring = keys.ring(Purpose::Audit).await?;
        let subjects: Vec<&str> = subjects.iter().copied().collect();
        Box::pin(self.load(&ring, &subjects)).await
    }

    /// A key for each of the subjects in `found`, made for those that have none. Two callers get the same keys. A run
    /// that keeps `found` asks for each subject once; what it seals for a person who is erased meanwhile opens nowhere.
    pub async fn for_writing(&self, keys: &KeyStore, subjects: &BTreeSet<&str>, found: &mut Keys) -> Result<()> {
        if found.len() + subjects.len() > SUBJECT_KEYS_PER_RUN {
            found.clear();
        }
        let unknown = |found: &Keys| -> Vec<String> {
            subjects
                .iter()
                .filter(|subject| !found.contains_key(**subject))
                .map(|subject| (*subject).to_owned())
                .collect()
        };
        let mut missing = unknown(found);
        if missing.is_empty() {
            return Ok(());
        }
        let ring = keys.ring(Purpose::Audit).await?;
        let (ring_key_id, ring_key) = ring.active(KeyUse::SealAudit, clock::now())?;
        for _ in 0..ATTEMPTS {
            let asked: Vec<&str> = missing.iter().map(String::as_str).collect();
            found.extend(Box::pin(self.load(&ring, &asked)).await?);
            missing = unknown(found);
            let mut fresh = Vec::new();
            let mut made = Keys::new();
            for subject in &missing {
                let key = SecretKey::new(random::bytes()?);
                let wrapped = audit_personal::wrap_key(ring_key_id, ring_key, random::bytes()?, subject, &key)
                    .ok_or_else(|| Error::Internal("wrapping failed".into()))?;
                fresh.push((subject.as_str(), wrapped));
                made.insert(subject.clone(), key);
            }
            if Box::pin(self.table.add(fresh)).await? {
                found.extend(made);
                return Ok(());
            }
        }
        Err(Error::unavailable(Dependency::DynamoDb, "keys of subjects are made by several at once"))
    }

    /// Forgets a subject: what is sealed under its key opens nowhere any more. The next event makes another key.
    pub async fn forget(&self, subject: &str) -> Result<()> {
        self.table.delete(subject).await
    }

    async fn load(&self, ring: &OpenRing, subjects: &[&str]) -> Result<Keys> {
        let wrapped = self.table.load(subjects).await?;
        wrapped.into_iter().map(|(subject, wrapped)| Ok((subject.clone(), unwrap(ring, &subject, &wrapped)?))).collect()
    }
}

fn unwrap(ring: &OpenRing, subject: &str, wrapped: &[u8]) -> Result<SecretKey> {
    let id = envelope::key_id(wrapped).ok();
    let ring_key = id.and_then(|id| ring.by_id(KeyUse::SealAudit, id));
    let key = ring_key.and_then(|ring_key| audit_personal::unwrap_key(ring_key, subject, wrapped).ok());
    key.ok_or_else(|| Error::unavailable(Dependency::DynamoDb, "the key of a subject does not open"))
}
