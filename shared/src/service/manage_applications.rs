//! Applications, managed by operators through direct invocation; IAM is the root of trust.

use super::key_store::KeyStore;
use crate::adapters::dynamodb::applications::Applications;
use crate::core::application::{Application, ApplicationStatus, Scope};
use crate::core::application_key::ApplicationKey;
use crate::core::id::ApplicationId;
use crate::core::json::{self, FieldError};
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::metrics::Measured;
use crate::core::policy::{Policy, Preview};
use crate::core::receiver::{NewReceiver, Receiver, ReceiverKind};
use crate::core::retention::StackRetention;
use crate::core::time::Timestamp;
use crate::core::webhook;
use crate::error::{Error, Result};
use crate::limits::{RECEIVERS_MAX, SHORT_TEXT_BYTES_MAX};
use crate::random;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// How long the earlier keys stay valid when a rotation does not say: a day to roll out the new one.
const KEY_OVERLAP_SECONDS_DEFAULT: u64 = 24 * 3600;
/// The longest overlap: 30 days.
const KEY_OVERLAP_SECONDS_MAX: u64 = 30 * 24 * 3600;
/// Concurrent changes are tried this often.
const ATTEMPTS_MAX: usize = 4;

/// What an operator asks for.
#[derive(Debug)]
pub enum Command {
    /// Makes an application and its first key, or shows what that would do.
    Create(NewApplication, Run),
    /// Shows one.
    Get(String),
    /// Shows all.
    List,
    /// Changes name, scopes or policy, or shows what that would do; absent fields stay.
    Update(String, Changes, Run),
    /// Makes a new key; earlier ones stay valid for the overlap. A leaked key wants an overlap of 0.
    Rotate(String, u64),
    /// Refuses its keys and its users' tokens, or serves it again.
    SetStatus(String, ApplicationStatus),
    /// Registers a receiver of its events. A webhook's secret is in the answer, this once.
    AddReceiver(String, NewReceiver),
    /// Forgets a receiver; what waits for it is not delivered.
    RemoveReceiver(String, String),
}

/// Whether a command is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is.
    Real,
    /// Nothing is written; the answer says what would be.
    Dry,
}

impl Run {
    fn of(dry_run: bool) -> Self {
        if dry_run { Run::Dry } else { Run::Real }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Create,
    Get,
    List,
    Update,
    Rotate,
    Disable,
    Enable,
    AddReceiver,
    RemoveReceiver,
}

#[derive(Deserialize)]
struct AnyPayload {
    action: Action,
}

/// An action without anything but its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainPayload {
    #[serde(rename = "action")]
    _action: IgnoredAny,
}

/// An action on one application.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamingPayload {
    #[serde(rename = "action")]
    _action: IgnoredAny,
    application_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreatePayload {
    #[serde(rename = "action")]
    _action: IgnoredAny,
    application: NewApplication,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdatePayload {
    #[serde(rename = "action")]
    _action: IgnoredAny,
    application_id: String,
    changes: Changes,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RotatePayload {
    #[serde(rename = "action")]
    _action: IgnoredAny,
    application_id: String,
    overlap_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AddReceiverPayload {
    #[serde(rename = "action")]
    _action: IgnoredAny,
    application_id: String,
    receiver: NewReceiver,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RemoveReceiverPayload {
    #[serde(rename = "action")]
    _action: IgnoredAny,
    application_id: String,
    receiver_id: String,
}

impl Command {
    /// Reads an invocation payload, `{"action": …}`. The action is read first: a tagged enum would forget where in the
    /// payload a wrong field stands.
    pub fn parse(payload: &[u8]) -> std::result::Result<Self, FieldError> {
        let action = json::parse::<AnyPayload>(payload)?.action;
        Ok(match action {
            Action::Create => {
                let CreatePayload { application, dry_run, .. } = json::parse(payload)?;
                Command::Create(application, Run::of(dry_run))
            }
            Action::List => {
                json::parse::<PlainPayload>(payload)?;
                Command::List
            }
            Action::Update => {
                let UpdatePayload { application_id, changes, dry_run, .. } = json::parse(payload)?;
                Command::Update(application_id, changes, Run::of(dry_run))
            }
            Action::Rotate => {
                let RotatePayload { application_id, overlap_seconds, .. } = json::parse(payload)?;
                Command::Rotate(application_id, overlap_seconds.unwrap_or(KEY_OVERLAP_SECONDS_DEFAULT))
            }
            Action::Get => Command::Get(json::parse::<NamingPayload>(payload)?.application_id),
            Action::Disable => {
                let application_id = json::parse::<NamingPayload>(payload)?.application_id;
                Command::SetStatus(application_id, ApplicationStatus::Disabled)
            }
            Action::Enable => {
                let application_id = json::parse::<NamingPayload>(payload)?.application_id;
                Command::SetStatus(application_id, ApplicationStatus::Active)
            }
            Action::AddReceiver => {
                let AddReceiverPayload { application_id, receiver, .. } = json::parse(payload)?;
                Command::AddReceiver(application_id, receiver)
            }
            Action::RemoveReceiver => {
                let RemoveReceiverPayload { application_id, receiver_id, .. } = json::parse(payload)?;
                Command::RemoveReceiver(application_id, receiver_id)
            }
        })
    }
}

/// A new application.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewApplication {
    /// `[a-z][a-z0-9-]{2,31}`; made up when absent.
    pub application_id: Option<String>,
    /// Applications of one group share users; default: a group of its own.
    pub group_id: Option<String>,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Its session policy.
    #[serde(default)]
    pub policy: Policy,
}

/// Changes to an application.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Changes {
    /// Another name.
    pub name: Option<String>,
    /// Other scopes.
    pub scopes: Option<Vec<Scope>>,
    /// Another policy, as a whole.
    pub policy: Option<Policy>,
}

/// An application without its key digests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationView {
    application_id: String,
    group_id: String,
    name: String,
    scopes: Vec<Scope>,
    status: ApplicationStatus,
    policy: Policy,
    created_at: Timestamp,
    version: u64,
    key_count: usize,
    receivers: Vec<ReceiverView>,
}

/// A receiver without the salt of its secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverView {
    receiver_id: String,
    url: String,
    kind: ReceiverKind,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    created_at: Timestamp,
}

/// The answer to a command.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Answer {
    /// One application, with its new key when one was made: it is shown this once.
    One {
        /// The application.
        application: Box<ApplicationView>,
        /// `sk_…`
        #[serde(skip_serializing_if = "Option::is_none")]
        application_key: Option<String>,
    },
    /// What a command would do; nothing was written.
    Preview {
        /// Always true.
        dry_run: bool,
        /// The application as it would be.
        application: Box<ApplicationView>,
        /// What its policy would do.
        #[serde(flatten)]
        preview: Box<Preview>,
    },
    /// One application and a receiver that was added.
    Receiver {
        /// The application.
        application: Box<ApplicationView>,
        /// The receiver.
        receiver: ReceiverView,
        /// `whsec_…` of a webhook: what its messages are signed with. It is shown this once.
        #[serde(skip_serializing_if = "Option::is_none")]
        receiver_secret: Option<String>,
    },
    /// All of them.
    Many {
        /// The applications.
        applications: Vec<ApplicationView>,
    },
}

/// The answer may hold a credential: nothing of it is measured.
impl Measured for Answer {}

/// What commands are carried out on.
pub struct Desk {
    /// Application records.
    pub applications: Applications,
    /// Where the secrets of webhooks are derived from.
    pub keys: KeyStore,
    /// Whether receivers may be on this machine: development and tests.
    pub allow_loopback: bool,
    /// How long the stack keeps what.
    pub retention: StackRetention,
}

/// Carries out a command.
pub async fn manage(desk: &Desk, command: Command, now: Timestamp) -> Result<Answer> {
    let table = &desk.applications;
    match command {
        Command::Create(application, run) => {
            within_stack(desk, Some(&application.policy), "application")?;
            create(table, application, run, now).await
        }
        Command::Get(application_id) => {
            let application = load(table, &application_id).await?;
            Ok(Answer::One { application: Box::new(view(&application)), application_key: None })
        }
        Command::List => {
            let mut applications: Vec<_> = table.all().await?.iter().map(view).collect();
            applications.sort_by(|a, b| a.application_id.cmp(&b.application_id));
            Ok(Answer::Many { applications })
        }
        Command::Update(application_id, changes, Run::Dry) => {
            within_stack(desk, changes.policy.as_ref(), "changes")?;
            let before = load(table, &application_id).await?;
            let mut after = before.clone();
            changes.apply(&mut after);
            check(&after, "changes")?;
            Ok(preview(&after, &before.policy))
        }
        Command::Update(application_id, changes, Run::Real) => {
            within_stack(desk, changes.policy.as_ref(), "changes")?;
            change(table, &application_id, |application| {
                changes.apply(application);
                Ok(None)
            })
            .await
        }
        Command::Rotate(application_id, overlap) => {
            if overlap > KEY_OVERLAP_SECONDS_MAX {
                return Err(Error::field("overlapSeconds", format!("must be 0 to {KEY_OVERLAP_SECONDS_MAX}")));
            }
            change(table, &application_id, |application| {
                let key = new_key(application)?;
                application.rotate_key(&key, now, overlap);
                Ok(Some(key.reveal()))
            })
            .await
        }
        Command::SetStatus(application_id, status) => set_status(table, &application_id, status).await,
        Command::AddReceiver(application_id, receiver) => add_receiver(desk, &application_id, receiver, now).await,
        Command::RemoveReceiver(application_id, receiver_id) => {
            change(table, &application_id, |application| {
                let before = application.receivers.len();
                application.receivers.retain(|receiver| receiver.receiver_id != receiver_id);
                if application.receivers.len() == before { Err(Error::NotFound) } else { Ok(None) }
            })
            .await
        }
    }
}

async fn add_receiver(desk: &Desk, application_id: &str, new: NewReceiver, now: Timestamp) -> Result<Answer> {
    let random = (random::bytes()?, random::bytes()?);
    let receiver = Receiver::new(new, desk.allow_loopback, random, now).map_err(Error::InvalidRequest)?;
    // Before anything is stored: a receiver whose secret nobody has seen is of no use.
    let receiver_secret = match receiver.kind {
        ReceiverKind::Webhook => {
            let ring = desk.keys.ring(Purpose::Pseudonym).await?;
            let (_, key) = ring.active(KeyUse::Pseudonym, now)?;
            Some(webhook::reveal(&receiver.secret(key, application_id)))
        }
        ReceiverKind::Ssf => None,
    };
    let changed = change(&desk.applications, application_id, |application| {
        let taken = application.receivers.iter().any(|known| known.receiver_id == receiver.receiver_id);
        if taken {
            return Err(Error::field("receiver.receiverId", "is taken"));
        }
        if application.receivers.len() >= RECEIVERS_MAX {
            return Err(Error::field("receiver", format!("an application has at most {RECEIVERS_MAX}")));
        }
        application.receivers.push(receiver.clone());
        Ok(None)
    })
    .await?;
    match changed {
        Answer::One { application, .. } => {
            Ok(Answer::Receiver { application, receiver: receiver_view(&receiver), receiver_secret })
        }
        other => Ok(other),
    }
}

impl Changes {
    fn apply(&self, application: &mut Application) {
        application.name = self.name.clone().unwrap_or_else(|| application.name.clone());
        application.scopes = self.scopes.clone().unwrap_or_else(|| application.scopes.clone());
        application.policy = self.policy.clone().unwrap_or_else(|| application.policy.clone());
    }
}

fn preview(application: &Application, before: &Policy) -> Answer {
    let preview = Box::new(application.policy.preview(before));
    Answer::Preview { dry_run: true, application: Box::new(view(application)), preview }
}

async fn create(table: &Applications, new: NewApplication, run: Run, now: Timestamp) -> Result<Answer> {
    let id = match new.application_id {
        Some(id) => id,
        None => format!("app-{:016x}", u64::from_be_bytes(random::bytes()?)),
    };
    let mut application = Application {
        group_id: new.group_id.unwrap_or_else(|| id.clone()),
        application_id: id,
        name: new.name,
        scopes: new.scopes,
        status: ApplicationStatus::Active,
        policy: new.policy,
        keys: Vec::new(),
        receivers: Vec::new(),
        created_at: now.millis(),
        version: 1,
    };
    check(&application, "application")?;
    if run == Run::Dry {
        return match load(table, &application.application_id).await {
            Err(Error::NotFound) => Ok(preview(&application, &Policy::default())),
            Ok(_) => Err(Error::field("application.applicationId", "is taken")),
            Err(error) => Err(error),
        };
    }
    let key = new_key(&application)?;
    application.rotate_key(&key, now, 0);
    if !table.save(&application, None).await? {
        return Err(Error::field("application.applicationId", "is taken"));
    }
    Ok(Answer::One { application: Box::new(view(&application)), application_key: Some(key.reveal()) })
}

/// `place` is the member of the payload that the fields stand in.
fn check(application: &Application, place: &str) -> Result<()> {
    let mut errors = application.policy.violations();
    for (field, id) in [("applicationId", &application.application_id), ("groupId", &application.group_id)] {
        if ApplicationId::parse(id).is_none() {
            errors.push(FieldError::new(field, "must match [a-z][a-z0-9-]{2,31}"));
        }
    }
    if application.name.trim().is_empty() || application.name.len() > SHORT_TEXT_BYTES_MAX {
        errors.push(FieldError::new("name", format!("must be 1 to {SHORT_TEXT_BYTES_MAX} bytes long")));
    }
    for error in &mut errors {
        error.field = format!("{place}.{}", error.field);
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::InvalidRequest(errors)) }
}

/// Whether the stack allows what a policy asks for. Only a policy that is stated is held to it: one from before the stack
/// was changed is no reason to refuse that its application is stopped.
fn within_stack(desk: &Desk, policy: Option<&Policy>, place: &str) -> Result<()> {
    let mut errors = policy.map_or_else(Vec::new, |policy| desk.retention.refusals(&policy.retention));
    for error in &mut errors {
        error.field = format!("{place}.{}", error.field);
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::InvalidRequest(errors)) }
}

async fn set_status(table: &Applications, id: &str, status: ApplicationStatus) -> Result<Answer> {
    change(table, id, |application| {
        application.status = status;
        Ok(None)
    })
    .await
}

/// Changes a stored application under its version; a concurrent change is read and tried again.
async fn change(
    table: &Applications,
    id: &str,
    change: impl Fn(&mut Application) -> Result<Option<String>>,
) -> Result<Answer> {
    for _ in 0..ATTEMPTS_MAX {
        let mut application = load(table, id).await?;
        let expected = application.version;
        let application_key = change(&mut application)?;
        application.version += 1;
        check(&application, "changes")?;
        if table.save(&application, Some(expected)).await? {
            return Ok(Answer::One { application: Box::new(view(&application)), application_key });
        }
    }
    Err(Error::SessionChanged)
}

async fn load(table: &Applications, id: &str) -> Result<Application> {
    let id =
        ApplicationId::parse(id).ok_or_else(|| Error::field("applicationId", "must match [a-z][a-z0-9-]{2,31}"))?;
    table.load(&id).await?.ok_or(Error::NotFound)
}

fn new_key(application: &Application) -> Result<ApplicationKey> {
    let id = application.id().ok_or_else(|| Error::field("applicationId", "must match [a-z][a-z0-9-]{2,31}"))?;
    Ok(ApplicationKey::new(id, random::bytes()?))
}

fn view(application: &Application) -> ApplicationView {
    ApplicationView {
        application_id: application.application_id.clone(),
        group_id: application.group_id.clone(),
        name: application.name.clone(),
        scopes: application.scopes.clone(),
        status: application.status,
        policy: application.policy.clone(),
        created_at: Timestamp::from_millis(application.created_at),
        version: application.version,
        key_count: application.keys.len(),
        receivers: application.receivers.iter().map(receiver_view).collect(),
    }
}

fn receiver_view(receiver: &Receiver) -> ReceiverView {
    ReceiverView {
        receiver_id: receiver.receiver_id.clone(),
        url: receiver.url.clone(),
        kind: receiver.kind,
        events: receiver.events.clone(),
        audience: receiver.audience.clone(),
        created_at: Timestamp::from_millis(receiver.created_at),
    }
}
