//! The `devices` table: what a user's devices are, how far they are trusted, and their data.
//!
//! | attribute | what |
//! |---|---|
//! | `userTag`, `deviceId` | the key: the user's pseudonym, the id as the application names it |
//! | `epoch` | sessions of an earlier epoch of the device are over; begins at the registration's second, so that a device that was forgotten and comes back is ahead of all it ever had |
//! | `trust`, `provedAt`, `proof`, `jkt` | its level, when and by what it rose, and the key of its first session (`-` for none) |
//! | `name`, `type`, `place`, `addressPrefix`, `client` | what people recognise it by |
//! | `firstSeenAt`, `lastSeenAt`, `lastApplication` | when sessions began on it |
//! | `data`, `dataVersion` | its sealed data |
//! | `removed` | it was removed: what is left is the epoch, for as long as a session from before could live |
//! | `expiresAt` | when it is forgotten |

use super::{Item, classify, n, number, s, text, unreadable};
use crate::core::device::{DeviceType, TrustLevel};
use crate::core::device_trust::{DeviceFacts, Proof};
use crate::core::id::UserSlot;
use crate::core::privacy::Privacy;
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::limits::{DEVICE_FORGOTTEN_AFTER_SECONDS, LEDGER_SECONDS};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

/// No key, in `jkt`: a device keeps for life what its first session had.
const NO_KEY: &str = "-";

/// Is there, and was not removed.
const REGISTERED: &str = "attribute_exists(firstSeenAt)";

/// The table.
#[derive(Clone)]
pub struct Devices {
    client: Client,
    table: String,
}

/// A registered device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub device_id: String,
    /// A name people recognise.
    pub name: Option<String>,
    /// Its kind.
    pub device_type: Option<DeviceType>,
    /// Level, age and key.
    pub facts: DeviceFacts,
    /// When the last session began on it.
    pub last_seen_at: Timestamp,
    /// Where it was then, coarsely.
    pub place: Option<String>,
    /// The address prefix of that session.
    pub address_prefix: Option<String>,
    /// Browser family and operating system of that session.
    pub client: Option<String>,
    /// The application of that session.
    pub last_application: Option<String>,
    /// When and by what its trust rose.
    pub proved: Option<(Timestamp, Proof)>,
    /// Its epoch.
    pub epoch: u32,
}

/// What a beginning session says of its device.
#[derive(Debug, Clone, Default)]
pub struct Sighting {
    /// A name for a device that has none: what people called it stays.
    pub name: Option<String>,
    /// The stated kind; it replaces what was known.
    pub stated_type: Option<DeviceType>,
    /// The kind that the user agent claims; it stands until one is stated.
    pub parsed_type: Option<DeviceType>,
    /// Where, coarsely.
    pub place: Option<String>,
    /// The address prefix.
    pub address_prefix: Option<String>,
    /// Browser family and operating system.
    pub client: Option<String>,
    /// The key that the session is bound to.
    pub jkt: Option<String>,
    /// The application.
    pub application_id: String,
    /// What the user has switched off.
    pub privacy: Privacy,
}

impl Sighting {
    /// What may be kept of it; what it may not say is taken from the device as well.
    pub fn permitted(self, privacy: Privacy) -> Self {
        Sighting {
            place: self.place.filter(|_| privacy.location()),
            address_prefix: self.address_prefix.filter(|_| privacy.location()),
            client: self.client.filter(|_| privacy.fingerprinting()),
            privacy,
            ..self
        }
    }
}

/// The attributes of a device that the settings forbid.
fn forbidden(privacy: Privacy) -> Vec<&'static str> {
    let mut names = Vec::new();
    if !privacy.location() {
        names.extend(["place", "addressPrefix"]);
    }
    if !privacy.fingerprinting() {
        names.push("client");
    }
    names
}

/// A version of sealed data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version; 0 when nothing was ever written.
    pub version: u32,
    /// The ciphertext; empty for none.
    pub sealed: Vec<u8>,
}

impl Devices {
    /// Opens the table.
    pub fn new(client: Client, table: String) -> Self {
        Devices { client, table }
    }

    /// Notes that a session begins on a device, and registers it when it is not known: one call. `None` when it is
    /// blocked.
    pub async fn register(
        &self,
        slot: UserSlot,
        device_id: &str,
        sighting: &Sighting,
        now: Timestamp,
    ) -> Result<Option<Device>> {
        let mut sets = vec![
            "firstSeenAt = if_not_exists(firstSeenAt, :now)",
            "lastSeenAt = :now",
            "trust = if_not_exists(trust, :new)",
            "epoch = if_not_exists(epoch, :epoch)",
            "jkt = if_not_exists(jkt, :jkt)",
            "lastApplication = :application",
            "expiresAt = :expiresAt",
        ];
        let epoch = u32::try_from(now.seconds()).unwrap_or(u32::MAX);
        let mut request = self
            .update(slot, device_id)
            .condition_expression("attribute_not_exists(trust) OR trust <> :blocked")
            .expression_attribute_values(":now", n(now.millis()))
            .expression_attribute_values(":new", s(TrustLevel::New.as_str()))
            .expression_attribute_values(":blocked", s(TrustLevel::Blocked.as_str()))
            .expression_attribute_values(":epoch", n(epoch))
            .expression_attribute_values(":jkt", s(sighting.jkt.as_deref().unwrap_or(NO_KEY)))
            .expression_attribute_values(":application", s(&sighting.application_id))
            .expression_attribute_values(":expiresAt", n(now.plus_seconds(DEVICE_FORGOTTEN_AFTER_SECONDS).seconds()));
        let stated = sighting.stated_type.map(DeviceType::as_str);
        let parsed = sighting.parsed_type.filter(|_| stated.is_none()).map(DeviceType::as_str);
        for (set, value, placeholder) in [
            ("#name = if_not_exists(#name, :name)", sighting.name.as_deref(), ":name"),
            ("#type = :type", stated, ":type"),
            ("#type = if_not_exists(#type, :type)", parsed, ":type"),
            ("place = :place", sighting.place.as_deref(), ":place"),
            ("addressPrefix = :address", sighting.address_prefix.as_deref(), ":address"),
            ("client = :client", sighting.client.as_deref(), ":client"),
        ] {
            if let Some(value) = value {
                sets.push(set);
                request = request.expression_attribute_values(placeholder, s(value));
            }
        }
        if sighting.name.is_some() {
            request = request.expression_attribute_names("#name", "name");
        }
        if stated.or(parsed).is_some() {
            request = request.expression_attribute_names("#type", "type");
        }
        let removes = [vec!["removed"], forbidden(sighting.privacy)].concat();
        let update = format!("SET {} REMOVE {}", sets.join(", "), removes.join(", "));
        let item = self.send(request.update_expression(update)).await?;
        item.map(|item| self.read(&item)).transpose()
    }

    /// A device; `None` when it is not registered.
    pub async fn get(&self, slot: UserSlot, device_id: &str, now: Timestamp) -> Result<Option<Device>> {
        let item = self.item(slot, device_id, now).await?;
        item.filter(|item| !item.contains_key("removed")).map(|item| self.read(&item)).transpose()
    }

    /// The epoch that is left of a removed device.
    pub async fn removed_epoch(&self, slot: UserSlot, device_id: &str, now: Timestamp) -> Result<Option<u32>> {
        let item = self.item(slot, device_id, now).await?.filter(|item| item.contains_key("removed"));
        item.map(|item| self.epoch(&item)).transpose()
    }

    async fn item(&self, slot: UserSlot, device_id: &str, now: Timestamp) -> Result<Option<Item>> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .key("deviceId", s(device_id))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(output.item.filter(|item| in_time(item, now)))
    }

    /// Every registered device of a user, in no order, without their data.
    pub async fn list(&self, slot: UserSlot, now: Timestamp) -> Result<Vec<Device>> {
        const SHOWN: &str = "deviceId, #name, #type, trust, firstSeenAt, lastSeenAt, lastApplication, place, \
            addressPrefix, client, epoch, provedAt, proof, jkt, removed, expiresAt";
        let mut devices = Vec::new();
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("userTag = :user")
            .expression_attribute_values(":user", s(slot.subject()))
            .projection_expression(SHOWN)
            .expression_attribute_names("#name", "name")
            .expression_attribute_names("#type", "type")
            .consistent_read(true)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(&error))?;
            for item in page.items().iter().filter(|item| in_time(item, now) && !item.contains_key("removed")) {
                devices.push(self.read(item)?);
            }
        }
        Ok(devices)
    }

    /// Changes name and place. `None` when the device is not registered.
    pub async fn describe(
        &self,
        slot: UserSlot,
        device_id: &str,
        name: Option<&str>,
        place: Option<&str>,
    ) -> Result<Option<Device>> {
        let mut sets = Vec::new();
        let mut request = self.update(slot, device_id).condition_expression(REGISTERED);
        if let Some(name) = name {
            sets.push("#name = :name");
            request = request.expression_attribute_names("#name", "name").expression_attribute_values(":name", s(name));
        }
        if let Some(place) = place {
            sets.push("place = :place");
            request = request.expression_attribute_values(":place", s(place));
        }
        let item = self.send(request.update_expression(format!("SET {}", sets.join(", ")))).await?;
        item.map(|item| self.read(&item)).transpose()
    }

    /// Sets a level other than blocked, if the device still has the level that the decision was made about, and nobody
    /// ended its sessions since. `None` when it has not.
    pub async fn set_trust(
        &self,
        slot: UserSlot,
        device: &Device,
        trust: TrustLevel,
        proof: Option<Proof>,
        now: Timestamp,
    ) -> Result<Option<Device>> {
        let request = self
            .update(slot, &device.device_id)
            .condition_expression(format!("{REGISTERED} AND trust = :before AND epoch = :epoch"))
            .expression_attribute_values(":before", s(device.facts.trust.as_str()))
            .expression_attribute_values(":epoch", n(device.epoch))
            .expression_attribute_values(":trust", s(trust.as_str()))
            .expression_attribute_values(":expiresAt", n(now.plus_seconds(DEVICE_FORGOTTEN_AFTER_SECONDS).seconds()));
        let set = "SET trust = :trust, expiresAt = :expiresAt";
        let request = match proof {
            Some(proof) => request
                .update_expression(format!("{set}, provedAt = :now, proof = :proof"))
                .expression_attribute_values(":now", n(now.millis()))
                .expression_attribute_values(":proof", s(proof.as_str())),
            None if trust < TrustLevel::Known => request.update_expression(format!("{set} REMOVE provedAt, proof")),
            None => request.update_expression(set),
        };
        let item = self.send(request).await?;
        item.map(|item| self.read(&item)).transpose()
    }

    /// Takes from a user's devices what the settings forbid.
    pub async fn strip(&self, slot: UserSlot, privacy: Privacy, now: Timestamp) -> Result<()> {
        let names = forbidden(privacy);
        if names.is_empty() {
            return Ok(());
        }
        for device in self.list(slot, now).await? {
            let request = self.update(slot, &device.device_id).condition_expression(REGISTERED);
            self.send(request.update_expression(format!("REMOVE {}", names.join(", ")))).await?;
        }
        Ok(())
    }

    /// How many devices, removed ones included, were there before a time, and their deletion when that is asked for. What a
    /// registration makes anew is ahead of all it ever had, so nothing has to stay.
    pub async fn erase(&self, slot: UserSlot, before: Timestamp, delete: bool) -> Result<u64> {
        let mut found = 0;
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("userTag = :user")
            .expression_attribute_values(":user", s(slot.subject()))
            .projection_expression("deviceId, firstSeenAt")
            .consistent_read(true)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(&error))?;
            for item in page.items() {
                if number::<i64>(item, "firstSeenAt").is_some_and(|at| at > before.millis()) {
                    continue;
                }
                found += 1;
                if delete {
                    let id = text(item, "deviceId").ok_or_else(|| unreadable(&self.table))?;
                    let key = self.client.delete_item().table_name(&self.table).key("userTag", s(slot.subject()));
                    key.key("deviceId", s(id)).send().await.map_err(|error| classify(&error))?;
                }
            }
        }
        Ok(found)
    }

    /// Raises the epoch of a registered device. `None` when it is not registered.
    pub async fn raise_epoch(&self, slot: UserSlot, device_id: &str) -> Result<Option<Device>> {
        let request = self
            .update(slot, device_id)
            .condition_expression(REGISTERED)
            .update_expression("ADD epoch :one")
            .expression_attribute_values(":one", n(1));
        let item = self.send(request).await?;
        item.map(|item| self.read(&item)).transpose()
    }

    /// Blocks a device and raises its epoch. It is not forgotten: that would unblock it.
    pub async fn block(&self, slot: UserSlot, device_id: &str) -> Result<Option<Device>> {
        let request = self
            .update(slot, device_id)
            .condition_expression(REGISTERED)
            .update_expression("SET trust = :blocked REMOVE provedAt, proof, expiresAt ADD epoch :one")
            .expression_attribute_values(":blocked", s(TrustLevel::Blocked.as_str()))
            .expression_attribute_values(":one", n(1));
        let item = self.send(request).await?;
        item.map(|item| self.read(&item)).transpose()
    }

    /// Removes everything of a device but its epoch, which rises, and the version of its data, so that nobody takes the
    /// data of its next registration for what it had. `None` when it is not registered.
    pub async fn remove(&self, slot: UserSlot, device_id: &str, now: Timestamp) -> Result<Option<u32>> {
        const UPDATE: &str = "SET removed = :true, expiresAt = :expiresAt, \
            dataVersion = if_not_exists(dataVersion, :zero) + :one \
            REMOVE #name, #type, trust, firstSeenAt, lastSeenAt, lastApplication, place, addressPrefix, client, \
            provedAt, proof, jkt, #data ADD epoch :one";
        let request = self
            .update(slot, device_id)
            .condition_expression(REGISTERED)
            .update_expression(UPDATE)
            .expression_attribute_names("#name", "name")
            .expression_attribute_names("#type", "type")
            .expression_attribute_names("#data", "data")
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":expiresAt", n(now.plus_seconds(LEDGER_SECONDS).seconds()));
        self.send(request).await?.map(|item| self.epoch(&item)).transpose()
    }

    /// The data of a device; `None` when it is not registered.
    pub async fn data(&self, slot: UserSlot, device_id: &str, now: Timestamp) -> Result<Option<Stored>> {
        let item = self.item(slot, device_id, now).await?.filter(|item| !item.contains_key("removed"));
        Ok(item.map(|mut item| Stored {
            version: number(&item, "dataVersion").unwrap_or(0),
            sealed: blob(&mut item, "data"),
        }))
    }

    /// Writes the version after `expected`, if that is the current one. Whether it was.
    pub async fn save_data(&self, slot: UserSlot, device_id: &str, expected: u32, sealed: &[u8]) -> Result<bool> {
        let request =
            versioned(self.update(slot, device_id), ["data", "dataVersion"], Some(REGISTERED), expected, sealed);
        Ok(self.send(request).await?.is_some())
    }

    fn update(&self, slot: UserSlot, device_id: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("userTag", s(slot.subject()))
            .key("deviceId", s(device_id))
            .return_values(ReturnValue::AllNew)
    }

    async fn send(&self, request: UpdateItemFluentBuilder) -> Result<Option<Item>> {
        updated(request).await
    }

    fn epoch(&self, item: &Item) -> Result<u32> {
        number(item, "epoch").ok_or_else(|| unreadable(&self.table))
    }

    fn read(&self, item: &Item) -> Result<Device> {
        let owned = |name: &str| text(item, name).map(str::to_owned);
        let at = |name: &str| number(item, name).map(Timestamp::from_millis);
        let broken = || unreadable(&self.table);
        let proof = text(item, "proof").and_then(Proof::parse);
        Ok(Device {
            device_id: owned("deviceId").ok_or_else(broken)?,
            name: owned("name"),
            device_type: text(item, "type").and_then(DeviceType::parse),
            facts: DeviceFacts {
                trust: text(item, "trust").and_then(TrustLevel::parse).ok_or_else(broken)?,
                first_seen_at: at("firstSeenAt").ok_or_else(broken)?,
                jkt: owned("jkt").filter(|jkt| jkt != NO_KEY),
            },
            last_seen_at: at("lastSeenAt").ok_or_else(broken)?,
            place: owned("place"),
            address_prefix: owned("addressPrefix"),
            client: owned("client"),
            last_application: owned("lastApplication"),
            proved: at("provedAt").zip(proof),
            epoch: self.epoch(item)?,
        })
    }
}

/// Sends an update; `None` when its condition does not hold.
pub(super) async fn updated(request: UpdateItemFluentBuilder) -> Result<Option<Item>> {
    match request.send().await {
        Ok(output) => Ok(output.attributes),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(None),
        Err(error) => Err(classify(&error)),
    }
}

/// An update that writes sealed data and the version after `expected`, if that is the current one.
pub(super) fn versioned(
    request: UpdateItemFluentBuilder,
    [data, version]: [&str; 2],
    also: Option<&str>,
    expected: u32,
    sealed: &[u8],
) -> UpdateItemFluentBuilder {
    let current = match expected {
        0 => "(attribute_not_exists(#version) OR #version = :expected)",
        _ => "#version = :expected",
    };
    let condition = also.map_or_else(|| current.to_owned(), |also| format!("{also} AND {current}"));
    request
        .condition_expression(condition)
        .update_expression("SET #data = :data, #version = :version")
        .expression_attribute_names("#data", data)
        .expression_attribute_names("#version", version)
        .expression_attribute_values(":data", AttributeValue::B(Blob::new(sealed)))
        .expression_attribute_values(":expected", n(expected))
        .expression_attribute_values(":version", n(u64::from(expected) + 1))
}

/// A binary attribute, taken out of an item; empty when there is none.
pub(super) fn blob(item: &mut Item, name: &str) -> Vec<u8> {
    match item.remove(name) {
        Some(AttributeValue::B(blob)) => blob.into_inner(),
        Some(_) | None => Vec::new(),
    }
}

/// DynamoDB deletes expired items late.
fn in_time(item: &Item, now: Timestamp) -> bool {
    number::<i64>(item, "expiresAt").is_none_or(|expires_at| now.seconds() < expires_at)
}
