//! Application records, remembered for a minute in a warm environment.

use crate::adapters::dynamodb::applications::Applications;
use crate::core::application::{Application, KnownApplication};
use crate::core::id::ApplicationId;
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::APPLICATION_CACHE_SECONDS;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Remembered records, unknown ids included, so that guessing ids does not become a load on the table.
pub struct ApplicationCache {
    table: Applications,
    remembered: Mutex<HashMap<ApplicationId, Remembered>>,
    /// Known applications by the tag that tokens and records carry.
    by_tag: Mutex<HashMap<[u8; 8], ApplicationId>>,
}

/// When a record was read, and what was there.
type Remembered = (Timestamp, Option<Arc<KnownApplication>>);

/// Ids remembered at most.
const ENTRIES_MAX: usize = 512;

impl ApplicationCache {
    /// Empty, over the table.
    pub fn new(table: Applications) -> Self {
        ApplicationCache { table, remembered: Mutex::default(), by_tag: Mutex::default() }
    }

    /// The record, at most a minute old.
    pub async fn get(&self, id: &ApplicationId, now: Timestamp) -> Result<Option<Arc<KnownApplication>>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some((read_at, application)) = remembered {
            let fresh = read_at <= now && now < read_at.plus_seconds(APPLICATION_CACHE_SECONDS);
            if fresh {
                return Ok(application);
            }
        }
        // Boxed: the SDK's futures are deep, and this path is rare.
        let application = Box::pin(self.table.load(id)).await?.map(known).transpose()?;
        if let Some(application) = &application {
            self.by_tag.lock().unwrap_or_else(PoisonError::into_inner).insert(application.tag(), id.clone());
        }
        let mut entries = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(id.clone(), (now, application.clone()));
        Ok(application)
    }

    /// Which application a tag stands for, when this environment has met it. Ids never change hands.
    pub fn id_of(&self, tag: [u8; 8]) -> Option<ApplicationId> {
        self.by_tag.lock().unwrap_or_else(PoisonError::into_inner).get(&tag).cloned()
    }
}

fn known(application: Application) -> Result<Arc<KnownApplication>> {
    let known = KnownApplication::new(application);
    known.map(Arc::new).ok_or_else(|| Error::Internal("application id out of grammar".into()))
}
