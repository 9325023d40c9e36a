//! Reading the audit: an application sees what happened to its own sessions and users, page by page.

use super::authenticate::{Caller, application};
use super::end_user::user_slot;
use super::inbound::Inbound;
use super::runtime::Service;
use super::subject_keys::SubjectKeys;
use crate::adapters::postgres::Database;
use crate::adapters::postgres::audit_query::{Found, page};
use crate::core::application::Scope;
use crate::core::audit_page::Filter;
use crate::core::audit_personal::Personal;
use crate::core::crypto::SecretKey;
use crate::core::id::{SessionId, UserId};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a function that reads the audit holds.
pub struct AuditReader {
    /// Callers, rings and rates.
    pub service: Service,
    /// The audit.
    pub database: Database,
    /// Keys of subjects.
    pub subject_keys: SubjectKeys,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Of one user.
    pub user: Option<UserId>,
    /// Of one session.
    pub session: Option<SessionId>,
    /// Of these types; empty for all.
    pub types: Vec<String>,
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Up to this instant.
    pub to: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Events on the page.
    pub limit: usize,
}

/// A page of events, newest first.
#[derive(Debug, Serialize)]
pub struct EventPage {
    /// The events.
    pub events: Vec<EventView>,
    /// Pass it as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An event as applications see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    event_id: String,
    at: String,
    recorded_at: String,
    #[serde(rename = "type")]
    event_type: String,
    application_id: String,
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    session_id: String,
    actor: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detail: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<Personal>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
    chain: ChainPlace,
}

/// Where an event stands in its chain.
#[derive(Debug, Serialize)]
pub struct ChainPlace {
    group: i16,
    sequence: i64,
}

impl EventView {
    /// What was sealed opens with the subject's key; with none, or with one that was made after an erasure, it does not.
    fn new(found: Found, key: Option<&SecretKey>) -> Self {
        let Found { position, recorded_at, event } = found;
        let sealed = !event.sealed.is_empty();
        let personal = key.and_then(|key| Personal::open(key, &event.subject, &event.event_id, &event.sealed).ok());
        EventView {
            event_id: event.event_id,
            at: event.occurred_at.to_string(),
            recorded_at: recorded_at.to_string(),
            event_type: event.event_type,
            application_id: event.application_id,
            subject: event.subject,
            session_id: event.session_id,
            actor: event.actor,
            reason: event.reason,
            request_id: event.request_id,
            detail: event.detail.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            erased: sealed && personal.is_none(),
            personal,
            chain: ChainPlace { group: position.group, sequence: position.sequence },
        }
    }
}

/// A page of the caller's own audit.
pub async fn query_audit(reader: &AuditReader, inbound: &Inbound, question: Question) -> Result<EventPage> {
    let service = &reader.service;
    let application = application(service, inbound, Scope::AuditRead).await?;
    let subject = match &question.user {
        None => None,
        Some(user) => {
            let caller = Caller::Application(application.clone());
            Some(user_slot(service, inbound, &caller, user).await?.subject())
        }
    };
    let filter = Filter {
        application_id: application.application_id.clone(),
        subject,
        session: question.session.map(|session| session.to_string()),
        types: question.types,
        from: question.from,
        to: question.to,
    };
    let unreadable = || Error::field("cursor", "must come from a previous page of the same question");
    let after = question.cursor.map(|cursor| filter.after(&cursor).ok_or_else(unreadable)).transpose()?;
    let more = i64::try_from(question.limit + 1).unwrap_or(i64::MAX);
    let client = reader.database.client().await?;
    let mut found = match page(&client, &filter, after, more).await {
        // The connection had died while the environment was frozen.
        Err(_) if client.is_closed() => page(&*reader.database.client().await?, &filter, after, more).await?,
        other => other?,
    };
    let next = found.get(question.limit.saturating_sub(1)).map(|last| filter.cursor(last.position));
    let next = next.filter(|_| found.len() > question.limit);
    found.truncate(question.limit);
    let sealed = found.iter().filter(|found| !found.event.sealed.is_empty());
    let subjects: BTreeSet<&str> = sealed.map(|found| found.event.subject.as_str()).collect();
    let keys = Box::pin(reader.subject_keys.for_reading(&service.keys, &subjects)).await?;
    let view = |found: Found| {
        let key = keys.get(&found.event.subject);
        EventView::new(found, key)
    };
    let events = found.into_iter().map(view).collect();
    Ok(EventPage { events, next })
}
