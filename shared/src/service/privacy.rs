//! What a user lets the service collect: shown and changed by the user or an application.

use super::authenticate::{Caller, authenticate};
use super::catch_up;
use super::end::{Progress, in_order};
use super::end_user::user_slot;
use super::get;
use super::inbound::Inbound;
use super::rate;
use super::reach;
use super::runtime::Service;
use super::update::Expected;
use crate::adapters::redis::{keys, scripts};
use crate::core::application::{Application, Scope};
use crate::core::audit;
use crate::core::id::{UserId, UserSlot};
use crate::core::ledger::{LedgerEntry, Told};
use crate::core::privacy::{Privacy, Settings, Source};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use serde::Serialize;

/// How often a change without a stated version is tried against changes by others.
const CHANGES_MAX: usize = 4;

/// The settings as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivacyView {
    activity_tracking: bool,
    location: bool,
    fingerprinting: bool,
    sharing: bool,
    source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    legal_hold: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
    /// The version, for `ETag`.
    pub version: u32,
}

impl PrivacyView {
    /// What holds with an application, and the hold when there is one.
    pub fn new(settings: Settings, application: &Application) -> Self {
        let (privacy, source) = settings.effective(application.policy.privacy_defaults.privacy());
        let Settings { legal_hold, version, updated_at, .. } = settings;
        PrivacyView {
            activity_tracking: privacy.activity_tracking(),
            location: privacy.location(),
            fingerprinting: privacy.fingerprinting(),
            sharing: privacy.sharing(),
            source,
            legal_hold: legal_hold.then_some(true),
            updated_at,
            version,
        }
    }
}

/// Who asks for something about a person as a whole.
pub(super) struct Access {
    pub(super) caller: Caller,
    pub(super) slot: UserSlot,
}

impl Access {
    /// An application with `privacy:manage`, or a holder of the user whose session lives; `recent` asks of the holder for a
    /// recent authentication.
    pub(super) async fn of(service: &Service, inbound: &Inbound, user: &UserId, recent: bool) -> Result<Self> {
        let caller = authenticate(service, inbound).await?;
        caller.require(Scope::PrivacyManage)?;
        let slot = user_slot(service, inbound, &caller, user).await?;
        if let Caller::Holder(holder) = &caller {
            let own = get::load(service, &caller, holder.session, slot, inbound.now).await?;
            if recent {
                reach::require_recent(&holder.application, &own, inbound.now)?;
            }
        }
        Ok(Access { caller, slot })
    }
}

/// What holds for a user where data is collected, with an application of these defaults.
pub(super) async fn collected(service: &Service, slot: UserSlot, defaults: Privacy) -> Result<Privacy> {
    let mirror = service.state.command(redis::cmd("GET").arg(keys::privacy(slot))).await?;
    let mirror: Option<Vec<u8>> = redis::FromRedisValue::from_redis_value(mirror).unwrap_or_default();
    Ok(mirror.map_or(defaults, |mirror| Privacy::of_mirror(&mirror)))
}

/// Shows the settings.
pub async fn get_privacy(service: &Service, inbound: &Inbound, user: &UserId) -> Result<PrivacyView> {
    rate::watch(service, inbound, show(service, inbound, user)).await
}

async fn show(service: &Service, inbound: &Inbound, user: &UserId) -> Result<PrivacyView> {
    let access = Access::of(service, inbound, user, false).await?;
    let settings = service.users.settings(access.slot).await?;
    Ok(PrivacyView::new(settings, access.caller.application()))
}

/// Replaces the switches. What is switched off is taken from all that is held. `None` when Redis is away: the change is
/// durable, and is made there before anything is served from it.
pub async fn put_privacy(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    wanted: Privacy,
    legal_hold: Option<bool>,
    expected: Option<Expected>,
) -> Result<(PrivacyView, Progress)> {
    rate::watch(service, inbound, change(service, inbound, user, wanted, legal_hold, expected)).await
}

async fn change(
    service: &Service,
    inbound: &Inbound,
    user: &UserId,
    wanted: Privacy,
    legal_hold: Option<bool>,
    expected: Option<Expected>,
) -> Result<(PrivacyView, Progress)> {
    let now = inbound.now;
    let access = Access::of(service, inbound, user, false).await?;
    let Access { caller, slot } = &access;
    if let (Caller::Holder(_), Some(_)) = (caller, legal_hold) {
        return Err(Error::ApplicationOnly);
    }
    let (before, settings) = save(service, *slot, wanted, legal_hold, expected, now).await?;
    let mut detail = vec![format!("v{}", settings.version)];
    detail.extend(before.privacy.changes(wanted));
    if before.legal_hold != settings.legal_hold {
        detail.push(format!("{}legal_hold", if settings.legal_hold { '+' } else { '-' }));
    }
    let told = Told {
        application_id: caller.application().application_id.clone(),
        common: audit::common(&caller.actor(), &inbound.request_id, now),
        detail: detail.join(","),
    };
    let entry = LedgerEntry::Privacy { slot: *slot, privacy: wanted, version: settings.version, told };
    let progress = apply(service, &entry, now).await?;
    service.devices.strip(*slot, wanted, now).await?;
    Ok((PrivacyView::new(settings, caller.application()), progress))
}

async fn save(
    service: &Service,
    slot: UserSlot,
    wanted: Privacy,
    legal_hold: Option<bool>,
    expected: Option<Expected>,
    now: Timestamp,
) -> Result<(Settings, Settings)> {
    for _ in 0..CHANGES_MAX {
        let before = service.users.settings(slot).await?;
        if let Some(Expected::Version(version)) = expected
            && version != before.version
        {
            return Err(Error::VersionMismatch { current: before.version });
        }
        if let Some(after) = service.users.save_settings(slot, before.version, wanted, legal_hold, now).await? {
            return Ok((before, after));
        }
    }
    Err(Error::SessionChanged)
}

/// Ledger first, then Redis, by the operation that a catch-up would use: the event has one id whoever brings it there.
async fn apply(service: &Service, entry: &LedgerEntry, now: Timestamp) -> Result<Progress> {
    let LedgerEntry::Privacy { slot, privacy, version, told } = entry else { return Ok(Progress::Done) };
    let operation = catch_up::operation_of(entry, now);
    let call = scripts::set_privacy(*slot, *privacy, *version, &told.application_id, &told.detail, &operation);
    Ok(match in_order(service, entry, &call, now).await? {
        None => Progress::Accepted,
        Some(reply) => {
            scripts::privacy_set(&reply)?;
            Progress::Done
        }
    })
}
