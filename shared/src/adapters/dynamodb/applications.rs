//! The `applications` table: one item per application, the record as JSON beside its version.

use super::{Item, classify, n, number, s, text, unreadable};
use crate::core::application::Application;
use crate::core::id::ApplicationId;
use crate::error::{Error, Result};
use aws_sdk_dynamodb::Client;

/// The table.
#[derive(Clone)]
pub struct Applications {
    client: Client,
    table: String,
}

impl Applications {
    /// Opens the table.
    pub fn new(client: Client, table: String) -> Self {
        Applications { client, table }
    }

    /// Loads one application, strongly consistent.
    pub async fn load(&self, id: &ApplicationId) -> Result<Option<Application>> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("applicationId", s(id.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        output.item.as_ref().map(|item| self.read(item)).transpose()
    }

    /// Every application, in no order.
    pub async fn all(&self) -> Result<Vec<Application>> {
        let mut applications = Vec::new();
        let mut pages = self.client.scan().table_name(&self.table).into_paginator().send();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| classify(&error))?.items() {
                applications.push(self.read(item)?);
            }
        }
        Ok(applications)
    }

    /// Writes an application if the stored version is `expected` (`None`: if it does not exist). `false` when it is not.
    pub async fn save(&self, application: &Application, expected: Option<u64>) -> Result<bool> {
        let record = serde_json::to_string(application).map_err(|error| Error::Internal(error.to_string()))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("applicationId", s(&application.application_id))
            .item("version", n(application.version))
            .item("record", s(record));
        let put = match expected {
            None => put.condition_expression("attribute_not_exists(applicationId)"),
            Some(version) => {
                put.condition_expression("version = :expected").expression_attribute_values(":expected", n(version))
            }
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(classify(&error)),
        }
    }

    fn read(&self, item: &Item) -> Result<Application> {
        let record = text(item, "record").and_then(|record| serde_json::from_str::<Application>(record).ok());
        let mut application = record.ok_or_else(|| unreadable(&self.table))?;
        application.version = number(item, "version").ok_or_else(|| unreadable(&self.table))?;
        Ok(application)
    }
}
