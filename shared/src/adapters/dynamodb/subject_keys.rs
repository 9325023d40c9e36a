//! The `subject-keys` table: the wrapped key of each subject's personal audit fields (`subject`, `key`). Deleting an item
//! is what forgets a person's fields in every row and every copy of the audit.

use super::devices::blob;
use super::{Item, classify, s, text, unreadable};
use crate::error::{Dependency, Error, Result};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Put, TransactWriteItem};
use std::collections::HashMap;

/// Items per request: the limit of both `BatchGetItem` and `TransactWriteItems`.
const CHUNK: usize = 100;
/// How often what was not answered is asked for again.
const ATTEMPTS: usize = 5;

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
        for chunk in subjects.chunks(CHUNK) {
            let key = |subject: &&str| Item::from([("subject".to_owned(), s(*subject))]);
            let mut wanted: Vec<Item> = chunk.iter().map(key).collect();
            let mut attempts = 0;
            while !wanted.is_empty() {
                if attempts == ATTEMPTS {
                    return Err(Error::unavailable(Dependency::DynamoDb, "keys of subjects stay unanswered"));
                }
                attempts += 1;
                let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
                let keys = keys.map_err(|error| Error::Internal(error.to_string()))?;
                let output = self.client.batch_get_item().request_items(&self.table, keys).send().await;
                let output = output.map_err(|error| classify(&error))?;
                for mut item in output.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                    let subject = text(&item, "subject").ok_or_else(|| unreadable(&self.table))?.to_owned();
                    found.insert(subject, blob(&mut item, "key"));
                }
                let left = output.unprocessed_keys.into_iter().flat_map(HashMap::into_values);
                wanted = left.flat_map(|keys| keys.keys).collect();
            }
        }
        Ok(found)
    }

    /// Writes keys of subjects that have none. Returns whether all were written; otherwise somebody wrote one of them first,
    /// and those of its request are not written.
    pub async fn add(&self, keys: &[(&str, Vec<u8>)]) -> Result<bool> {
        let mut all = true;
        for chunk in keys.chunks(CHUNK) {
            let put = |(subject, key): &(&str, Vec<u8>)| {
                let put = Put::builder()
                    .table_name(&self.table)
                    .item("subject", s(*subject))
                    .item("key", AttributeValue::B(Blob::new(key.clone())))
                    .condition_expression("attribute_not_exists(subject)")
                    .build();
                put.map(|put| TransactWriteItem::builder().put(put).build())
            };
            let puts: std::result::Result<Vec<_>, _> = chunk.iter().map(put).collect();
            let puts = puts.map_err(|error| Error::Internal(error.to_string()))?;
            match self.client.transact_write_items().set_transact_items(Some(puts)).send().await {
                Ok(_) => {}
                Err(error)
                    if error.as_service_error().is_some_and(|error| error.is_transaction_canceled_exception()) =>
                {
                    all = false;
                }
                Err(error) => return Err(classify(&error)),
            }
        }
        Ok(all)
    }

    /// Deletes the key of a subject, if there is one.
    pub async fn delete(&self, subject: &str) -> Result<()> {
        let request = self.client.delete_item().table_name(&self.table).key("subject", s(subject));
        request.send().await.map(drop).map_err(|error| classify(&error))
    }
}
