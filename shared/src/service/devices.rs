//! A user's devices: listed, renamed, trusted, blocked, removed.

use super::authenticate::{Caller, authenticate};
use super::end::{Progress, in_order};
use super::end_user::user_slot;
use super::get;
use super::inbound::Inbound;
use super::privacy;
use super::rate;
use super::reach;
use super::runtime::Service;
use crate::adapters::dynamodb::devices::{Device, Sighting};
use crate::adapters::redis::scripts;
use crate::core::application::Scope;
use crate::core::device::{DeviceType, TrustLevel};
use crate::core::device_tag::DeviceTag;
use crate::core::device_trust::{self, Evidence, bound_key};
use crate::core::end_reason::EndReason;
use crate::core::id::{SessionId, UserId, UserSlot};
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::ledger::LedgerEntry;
use crate::core::record::SessionRecord;
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::DEVICES_MAX;
use serde::Serialize;

/// A device as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    device_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    device_type: Option<&'static str>,
    trust: &'static str,
    first_seen_at: Timestamp,
    last_seen_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_application_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proved_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<bool>,
}

/// The devices of a user.
#[derive(Debug, Serialize)]
pub struct DeviceList {
    /// Those seen last first.
    pub devices: Vec<DeviceView>,
}

/// What to change of a device; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct DeviceChange {
    /// Another name.
    pub name: Option<String>,
    /// Another place.
    pub place: Option<String>,
    /// Another level.
    pub trust: Option<TrustLevel>,
    /// For applications: the live session of the device that proves a rise.
    pub proving_session: Option<SessionId>,
}

/// Who asks about the devices of which user.
pub(super) struct Access {
    pub(super) caller: Caller,
    pub(super) slot: UserSlot,
    /// A holder's own live session.
    own: Option<SessionRecord>,
}

impl DeviceView {
    /// A device with nothing of whom it is shown to.
    pub(super) fn of(device: Device) -> Self {
        DeviceView {
            current: None,
            name: device.name,
            device_type: device.device_type.map(DeviceType::as_str),
            trust: device.facts.trust.as_str(),
            first_seen_at: device.facts.first_seen_at,
            last_seen_at: device.last_seen_at,
            last_application_id: device.last_application,
            place: device.place,
            address_prefix: device.address_prefix,
            client: device.client,
            proof: device.proved.map(|(_, proof)| proof.as_str()),
            proved_at: device.proved.map(|(at, _)| at),
            device_id: device.device_id,
        }
    }
}

impl Access {
    /// Authenticates an application with `devices:manage`, or a holder of the user whose session lives.
    pub(super) async fn of(service: &Service, inbound: &Inbound, user: &UserId) -> Result<Self> {
        let caller = authenticate(service, inbound).await?;
        caller.require(Scope::DevicesManage)?;
        let slot = user_slot(service, inbound, &caller, user).await?;
        let mut access = Access { caller, slot, own: None };
        access.check_session(service, inbound.now).await?;
        Ok(access)
    }

    /// Looks at a holder's own session again.
    pub(super) async fn check_session(&mut self, service: &Service, now: Timestamp) -> Result<()> {
        if let Caller::Holder(holder) = &self.caller {
            self.own = Some(get::load(service, &self.caller, holder.session, self.slot, now).await?);
        }
        Ok(())
    }

    fn view(&self, device: Device) -> DeviceView {
        let own = self.own.as_ref().map(|record| record.attributes.device_id.as_deref());
        let current = own.map(|own| own == Some(device.device_id.as_str()));
        DeviceView { current, ..DeviceView::of(device) }
    }

    /// Sensitive operations of a holder need a recent authentication (RFC 9470).
    fn require_recent(&self, now: Timestamp) -> Result<()> {
        let Some(record) = &self.own else { return Ok(()) };
        reach::require_recent(self.caller.application(), record, now)
    }
}

/// The tag of a user's device.
pub(super) async fn device_tag(
    service: &Service,
    slot: UserSlot,
    device_id: &str,
    now: Timestamp,
) -> Result<DeviceTag> {
    let ring = service.keys.ring(Purpose::Pseudonym).await?;
    let (_, key) = ring.active(KeyUse::Pseudonym, now)?;
    Ok(DeviceTag::of(key, slot, device_id))
}

/// Notes that a session begins on a device.
pub(super) async fn sighted(
    service: &Service,
    slot: UserSlot,
    device_id: &str,
    sighting: &Sighting,
    now: Timestamp,
) -> Result<Device> {
    service.devices.register(slot, device_id, sighting, now).await?.ok_or(Error::DeviceBlocked)
}

/// Lists the devices of a user: the hundred that were seen last.
pub async fn list_devices(service: &Service, inbound: &Inbound, user: &UserId) -> Result<DeviceList> {
    rate::watch(service, inbound, list(service, inbound, user)).await
}

async fn list(service: &Service, inbound: &Inbound, user: &UserId) -> Result<DeviceList> {
    let access = Access::of(service, inbound, user).await?;
    let mut devices = service.devices.list(access.slot, inbound.now).await?;
    devices.sort_by(|a, b| b.last_seen_at.cmp(&a.last_seen_at).then_with(|| a.device_id.cmp(&b.device_id)));
    devices.truncate(DEVICES_MAX);
    Ok(DeviceList { devices: devices.into_iter().map(|device| access.view(device)).collect() })
}

/// Shows one device.
pub async fn get_device(service: &Service, inbound: &Inbound, user: &UserId, device_id: &str) -> Result<DeviceView> {
    rate::watch(service, inbound, get(service, inbound, user, device_id)).await
}

async fn get(service: &Service, inbound: &Inbound, user: &UserId, device_id: &str) -> Result<DeviceView> {
    let access = Access::of(service, inbound, user).await?;
    let device = service.devices.get(access.slot, device_id, inbound.now).await?.ok_or(Error::NotFound)?;
    Ok(access.view(device))
}

/// Changes a device. `None` when it was blocked while Redis was away: the end of its sessions is durable and still to be
/// applied.
pub async fn change_device(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    device_id: &str,
    change: DeviceChange,
) -> Result<Option<DeviceView>> {
    rate::watch(service, inbound, alter(service, inbound, user, device_id, change)).await
}

async fn alter(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    device_id: &str,
    change: DeviceChange,
) -> Result<Option<DeviceView>> {
    let now = inbound.now;
    let access = Access::of(service, inbound, user).await?;
    let slot = access.slot;
    let mut device = service.devices.get(slot, device_id, now).await?.ok_or(Error::NotFound)?;
    if change.place.is_some() {
        let defaults = access.caller.application().policy.privacy_defaults.privacy();
        if !privacy::collected(service, slot, defaults).await?.location() {
            return Err(Error::field("place", "is not kept: location is off for this user"));
        }
    }
    let proof = match change.trust {
        None => None,
        Some(wanted) => decide(service, &access, &device, wanted, change.proving_session, now).await?,
    };
    if change.name.is_some() || change.place.is_some() {
        let described =
            service.devices.describe(slot, device_id, change.name.as_deref(), change.place.as_deref()).await?;
        device = described.ok_or(Error::NotFound)?;
    }
    match change.trust {
        Some(TrustLevel::Blocked) => {
            device = service.devices.block(slot, device_id).await?.ok_or(Error::NotFound)?;
            let reason = EndReason::DeviceBlocked;
            if end(service, &access.caller, slot, device_id, device.epoch, reason, inbound).await? == Progress::Accepted
            {
                return Ok(None);
            }
        }
        Some(trust) if trust != device.facts.trust => {
            let changed = service.devices.set_trust(slot, &device, trust, proof, now).await?;
            device = changed.ok_or(Error::SessionChanged)?;
        }
        Some(_) | None => {}
    }
    note(service, &access, "device.changed", None, inbound).await?;
    Ok(Some(access.view(device)))
}

/// Whether the caller may set a level, and by which proof the device rises to it.
async fn decide(
    service: &Service,
    access: &Access,
    device: &Device,
    wanted: TrustLevel,
    proving_session: Option<SessionId>,
    now: Timestamp,
) -> Result<Option<device_trust::Proof>> {
    let current = device.facts.trust;
    if wanted > current || wanted == TrustLevel::Blocked {
        access.require_recent(now)?;
    }
    if current == TrustLevel::Blocked {
        let by_application = matches!(access.caller, Caller::Application(_));
        return device_trust::unblock(wanted, by_application).map(|()| None).map_err(|_| Error::TrustNotProved);
    }
    if wanted <= current {
        return Ok(None);
    }
    let proving = match &access.caller {
        Caller::Holder(_) => access.own.clone(),
        Caller::Application(_) => match proving_session {
            Some(session) => proving(service, access, session, now).await?,
            None => None,
        },
    };
    // What a session of another device shows says nothing of this one.
    let tag = device_tag(service, access.slot, &device.device_id, now).await?;
    let proving = proving.filter(|record| record.attributes.device_tag == Some(tag));
    let evidence = proving.as_ref().map(|record| Evidence {
        recent_authentication: reach::require_recent(access.caller.application(), record, now).is_ok(),
        jkt: bound_key(record),
    });
    device_trust::change(&device.facts, wanted, evidence, now).map_err(|_| Error::TrustNotProved)
}

/// The session that an application names as its proof, if it is a live one of this user with this application.
async fn proving(
    service: &Service,
    access: &Access,
    session: SessionId,
    now: Timestamp,
) -> Result<Option<SessionRecord>> {
    if session.user_slot(service.keys.routing().await?) != access.slot {
        return Ok(None);
    }
    match get::load(service, &access.caller, session, access.slot, now).await {
        Ok(record) => Ok(Some(record)),
        Err(Error::NotFound | Error::SessionEnded { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a device and ends its sessions, with every application, for good. Removing what was removed is a success: a
/// removal whose ledger entry failed is so completed.
pub async fn remove_device(service: &Service, inbound: &Inbound, user: &UserId, device_id: &str) -> Result<Progress> {
    rate::watch(service, inbound, remove(service, inbound, user, device_id)).await
}

async fn remove(service: &Service, inbound: &Inbound, user: &UserId, device_id: &str) -> Result<Progress> {
    let now = inbound.now;
    let access = Access::of(service, inbound, user).await?;
    let own = access.own.as_ref().and_then(|record| record.attributes.device_id.as_deref());
    if own != Some(device_id) {
        access.require_recent(now)?;
    }
    let epoch = match service.devices.remove(access.slot, device_id, now).await? {
        Some(epoch) => epoch,
        None => service.devices.removed_epoch(access.slot, device_id, now).await?.ok_or(Error::NotFound)?,
    };
    end(service, &access.caller, access.slot, device_id, epoch, EndReason::DeviceRemoved, inbound).await
}

/// Ends the sessions of a device, which stays registered. A device that is not registered has none.
pub(super) async fn sign_out(
    service: &Service,
    caller: &Caller,
    slot: UserSlot,
    device_id: &str,
    inbound: &Inbound,
) -> Result<Progress> {
    match service.devices.raise_epoch(slot, device_id).await? {
        Some(device) => end(service, caller, slot, device_id, device.epoch, EndReason::DeviceRemoved, inbound).await,
        None => Ok(Progress::Done),
    }
}

/// Ends what is of an earlier epoch of a device: ledger first, then Redis.
async fn end(
    service: &Service,
    caller: &Caller,
    slot: UserSlot,
    device_id: &str,
    epoch: u32,
    reason: EndReason,
    inbound: &Inbound,
) -> Result<Progress> {
    let now = inbound.now;
    let device = device_tag(service, slot, device_id, now).await?;
    let entry = LedgerEntry::Device { slot, device, epoch, reason };
    let operation = inbound.operation(&caller.actor())?;
    let application_id = &caller.application().application_id;
    let call = scripts::end_device(slot, device, epoch, reason, application_id, &operation, now);
    match in_order(service, &entry, &call, now).await? {
        None => Ok(Progress::Accepted),
        Some(reply) => {
            scripts::device_ended(&reply)?;
            Ok(Progress::Done)
        }
    }
}

/// Tells the audit of a change that DynamoDB holds, under an id that the change has or a fresh one. Should that fail, the caller
/// tries the whole again.
pub(super) async fn note(
    service: &Service,
    access: &Access,
    event_type: &'static str,
    event_id: Option<String>,
    inbound: &Inbound,
) -> Result<()> {
    let mut operation = inbound.operation(&access.caller.actor())?;
    if let Some(event_id) = event_id {
        operation.event_id = event_id;
    }
    let application_id = &access.caller.application().application_id;
    service.state.run(&scripts::note(access.slot, event_type, "", application_id, &operation)).await.map(drop)
}
