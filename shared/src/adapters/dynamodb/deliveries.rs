//! The `deliveries` table: what still has to reach a receiver, and for a week what has.
//!
//! | attribute | what |
//! |---|---|
//! | `deliveryId` | application, receiver and event: the same event is handed over once, however often it is tried |
//! | `state` | `waiting`, `done`, `failed` |
//! | `queue`, `dueAt` | index `due`: one of the queues of its receiver, and when to try next; absent once it is over |
//! | `attempts`, `notice` | attempts begun; the event as JSON, absent once it is done |
//! | `at`, `expiresAt` | when it was handed over; when it is forgotten |
//!
//! A run takes a delivery by moving `dueAt` past its lease, on the condition that it is where the run saw it. So of two
//! runs one has it, and a run that dies leaves it to whoever looks when the lease is over.

use super::{Item, classify, n, number, s, text, unreadable};
use crate::core::crypto;
use crate::core::notice::Notice;
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::{DELIVERY_KEEP_SECONDS, DELIVERY_LEASE_SECONDS, DELIVERY_QUEUES};
use aws_sdk_dynamodb::Client;
use std::collections::BTreeMap;

const INDEX: &str = "due";

/// The table.
#[derive(Clone)]
pub struct Deliveries {
    client: Client,
    table: String,
}

/// Who a delivery is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// The application that registered the receiver; empty for the stack itself.
    pub application_id: String,
    /// The receiver.
    pub receiver_id: String,
}

/// A delivery that is due.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its key.
    pub delivery_id: String,
    /// When it became due.
    pub due_at: Timestamp,
    /// Attempts begun before.
    pub attempts: u32,
    /// What to tell.
    pub notice: Notice,
}

/// A delivery that this run has to itself until `until`.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Its key.
    pub delivery_id: String,
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// End of the lease.
    pub until: Timestamp,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The receiver has it.
    Done,
    /// To be tried again.
    Again(Timestamp),
    /// Given up.
    Failed,
}

impl Recipient {
    /// The topic of the stack. No application has an empty id.
    pub fn topic() -> Self {
        Recipient { application_id: String::new(), receiver_id: "sns".to_owned() }
    }

    fn queue(&self, number: u8) -> String {
        format!("{}#{}#{number}", self.application_id, self.receiver_id)
    }

    fn delivery_id(&self, event_id: &str) -> String {
        format!("{}#{}#{event_id}", self.application_id, self.receiver_id)
    }
}

impl Deliveries {
    /// Opens the table.
    pub fn new(client: Client, table: String) -> Self {
        Deliveries { client, table }
    }

    /// Hands an event over for a receiver, due at once. `false` when that has been done before.
    pub async fn hand_over(&self, recipient: &Recipient, notice: &Notice, now: Timestamp) -> Result<bool> {
        let delivery_id = recipient.delivery_id(&notice.event_id);
        let queue = crypto::sha256(delivery_id.as_bytes())[0] % DELIVERY_QUEUES;
        let json = serde_json::to_string(notice).map_err(|error| Error::Internal(error.to_string()))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("deliveryId", s(delivery_id))
            .item("state", s("waiting"))
            .item("queue", s(recipient.queue(queue)))
            .item("dueAt", due_at(now))
            .item("attempts", n(0))
            .item("notice", s(json))
            .item("at", n(now.millis()))
            .item("expiresAt", n(now.plus_seconds(DELIVERY_KEEP_SECONDS).seconds()))
            .condition_expression("attribute_not_exists(deliveryId)");
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(classify(&error)),
        }
    }

    /// Up to `limit` deliveries of one queue that are due, the longest waiting first. The index lags behind by moments: one
    /// that has been taken meanwhile can not be taken again.
    pub async fn due(&self, recipient: &Recipient, queue: u8, now: Timestamp, limit: i32) -> Result<Vec<Due>> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INDEX)
            .key_condition_expression("queue = :queue AND dueAt <= :now")
            .expression_attribute_values(":queue", s(recipient.queue(queue)))
            .expression_attribute_values(":now", due_at(now))
            .limit(limit)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        output.items().iter().map(|item| read(item).ok_or_else(|| unreadable(&self.table))).collect()
    }

    /// Takes a delivery for this run; `None` when another run has taken it or it is over.
    pub async fn lease(&self, due: &Due, now: Timestamp) -> Result<Option<Leased>> {
        let until = now.plus_seconds(DELIVERY_LEASE_SECONDS);
        let attempts = due.attempts.saturating_add(1);
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("deliveryId", s(&due.delivery_id))
            .update_expression("SET dueAt = :until, attempts = :attempts")
            .condition_expression("dueAt = :seen AND attempts = :before")
            .expression_attribute_values(":until", due_at(until))
            .expression_attribute_values(":attempts", n(attempts))
            .expression_attribute_values(":seen", due_at(due.due_at))
            .expression_attribute_values(":before", n(due.attempts));
        match update.send().await {
            Ok(_) => Ok(Some(Leased { delivery_id: due.delivery_id.clone(), attempts, until })),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(None)
            }
            Err(error) => Err(classify(&error)),
        }
    }

    /// The deliveries that name a subject and were handed over before a time: their number, and their deletion when that is
    /// asked for. Nothing finds them by subject but a scan, of a week at most; erasures are rare.
    pub async fn erase(&self, subject: &str, before: Timestamp, delete: bool) -> Result<u64> {
        let mut found = 0;
        let mut pages = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("contains(notice, :subject) AND #at < :before")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":subject", s(format!("\"{subject}\"")))
            .expression_attribute_values(":before", n(before.millis()))
            .projection_expression("deliveryId")
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(&error))?;
            for item in page.items() {
                found += 1;
                if delete {
                    let id = text(item, "deliveryId").ok_or_else(|| unreadable(&self.table))?;
                    let request = self.client.delete_item().table_name(&self.table).key("deliveryId", s(id));
                    request.send().await.map_err(|error| classify(&error))?;
                }
            }
        }
        Ok(found)
    }

    /// What receivers have still to hear, or never heard, of a subject, by key.
    pub async fn of_subject(&self, subject: &str) -> Result<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        let mut pages = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("contains(notice, :subject)")
            .expression_attribute_values(":subject", s(format!("\"{subject}\"")))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(&error))?;
            for item in page.items() {
                if let (Some(id), Some(notice)) = (text(item, "deliveryId"), text(item, "notice")) {
                    found.insert(id.to_owned(), notice.to_owned());
                }
            }
        }
        Ok(found)
    }

    /// Writes how an attempt ended, unless the lease ran out and another run took over.
    pub async fn settle(&self, leased: &Leased, settlement: Settlement) -> Result<()> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("deliveryId", s(&leased.delivery_id))
            .condition_expression("dueAt = :until AND attempts = :attempts")
            .expression_attribute_values(":until", due_at(leased.until))
            .expression_attribute_values(":attempts", n(leased.attempts));
        let over = |state: &str, expression: &str| {
            update
                .clone()
                .update_expression(expression)
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":state", s(state))
        };
        let update = match settlement {
            Settlement::Done => over("done", "SET #state = :state REMOVE queue, dueAt, notice"),
            Settlement::Failed => over("failed", "SET #state = :state REMOVE queue, dueAt"),
            Settlement::Again(at) => {
                update.update_expression("SET dueAt = :next").expression_attribute_values(":next", due_at(at))
            }
        };
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(()),
            Err(error) => Err(classify(&error)),
        }
    }
}

/// Milliseconds in a width that sorts as text.
fn due_at(at: Timestamp) -> aws_sdk_dynamodb::types::AttributeValue {
    s(format!("{:015}", at.millis()))
}

fn read(item: &Item) -> Option<Due> {
    Some(Due {
        delivery_id: text(item, "deliveryId")?.to_owned(),
        due_at: Timestamp::from_millis(text(item, "dueAt")?.parse().ok()?),
        attempts: number(item, "attempts")?,
        notice: serde_json::from_str(text(item, "notice")?).ok()?,
    })
}
