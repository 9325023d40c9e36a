//! The `subject-keys` table: the wrapped key of each subject's personal audit fields (`subject`, `key`). Deleting an item
//! is what forgets a person's fields in every row and every copy of the audit.

use super::devices::blob;
use super::{BATCH, Item, classify, get_batch, s, text, unreadable};
use crate::error::Result;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt};
use std::collections::HashMap;

/// Writes under way at the same time.
const AT_ONCE: usize = 16;

/// The table.
#[derive(Clone)]
pub struct SubjectKeyTable {
    client: Client,
    table: String,
}

impl SubjectKeyTable {
    /// Opens the table.
    pub fn new(client: Client, table: String) -> Self {
        SubjectKeyTable { client, table }
    }

    /// The wrapped keys of those subjects that have one.
    pub async fn load(&self, subjects: &[&str]) -> Result<HashMap<String, Vec<u8>>> {
        let mut found = HashMap::with_capacity(subjects.len());
        for chunk in subjects.chunks(BATCH) {
            let key = |subject: &&str| Item::from([("subject".to_owned(), s(*subject))]);
            for mut item in get_batch(&self.client, &self.table, chunk.iter().map(key).collect()).await? {
                let subject = text(&item, "subject").ok_or_else(|| unreadable(&self.table))?.to_owned();
                found.insert(subject, blob(&mut item, "key"));
            }
        }
        Ok(found)
    }

    /// Writes keys of subjects that have none, some at a time. Returns whether all were written; otherwise somebody else
    /// wrote one of them first.
    pub async fn add(&self, keys: Vec<(&str, Vec<u8>)>) -> Result<bool> {
        let puts = keys.into_iter().map(|(subject, key)| self.put(subject, key));
        // Boxed: the futures of the SDK are deep.
        let puts = futures_util::stream::iter(puts.map(Box::pin)).buffer_unordered(AT_ONCE);
        puts.try_fold(true, async |all, written| Ok(all && written)).await
    }

    async fn put(&self, subject: &str, key: Vec<u8>) -> Result<bool> {
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("subject", s(subject))
            .item("key", AttributeValue::B(Blob::new(key)))
            .condition_expression("attribute_not_exists(subject)");
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(classify(&error)),
        }
    }

    /// Deletes the key of a subject, if there is one.
    pub async fn delete(&self, subject: &str) -> Result<()> {
        let request = self.client.delete_item().table_name(&self.table).key("subject", s(subject));
        request.send().await.map(drop).map_err(|error| classify(&error))
    }
}
