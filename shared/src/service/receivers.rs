//! Handing events over to the receivers of applications: which event is for whom, and one item for each pair.

use crate::adapters::dynamodb::applications::Applications;
use crate::adapters::dynamodb::deliveries::{Deliveries, Recipient};
use crate::clock;
use crate::core::application::Application;
use crate::core::audit::AuditEvent;
use crate::core::notice::Notice;
use crate::core::receiver::Receiver;
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::limits::{APPLICATION_CACHE_SECONDS, DELIVERY_PUTS_CONCURRENCY};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The only event about a user and not about one session of one application.
const USER_REVOKED: &str = "user.revoked";

/// Who hears of what: the receivers of every application, and of every group.
#[derive(Default)]
pub struct Directory {
    by_application: HashMap<String, Vec<(Recipient, Receiver)>>,
    by_group: HashMap<String, Vec<(Recipient, Receiver)>>,
    groups: HashMap<String, String>,
}

impl Directory {
    /// Of applications without a receiver only the group is kept.
    pub fn of(applications: &[Application]) -> Self {
        let mut directory = Directory::default();
        for application in applications {
            let (id, group) = (&application.application_id, &application.group_id);
            directory.groups.insert(id.clone(), group.clone());
            for receiver in &application.receivers {
                let recipient = Recipient { application_id: id.clone(), receiver_id: receiver.receiver_id.clone() };
                let entry = (recipient, receiver.clone());
                directory.by_application.entry(id.clone()).or_default().push(entry.clone());
                directory.by_group.entry(group.clone()).or_default().push(entry);
            }
        }
        directory
    }

    /// Who is to hear of an event. Applications of a group share users, so the end of all sessions of a user concerns
    /// every one of them; everything else concerns the application alone.
    fn recipients<'a>(&'a self, application_id: &str, event_type: &'a str) -> impl Iterator<Item = &'a Recipient> {
        let entries = match event_type {
            USER_REVOKED => self.groups.get(application_id).and_then(|group| self.by_group.get(group)),
            _ => self.by_application.get(application_id),
        };
        let hears = move |(_, receiver): &&(Recipient, Receiver)| receiver.hears(event_type);
        entries.into_iter().flatten().filter(hears).map(|(recipient, _)| recipient)
    }

    /// What a batch of events gives to deliver.
    fn deliveries<'a>(&self, events: impl Iterator<Item = &'a AuditEvent>) -> Vec<(Recipient, Notice)> {
        if self.by_application.is_empty() {
            return Vec::new();
        }
        events
            .flat_map(|event| {
                let recipients = self.recipients(&event.application_id, &event.event_type);
                recipients.map(|recipient| (recipient.clone(), Notice::of(event)))
            })
            .collect()
    }

    /// Who hears of an alert: operators of every one, through the topic, and an application of its own.
    fn announcements(&self, notices: &[Notice]) -> Vec<(Recipient, Notice)> {
        let recipients = |notice: &Notice| -> Vec<Recipient> {
            let own = self.recipients(&notice.application_id, &notice.event_type).cloned();
            std::iter::once(Recipient::topic()).chain(own).collect()
        };
        let each =
            |notice: &Notice| recipients(notice).into_iter().map(|recipient| (recipient, notice.clone())).collect();
        notices.iter().flat_map(|notice| -> Vec<_> { each(notice) }).collect()
    }
}

/// What is to be handed over once the events it came from are in the audit.
pub struct Waiting(Vec<(Recipient, Notice)>);

/// The receivers as this environment knows them, and the table that their deliveries go to.
pub struct Receivers {
    applications: Applications,
    deliveries: Deliveries,
    remembered: Mutex<Option<(Timestamp, Arc<Directory>)>>,
}

impl Receivers {
    /// Over the two tables.
    pub fn new(applications: Applications, deliveries: Deliveries) -> Self {
        Receivers { applications, deliveries, remembered: Mutex::default() }
    }

    /// What events give to deliver, by application records at most a minute old.
    pub async fn waiting<'a>(&self, events: impl Iterator<Item = &'a AuditEvent>) -> Result<Waiting> {
        Ok(Waiting(self.directory().await?.deliveries(events)))
    }

    /// Hands over notices of alerts, and returns how much of it was new.
    pub async fn announce(&self, notices: &[Notice]) -> Result<u64> {
        let waiting = Waiting(self.directory().await?.announcements(notices));
        self.hand_over(waiting).await
    }

    /// Hands over what waits, and returns how much of it was new. Running it again hands over the rest.
    pub async fn hand_over(&self, waiting: Waiting) -> Result<u64> {
        let now = clock::now();
        stream::iter(waiting.0)
            .map(|(recipient, notice)| async move { self.deliveries.hand_over(&recipient, &notice, now).await })
            .buffer_unordered(DELIVERY_PUTS_CONCURRENCY)
            .try_fold(0, |sum, new| future::ready(Ok(sum + u64::from(new))))
            .await
    }

    async fn directory(&self) -> Result<Arc<Directory>> {
        let mut remembered = self.remembered.lock().await;
        let now = clock::now();
        if let Some((read_at, directory)) = remembered.as_ref()
            && *read_at <= now
            && now < read_at.plus_seconds(APPLICATION_CACHE_SECONDS)
        {
            return Ok(directory.clone());
        }
        let directory = Arc::new(Directory::of(&self.applications.all().await?));
        *remembered = Some((now, directory.clone()));
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::application::ApplicationStatus;
    use crate::core::policy::Policy;
    use crate::core::receiver::NewReceiver;

    fn application(id: &str, group: &str, receivers: &[serde_json::Value]) -> Application {
        let receiver = |json: &serde_json::Value| {
            let new: NewReceiver = serde_json::from_value(json.clone()).expect("a receiver");
            Receiver::new(new, false, ([0; 8], [0; 16]), Timestamp::from_seconds(0)).expect("valid")
        };
        Application {
            application_id: id.into(),
            group_id: group.into(),
            name: id.into(),
            scopes: Vec::new(),
            status: ApplicationStatus::Active,
            policy: Policy::default(),
            keys: Vec::new(),
            receivers: receivers.iter().map(receiver).collect(),
            created_at: 0,
            version: 1,
        }
    }

    fn event(application: &str, event_type: &str) -> AuditEvent {
        AuditEvent {
            event_id: "e".into(),
            occurred_at: Timestamp::from_seconds(0),
            event_type: event_type.into(),
            application_id: application.into(),
            subject: "b000.AAAAAAAA".into(),
            session_id: String::new(),
            actor: "application".into(),
            reason: String::new(),
            detail: String::new(),
            sealed: Vec::new(),
            request_id: "r".into(),
        }
    }

    /// I-9: an application hears of its own sessions, and of the users it shares.
    #[test]
    fn events_go_to_their_application_and_ended_users_to_the_group() {
        let webhook = |id: &str, events: &[&str]| serde_json::json!({"receiverId": id, "url": "https://a.example/", "kind": "webhook", "events": events});
        let directory = Directory::of(&[
            application("shop", "shops", &[webhook("all", &["session.ended", "user.revoked", "session.created"])]),
            application("till", "shops", &[webhook("ends", &["session.ended"]), webhook("users", &["user.revoked"])]),
            application("bank", "bank", &[webhook("all", &["session.ended", "user.revoked"])]),
            application("quiet", "shops", &[]),
        ]);
        let told = |application: &str, event_type: &str| {
            let deliveries = directory.deliveries([event(application, event_type)].iter());
            let names = deliveries.into_iter().map(|(recipient, _)| (recipient.application_id, recipient.receiver_id));
            let mut names: Vec<_> = names.map(|(application, receiver)| format!("{application}/{receiver}")).collect();
            names.sort();
            names
        };
        assert_eq!(told("shop", "session.ended"), ["shop/all"]);
        assert_eq!(told("shop", "session.created"), ["shop/all"]);
        assert_eq!(told("till", "session.ended"), ["till/ends"]);
        assert_eq!(told("quiet", "session.ended"), [""; 0]);
        for caller in ["shop", "till", "quiet"] {
            assert_eq!(told(caller, "user.revoked"), ["shop/all", "till/users"], "{caller}");
        }
        assert_eq!(told("bank", "user.revoked"), ["bank/all"]);
        assert_eq!(told("nobody", "user.revoked"), [""; 0]);
    }

    /// Operators hear of every alert, an application of its own only, and nobody else of the stack's.
    #[test]
    fn alerts_go_to_the_topic_and_to_their_application() {
        use crate::core::alerts::{Alert, Rule};
        let webhook = |id: &str, events: &[&str]| serde_json::json!({"receiverId": id, "url": "https://a.example/", "kind": "webhook", "events": events});
        let directory = Directory::of(&[
            application("shop", "shops", &[webhook("alerts", &["alert.fired"]), webhook("ends", &["session.ended"])]),
            application("till", "shops", &[webhook("alerts", &["alert.fired", "alert.resolved"])]),
        ]);
        let told = |application: &str, rule| {
            let at = Timestamp::from_seconds(1);
            let alert = Alert {
                alert_id: "a".into(),
                rule,
                application_id: application.into(),
                started_at: at,
                breached_at: at,
                resolved_at: Some(at),
                value: 1.0,
                threshold: 1.0,
            };
            let notices = [Notice::alert_fired(&alert), Notice::alert_resolved(&alert)];
            let name = |(to, notice): (Recipient, Notice)| {
                format!("{}/{} {}", to.application_id, to.receiver_id, notice.event_id)
            };
            directory.announcements(&notices).into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(told("shop", Rule::RefreshReuse), ["/sns a.fired", "shop/alerts a.fired", "/sns a.resolved"]);
        assert_eq!(told("", Rule::AuditLag), ["/sns a.fired", "/sns a.resolved"]);
    }
}
