//! The `users` table: the integer epoch below which all sessions of a user are over.

use super::{classify, n, number, s, unreadable};
use crate::core::id::UserSlot;
use crate::error::Result;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ReturnValue;

/// The table.
#[derive(Clone)]
pub struct Users {
    client: Client,
    table: String,
}

impl Users {
    /// Opens the table.
    pub fn new(client: Client, table: String) -> Self {
        Users { client, table }
    }

    /// Raises the user's epoch by one and returns it.
    pub async fn raise_epoch(&self, slot: UserSlot) -> Result<u32> {
        let output = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .update_expression("ADD epoch :one")
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        output.attributes.as_ref().and_then(|item| number(item, "epoch")).ok_or_else(|| unreadable(&self.table))
    }
}
