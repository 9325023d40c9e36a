//! What of a session an application reaches: all of its own, or its share of one that another application owns.

use super::present::{Data, SessionView};
use super::runtime::Service;
use crate::adapters::redis::scripts;
use crate::core::application::{Application, Scope};
use crate::core::assurance;
use crate::core::device::DeviceType;
use crate::core::family::Family;
use crate::core::id::SessionId;
use crate::core::policy::Effective;
use crate::core::record::{SHARED, SessionRecord, State};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};

/// A session as an application sees it.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The record; through a share, with the family's own place and application in it.
    pub record: SessionRecord,
    /// The share, when another application owns the session.
    pub share: Option<Share>,
}

/// A share of a session.
#[derive(Debug, Clone)]
pub struct Share {
    /// The application's family.
    pub family: Family,
    /// The application that owns the session.
    pub owner_id: String,
}

impl Reached {
    /// A record that the application owns, or sees through its family.
    pub fn new(record: SessionRecord, family: Option<Family>) -> Self {
        match family {
            None => Reached { record, share: None },
            Some(family) => {
                let owner_id = record.attributes.application_id.clone();
                Reached { record: family.merged_record(&record), share: Some(Share { family, owner_id }) }
            }
        }
    }

    /// Owners may do everything, others what was shared with them.
    pub fn require(&self, scope: Scope) -> Result<()> {
        match &self.share {
            Some(share) if !share.family.scopes.contains(scope) => Err(Error::InsufficientScope(scope)),
            Some(_) | None => Ok(()),
        }
    }

    /// What only the owning application may do.
    pub fn require_owner(&self) -> Result<()> {
        if self.share.is_some() { Err(Error::OwnerOnly) } else { Ok(()) }
    }

    /// The session as JSON.
    pub fn view(self, session: SessionId, data: Option<Data>) -> SessionView {
        let view = SessionView::new(session, self.record, data);
        match &self.share {
            Some(share) => view.with_shared_from(&share.owner_id),
            None => view,
        }
    }
}

/// The record as an application with this tag sees it; `None` when it neither owns nor shares the session. Only a record
/// that says it is shared costs a second round trip.
pub async fn reach(
    service: &Service,
    session: SessionId,
    record: Option<SessionRecord>,
    tag: [u8; 8],
) -> Result<Option<Reached>> {
    let Some(record) = record else { return Ok(None) };
    if record.header.application_tag == tag {
        return Ok(Some(Reached::new(record, None)));
    }
    if record.header.flags & SHARED == 0 || record.header.state != State::Active {
        return Ok(None);
    }
    let family = scripts::family_reply(&Box::pin(service.state.command(&scripts::family(&session, tag))).await?)?;
    Ok(family.map(|family| Reached::new(record, Some(family))))
}

/// The rules of a session under an application's policy.
pub fn rules(application: &Application, record: &SessionRecord) -> Effective {
    let kind = record.attributes.device_type.as_deref().and_then(DeviceType::parse);
    application.policy.effective(kind, record.header.trust)
}

/// Sensitive operations of a holder need a recent authentication of its own session (RFC 9470, ASVS 7.5.3).
pub fn require_recent(application: &Application, record: &SessionRecord, now: Timestamp) -> Result<()> {
    let max_age_seconds = rules(application, record).step_up_age_seconds;
    match assurance::is_recent(record, max_age_seconds, now) {
        true => Ok(()),
        false => Err(Error::StepUpRequired { max_age_seconds }),
    }
}
