//! DynamoDB: the durable security state, small and rare.

pub mod applications;
pub mod deliveries;
pub mod devices;
pub mod keys;
pub mod revocations;
pub mod subject_keys;
pub mod users;

use crate::error::{Dependency, Error, Result};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use std::collections::HashMap;

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// Items per request: the limit of `BatchGetItem`.
pub const BATCH: usize = 100;
/// How often what was not answered is asked for again.
const BATCH_ATTEMPTS: usize = 5;

/// Those of at most [`BATCH`] items that are there, strongly consistent and in no order: one request, and one more for as
/// long as DynamoDB leaves keys unanswered.
pub async fn get_batch(client: &Client, table: &str, keys: Vec<Item>) -> Result<Vec<Item>> {
    let mut found = Vec::with_capacity(keys.len());
    let mut wanted = keys;
    for _ in 0..BATCH_ATTEMPTS {
        if wanted.is_empty() {
            return Ok(found);
        }
        let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
        let keys = keys.map_err(|error| Error::Internal(error.to_string()))?;
        let output = client.batch_get_item().request_items(table, keys).send().await;
        let output = output.map_err(|error| classify(&error))?;
        found.extend(output.responses.into_iter().flat_map(HashMap::into_values).flatten());
        let left = output.unprocessed_keys.into_iter().flat_map(HashMap::into_values);
        wanted = left.flat_map(|keys| keys.keys).collect();
    }
    match wanted.is_empty() {
        true => Ok(found),
        false => Err(Error::unavailable(Dependency::DynamoDb, format_args!("keys of {table} stay unanswered"))),
    }
}

/// A string attribute.
pub fn s(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub fn n(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A string attribute of an item.
pub fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// A number attribute of an item.
pub fn number<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The service's view of a DynamoDB failure.
pub fn classify<E: std::error::Error + 'static>(error: &E) -> Error {
    Error::unavailable(Dependency::DynamoDb, DisplayErrorContext(error))
}

/// An item that is not of the shape this release writes.
pub fn unreadable(table: &str) -> Error {
    Error::unavailable(Dependency::DynamoDb, format_args!("unreadable item in {table}"))
}
