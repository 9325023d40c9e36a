//! The `users` table: the integer epoch below which all sessions of a user are over, and the user's sealed state
//! (`state`, `stateVersion`) and privacy settings (`privacy` bits, `privacyVersion`, `privacyAt`, `legalHold`). Of an erased user epoch,
//! version and `erasedAt` are left.

use super::devices::{Stored, blob, updated, versioned};
use super::{Item, classify, n, number, s, unreadable};
use crate::core::id::{SessionId, UserSlot};
use crate::core::ledger::Spared;
use crate::core::privacy::{Privacy, Settings};
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::LEDGER_SECONDS;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

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

    /// Raises the user's epoch by one and returns it. With `spared`, also since when that session has been the one
    /// exception of every revocation.
    ///
    /// | attribute | what |
    /// |---|---|
    /// | `epoch`, `raisedAt` | the epoch and when it was reached |
    /// | `spared` | the exception of the last revocation |
    /// | `floor`, `floorAt` | epoch and time of the last revocation that did not spare it |
    pub async fn raise_epoch(
        &self,
        slot: UserSlot,
        spared: Option<SessionId>,
        now: Timestamp,
    ) -> Result<(u32, Option<Spared>)> {
        let Some(session) = spared else {
            let update = "SET raisedAt = :now REMOVE spared, floor, floorAt ADD epoch :one";
            let item = self.raise(slot, update, None, now).await?.ok_or_else(|| unreadable(&self.table))?;
            return Ok((self.epoch(&item)?, None));
        };
        let begin = "SET floor = if_not_exists(epoch, :zero), floorAt = if_not_exists(raisedAt, :zero), \
            epoch = if_not_exists(epoch, :zero) + :one, raisedAt = :now, spared = :session";
        let go_on = "SET raisedAt = :now ADD epoch :one";
        let other = "attribute_not_exists(spared) OR spared <> :session";
        let same = "spared = :session";
        // Each condition is the opposite of the other; both fail only when another revocation comes between.
        for (update, condition) in [(begin, other), (go_on, same), (begin, other), (go_on, same)] {
            if let Some(item) = self.raise(slot, update, Some((condition, session)), now).await? {
                let reached = Timestamp::from_millis(number(&item, "floorAt").ok_or_else(|| unreadable(&self.table))?);
                // Nothing from before lives any more, and Redis has forgotten the epoch of that time.
                let over = reached.plus_seconds(LEDGER_SECONDS) <= now;
                let floor = if over { 0 } else { number(&item, "floor").ok_or_else(|| unreadable(&self.table))? };
                return Ok((self.epoch(&item)?, Some(Spared { session, floor })));
            }
        }
        Err(Error::unavailable(Dependency::DynamoDb, "revocations of one user overtake each other"))
    }

    /// `None` when the condition does not hold.
    async fn raise(
        &self,
        slot: UserSlot,
        update: &str,
        condition: Option<(&str, SessionId)>,
        now: Timestamp,
    ) -> Result<Option<Item>> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .update_expression(update)
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":now", n(now.millis()))
            .return_values(ReturnValue::AllNew);
        if let Some((condition, session)) = condition {
            request =
                request.condition_expression(condition).expression_attribute_values(":session", s(session.to_string()));
            if update.contains(":zero") {
                request = request.expression_attribute_values(":zero", n(0));
            }
        }
        match request.send().await {
            Ok(output) => Ok(output.attributes),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(None)
            }
            Err(error) => Err(classify(&error)),
        }
    }

    /// The state of a user: version 0 without data when none was ever written.
    pub async fn state(&self, slot: UserSlot) -> Result<Stored> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .projection_expression("#state, stateVersion")
            .expression_attribute_names("#state", "state")
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        let mut item = output.item.unwrap_or_default();
        Ok(Stored { version: number(&item, "stateVersion").unwrap_or(0), sealed: blob(&mut item, "state") })
    }

    /// The version of the state alone: what a long poll asks for.
    pub async fn state_version(&self, slot: UserSlot) -> Result<u32> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .projection_expression("stateVersion")
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(output.item.and_then(|item| number(&item, "stateVersion")).unwrap_or(0))
    }

    /// Writes the version after `expected`, if that is the current one. Whether it was.
    pub async fn save_state(&self, slot: UserSlot, expected: u32, sealed: &[u8]) -> Result<bool> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .return_values(ReturnValue::AllNew);
        Ok(updated(versioned(request, ["state", "stateVersion"], None, expected, sealed)).await?.is_some())
    }

    /// The privacy settings of a user.
    pub async fn settings(&self, slot: UserSlot) -> Result<Settings> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .projection_expression("privacy, privacyVersion, privacyAt, legalHold")
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(output.item.map(|item| settings(&item)).unwrap_or_default())
    }

    /// Writes the version after `expected`, if that is the current one, and returns it. `legal_hold` as it was when absent.
    pub async fn save_settings(
        &self,
        slot: UserSlot,
        expected: u32,
        privacy: Privacy,
        legal_hold: Option<bool>,
        now: Timestamp,
    ) -> Result<Option<Settings>> {
        let hold = if legal_hold.is_some() { ", legalHold = :hold" } else { "" };
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .update_expression(format!("SET privacy = :privacy, privacyVersion = :version, privacyAt = :now{hold}"))
            .condition_expression(
                "attribute_not_exists(privacyVersion) AND :expected = :zero OR privacyVersion = :expected",
            )
            .expression_attribute_values(":privacy", n(privacy.bits()))
            .expression_attribute_values(":version", n(u64::from(expected) + 1))
            .expression_attribute_values(":expected", n(expected))
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":now", n(now.millis()))
            .return_values(ReturnValue::AllNew);
        if let Some(hold) = legal_hold {
            request = request.expression_attribute_values(":hold", AttributeValue::Bool(hold));
        }
        Ok(updated(request).await?.map(|item| settings(&item)))
    }

    /// Removes what is personal of a user; epoch and the version of the settings stay, so that neither can come back. What was
    /// erased at that time or later already is left alone.
    pub async fn erase(&self, slot: UserSlot, at: Timestamp) -> Result<()> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .update_expression(
                "SET erasedAt = :at REMOVE #state, stateVersion, privacy, privacyAt, legalHold, spared, floor, floorAt",
            )
            .condition_expression("attribute_not_exists(erasedAt) OR erasedAt < :at")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":at", n(at.millis()))
            .return_values(ReturnValue::AllNew);
        updated(request).await.map(drop)
    }

    /// When a user was last erased.
    pub async fn erased_at(&self, slot: UserSlot) -> Result<Option<Timestamp>> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .projection_expression("erasedAt")
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(output.item.and_then(|item| number(&item, "erasedAt")).map(Timestamp::from_millis))
    }

    /// The epoch of a user.
    pub async fn current_epoch(&self, slot: UserSlot) -> Result<u32> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .projection_expression("epoch")
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(output.item.and_then(|item| number(&item, "epoch")).unwrap_or(0))
    }

    fn epoch(&self, item: &Item) -> Result<u32> {
        number(item, "epoch").ok_or_else(|| unreadable(&self.table))
    }
}

fn settings(item: &Item) -> Settings {
    Settings {
        privacy: Privacy::from_bits(number(item, "privacy").unwrap_or(0)),
        legal_hold: matches!(item.get("legalHold"), Some(AttributeValue::Bool(true))),
        version: number(item, "privacyVersion").unwrap_or(0),
        updated_at: number(item, "privacyAt").map(Timestamp::from_millis),
    }
}
