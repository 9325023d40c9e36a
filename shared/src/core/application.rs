//! Applications: who may call, for what, and under which policy.

use super::application_key::ApplicationKey;
use super::crypto;
use super::id::ApplicationId;
use super::policy::Policy;
use super::receiver::Receiver;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// What an application may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Create sessions, and state the client they are for.
    #[serde(rename = "sessions:create")]
    SessionsCreate,
    /// Read, list and introspect sessions.
    #[serde(rename = "sessions:read")]
    SessionsRead,
    /// Change session data, refresh, end single sessions, revoke tokens.
    #[serde(rename = "sessions:write")]
    SessionsWrite,
    /// End all sessions of a user.
    #[serde(rename = "users:manage")]
    UsersManage,
    /// Manage devices.
    #[serde(rename = "devices:manage")]
    DevicesManage,
    /// Read analytics.
    #[serde(rename = "analytics:read")]
    AnalyticsRead,
    /// Read and verify the audit.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Export and erase people, and set their privacy.
    #[serde(rename = "privacy:manage")]
    PrivacyManage,
}

impl Scope {
    /// The scope's name, as in an application record.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::SessionsCreate => "sessions:create",
            Scope::SessionsRead => "sessions:read",
            Scope::SessionsWrite => "sessions:write",
            Scope::UsersManage => "users:manage",
            Scope::DevicesManage => "devices:manage",
            Scope::AnalyticsRead => "analytics:read",
            Scope::AuditRead => "audit:read",
            Scope::PrivacyManage => "privacy:manage",
        }
    }
}

/// Whether an application is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationStatus {
    /// Served.
    Active,
    /// Its key and its users' tokens are refused until it is enabled again.
    Disabled,
}

/// A stored key digest. Two may be valid during a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyDigest {
    /// [`ApplicationKey::digest`].
    pub sha256: String,
    /// Milliseconds since the epoch after which the key is refused; absent for the newest key.
    pub expires_at: Option<i64>,
}

/// An application record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Its id: `aud` of its tokens.
    pub application_id: String,
    /// Applications of one group share users; the default is a group of its own.
    pub group_id: String,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Served or not.
    pub status: ApplicationStatus,
    /// Its session policy.
    pub policy: Policy,
    /// Digests of its keys.
    pub keys: Vec<KeyDigest>,
    /// Who hears of its events.
    #[serde(default)]
    pub receivers: Vec<Receiver>,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Rises with every change; guards concurrent changes.
    pub version: u64,
}

impl Application {
    /// Whether a presented key is one of this active application's keys at `now`. Compares in constant time.
    pub fn accepts(&self, key: &ApplicationKey, now: Timestamp) -> bool {
        let digest = key.digest();
        let known = self.keys.iter().any(|stored| {
            let in_time = stored.expires_at.is_none_or(|expires_at| now.millis() < expires_at);
            crypto::equal(stored.sha256.as_bytes(), digest.as_bytes()) && in_time
        });
        known && self.status == ApplicationStatus::Active && self.application_id == key.application_id.as_str()
    }

    /// Whether the application has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// The typed id.
    pub fn id(&self) -> Option<ApplicationId> {
        ApplicationId::parse(&self.application_id)
    }

    /// Adds a new key; the earlier ones stay valid for `overlap_seconds`.
    pub fn rotate_key(&mut self, key: &ApplicationKey, now: Timestamp, overlap_seconds: u64) {
        let until = now.plus_seconds(overlap_seconds).millis();
        self.keys.retain(|stored| stored.expires_at.is_none_or(|expires_at| now.millis() < expires_at));
        for stored in &mut self.keys {
            stored.expires_at = Some(stored.expires_at.map_or(until, |expires_at| expires_at.min(until)));
        }
        self.keys.retain(|stored| stored.expires_at.is_none_or(|expires_at| now.millis() < expires_at));
        self.keys.push(KeyDigest { sha256: key.digest(), expires_at: None });
    }
}

/// An application as an environment remembers it, with the tag that every request asks for more than once.
#[derive(Debug)]
pub struct KnownApplication {
    application: Application,
    tag: [u8; 8],
}

impl KnownApplication {
    /// None for an application whose id is out of grammar.
    pub fn new(application: Application) -> Option<Self> {
        let tag = application.id()?.tag();
        Some(KnownApplication { application, tag })
    }

    /// The tag of its id in records ([`ApplicationId::tag`]).
    pub fn tag(&self) -> [u8; 8] {
        self.tag
    }
}

impl Deref for KnownApplication {
    type Target = Application;

    fn deref(&self) -> &Application {
        &self.application
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ApplicationKey {
        ApplicationKey::new(ApplicationId::parse("demo").expect("valid"), [byte; 32])
    }

    fn application() -> Application {
        Application {
            application_id: "demo".into(),
            group_id: "demo".into(),
            name: "Demo".into(),
            scopes: vec![Scope::SessionsRead],
            status: ApplicationStatus::Active,
            policy: Policy::default(),
            keys: vec![KeyDigest { sha256: key(1).digest(), expires_at: None }],
            receivers: Vec::new(),
            created_at: 0,
            version: 1,
        }
    }

    #[test]
    fn rotation_keeps_the_old_key_for_the_overlap_only() {
        let at = |seconds| Timestamp::from_seconds(seconds);
        let mut application = application();
        application.rotate_key(&key(2), at(100), 50);
        assert!(application.accepts(&key(1), at(149)) && application.accepts(&key(2), at(149)));
        assert!(!application.accepts(&key(1), at(150)) && application.accepts(&key(2), at(150)));
        application.rotate_key(&key(3), at(120), 0);
        assert!(!application.accepts(&key(1), at(120)) && !application.accepts(&key(2), at(120)));
        assert!(application.accepts(&key(3), at(120)));
    }

    #[test]
    fn a_disabled_application_accepts_nothing() {
        let application = Application { status: ApplicationStatus::Disabled, ..application() };
        assert!(!application.accepts(&key(1), Timestamp::from_seconds(0)));
    }
}
