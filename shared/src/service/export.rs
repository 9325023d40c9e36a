//! Everything that is held on a person, page by page: rows are read and told one by one, so that memory stays bounded.

use super::devices::DeviceView;
use super::documents::{Document, open_stored};
use super::erase::Archive;
use super::inbound::Inbound;
use super::present::{Data, SessionView};
use super::privacy::{Access, PrivacyView};
use super::rate;
use super::runtime::Service;
use super::session_data;
use crate::adapters::postgres::people;
use crate::adapters::redis::{keys, scripts};
use crate::core::activity;
use crate::core::application::Application;
use crate::core::audit_personal::Personal;
use crate::core::crypto;
use crate::core::export::{Cursor, Page, Section};
use crate::core::id::{SessionId, UserId, UserSlot};
use crate::core::ledger::{LedgerEntry, Recorded};
use crate::core::place::Place;
use crate::core::record::SessionRecord;
use crate::core::risk::History;
use crate::core::risk::history::Entry;
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::EXPORT_PAGE_BYTES_MAX;
use redis::FromRedisValue;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A page of what is held on a user.
pub async fn export_user(
    service: &Service,
    archive: &Archive,
    inbound: &Inbound,
    user: &UserId,
    cursor: Option<Cursor>,
) -> Result<Value> {
    rate::watch(service, inbound, page(service, archive, inbound, user, cursor)).await
}

async fn page(
    service: &Service,
    archive: &Archive,
    inbound: &Inbound,
    user: &UserId,
    cursor: Option<Cursor>,
) -> Result<Value> {
    let access = Access::of(service, inbound, user, true).await?;
    let first = cursor.is_none();
    let mut export = Export {
        service,
        archive,
        slot: access.slot,
        application: access.caller.application(),
        now: inbound.now,
        page: Page::new(EXPORT_PAGE_BYTES_MAX),
        at: cursor.unwrap_or_else(Cursor::start),
    };
    let next = export.fill().await?;
    Ok(export.page.finish(first, &access.slot.subject(), inbound.now, next.as_ref()))
}

struct Export<'a> {
    application: &'a Application,
    service: &'a Service,
    archive: &'a Archive,
    slot: UserSlot,
    now: Timestamp,
    page: Page,
    at: Cursor,
}

impl Export<'_> {
    /// Fills the page; where the next one begins when it is full.
    async fn fill(&mut self) -> Result<Option<Cursor>> {
        loop {
            let section = self.at.section;
            self.page.section(section);
            // Boxed: the futures of the SDK are deep.
            let complete = match section {
                Section::Sessions => Box::pin(self.sessions()).await?,
                Section::Devices => Box::pin(self.devices()).await?,
                Section::User => Box::pin(self.user()).await?,
                Section::History => Box::pin(self.history()).await?,
                Section::Ledger => Box::pin(self.ledger()).await?,
                Section::Audit => Box::pin(self.audit()).await?,
                Section::Activities => Box::pin(self.activities()).await?,
                Section::Deliveries => Box::pin(self.deliveries()).await?,
                Section::Erasures => Box::pin(self.erasures()).await?,
            };
            if !complete {
                return Ok(Some(self.at.clone()));
            }
            match section.next() {
                None => return Ok(None),
                Some(section) => self.at = Cursor { section, position: String::new() },
            }
        }
    }

    /// Tells a row; `false` when the page is full.
    fn tell(&mut self, position: &str, row: Value) -> bool {
        let told = self.page.add(self.at.section, row);
        if told {
            position.clone_into(&mut self.at.position);
        }
        told
    }

    async fn sessions(&mut self) -> Result<bool> {
        let members = redis::cmd("ZRANGE").arg(keys::index(self.slot)).arg(0).arg(-1).to_owned();
        let members = Vec::<String>::from_redis_value(self.service.state.command(&members).await?);
        let mut members = members.map_err(|_| Error::Internal("an index that is none".into()))?;
        members.sort_unstable();
        let position = self.at.position.clone();
        for member in members.into_iter().filter(|member| *member > position) {
            let Some(session) = SessionId::from_key_text(self.slot.bucket, &member) else { continue };
            let reply = self.service.state.command(&scripts::read(&[session], self.slot)).await?;
            let (records, _) = scripts::read_reply(reply)?;
            let Some(record) = records.into_iter().next().flatten() else { continue };
            let data = match record.sealed.is_empty() {
                true => serde_json::Map::new(),
                false => session_data::open(self.service, session, &record).await?,
            };
            let row = session_row(session, &record, data);
            if !self.tell(&member, row) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn devices(&mut self) -> Result<bool> {
        let mut devices = self.service.devices.list(self.slot, self.now).await?;
        devices.sort_by(|a, b| a.device_id.cmp(&b.device_id));
        let position = self.at.position.clone();
        for device in devices.into_iter().filter(|device| device.device_id > position) {
            let (id, key) = (device.device_id.clone(), device.facts.jkt.clone());
            let document = match open_stored(self.service, self.slot, &Document::Device(id.clone()), self.now).await {
                Err(Error::NotFound) => continue,
                outcome => outcome?,
            };
            let row = json!({
                "device": DeviceView::of(device),
                "keyThumbprint": key,
                "dataVersion": document.version,
                "data": document.data,
            });
            if !self.tell(&id, row) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One row: what stands in the user's item.
    async fn user(&mut self) -> Result<bool> {
        if !self.at.position.is_empty() {
            return Ok(true);
        }
        let state = open_stored(self.service, self.slot, &Document::State, self.now).await?;
        let settings = self.service.users.settings(self.slot).await?;
        let row = json!({
            "stateVersion": state.version,
            "state": state.data,
            "privacy": PrivacyView::new(settings, self.application),
            "epoch": self.service.users.current_epoch(self.slot).await?,
            "erasedAt": self.service.users.erased_at(self.slot).await?,
        });
        Ok(self.tell("1", row))
    }

    async fn history(&mut self) -> Result<bool> {
        let reply = self.service.state.command(&scripts::read_with_history(&[], self.slot)).await?;
        let (_, _, bytes) = scripts::read_with_history_reply(reply)?;
        let history = History::decode(&bytes);
        let from: usize = self.at.position.parse().unwrap_or(0);
        for (index, entry) in history.entries.iter().enumerate().skip(from) {
            if !self.tell(&(index + 1).to_string(), history_row(entry)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn ledger(&mut self) -> Result<bool> {
        let routing = self.service.keys.routing().await?;
        let slot = self.slot;
        let mut entries = self.service.ledger.of_bucket(slot.bucket, self.now).await?;
        entries.retain(|recorded| match &recorded.entry {
            LedgerEntry::Session { session, .. } | LedgerEntry::Family { session, .. } => {
                session.user_slot(routing) == slot
            }
            LedgerEntry::User { slot: of, .. }
            | LedgerEntry::Privacy { slot: of, .. }
            | LedgerEntry::Erased { slot: of, .. }
            | LedgerEntry::Device { slot: of, .. } => *of == slot,
        });
        entries.sort_by_key(|recorded| recorded.entry.sort_key());
        let position = self.at.position.clone();
        for recorded in entries {
            let key = recorded.entry.sort_key();
            if key > position && !self.tell(&key, ledger_row(&recorded)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn audit(&mut self) -> Result<bool> {
        let subject = self.slot.subject();
        let subjects = BTreeSet::from([subject.as_str()]);
        let opened = self.archive.subject_keys.for_reading(&self.service.keys, &subjects).await?;
        let key = opened.get(&subject);
        loop {
            let rows = people::audit_after(&self.archive.database, &subject, &self.at.position).await?;
            if rows.is_empty() {
                return Ok(true);
            }
            for row in rows {
                let event = &row.event;
                let personal = match key {
                    Some(key) if !event.sealed.is_empty() => {
                        Personal::open(key, &subject, &event.event_id, &event.sealed).ok()
                    }
                    Some(_) | None => None,
                };
                let told = json!({
                    "eventId": event.event_id,
                    "at": event.occurred_at,
                    "queuedAt": row.queued_at,
                    "type": event.event_type,
                    "applicationId": event.application_id,
                    "sessionId": event.session_id,
                    "actor": event.actor,
                    "reason": event.reason,
                    "requestId": event.request_id,
                    "detail": event.detail,
                    "erased": personal.is_none() && !event.sealed.is_empty(),
                    "personal": personal,
                });
                if !self.tell(&row.position, told) {
                    return Ok(false);
                }
            }
        }
    }

    async fn activities(&mut self) -> Result<bool> {
        let subject = self.slot.subject();
        let subjects = BTreeSet::from([subject.as_str()]);
        let opened = self.archive.subject_keys.for_reading(&self.service.keys, &subjects).await?;
        let key = opened.get(&subject);
        loop {
            let rows = people::activities_after(&self.archive.database, &subject, &self.at.position).await?;
            if rows.is_empty() {
                return Ok(true);
            }
            for row in rows {
                let properties = match key {
                    Some(key) if !row.sealed.is_empty() => {
                        activity::open(key, &subject, &row.activity_id, &row.sealed).ok()
                    }
                    Some(_) | None => None,
                };
                let told = json!({
                    "activityId": row.activity_id,
                    "at": row.occurred_at,
                    "applicationId": row.application_id,
                    "sessionId": row.session_id,
                    "name": row.name,
                    "erased": properties.is_none() && !row.sealed.is_empty(),
                    "properties": properties,
                });
                if !self.tell(&row.position, told) {
                    return Ok(false);
                }
            }
        }
    }

    async fn deliveries(&mut self) -> Result<bool> {
        let position = self.at.position.clone();
        for (id, notice) in self.archive.deliveries.of_subject(&self.slot.subject()).await? {
            let notice = serde_json::from_str(&notice).unwrap_or(Value::String(notice));
            if id > position && !self.tell(&id, json!({ "deliveryId": id, "notice": notice })) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn erasures(&mut self) -> Result<bool> {
        if !self.at.position.is_empty() {
            return Ok(true);
        }
        let running = self.service.ledger.erasure(&self.slot.subject()).await?;
        let complete = self.service.ledger.completed_erasure(self.slot).await?;
        for erasure in running.into_iter().chain(complete) {
            if !self.tell("1", json!(erasure)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A session as everybody sees it, and what else its record keeps.
fn session_row(session: SessionId, record: &SessionRecord, data: serde_json::Map<String, Value>) -> Value {
    let attributes = &record.attributes;
    let bytes = |bytes: &[u8]| crypto::encode(bytes);
    json!({
        "session": SessionView::new(session, record.clone(), Some(Data::Object(data))),
        "kept": {
            "keyThumbprint": attributes.jkt,
            "deviceKey": attributes.device_key.as_ref().map(|key| bytes(key)),
            "deviceTag": attributes.device_tag.map(|tag| tag.text()),
            "fingerprint": attributes.seen.as_deref().map(bytes),
            "addressDigest": bytes(&record.header.address),
            "deviceDigest": bytes(&record.header.device),
            "place": attributes.place.as_ref().map(place_row),
            "riskScore": record.header.risk_score,
            "standing": record.header.standing.as_str(),
        },
    })
}

fn place_row(place: &Place) -> Value {
    let degrees = |half_degrees: i16| f64::from(half_degrees) / 2.0;
    json!({
        "country": String::from_utf8_lossy(&place.country),
        "name": place.name,
        "latitude": place.point.map(|point| degrees(point.latitude)),
        "longitude": place.point.map(|point| degrees(point.longitude)),
    })
}

fn history_row(entry: &Entry) -> Value {
    let at = |seconds: u32| Timestamp::from_seconds(i64::from(seconds));
    json!({
        "firstSeenAt": at(entry.first),
        "lastSeenAt": at(entry.last),
        "sessionsCreatedSince": at(entry.run),
        "sessionsCreated": entry.created,
        "networkDigest": crypto::encode(&entry.sighting.network),
        "deviceDigest": crypto::encode(&entry.sighting.device),
        "place": Place::of_mark(entry.place).as_ref().map(place_row),
    })
}

fn ledger_row(recorded: &Recorded) -> Value {
    let at = recorded.at;
    match &recorded.entry {
        LedgerEntry::Session { session, reason, .. } => {
            json!({ "kind": "session", "at": at, "sessionId": session.to_string(), "reason": reason.as_str() })
        }
        LedgerEntry::Family { session, .. } => json!({ "kind": "share", "at": at, "sessionId": session.to_string() }),
        LedgerEntry::User { epoch, .. } => json!({ "kind": "user", "at": at, "epoch": epoch }),
        LedgerEntry::Privacy { privacy, version, told, .. } => {
            json!({ "kind": "privacy", "at": at, "off": privacy.bits(), "version": version, "detail": told.detail,
                "applicationId": told.application_id })
        }
        LedgerEntry::Erased { epoch, .. } => json!({ "kind": "erased", "at": at, "epoch": epoch }),
        LedgerEntry::Device { device, epoch, reason, .. } => {
            json!({ "kind": "device", "at": at, "deviceTag": device.text(), "epoch": epoch, "reason": reason.as_str() })
        }
    }
}
