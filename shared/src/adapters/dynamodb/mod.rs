//! DynamoDB: the durable security state, small and rare.

pub mod applications;
pub mod deliveries;
pub mod devices;
pub mod keys;
pub mod revocations;
pub mod subject_keys;
pub mod users;

use crate::error::{Dependency, Error};
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

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
