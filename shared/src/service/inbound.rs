//! What every request brings besides its own parameters, and what its answer should carry besides its body.

use super::authenticate::Credential;
use super::rate::Account;
use super::runtime;
use crate::adapters::redis::scripts::Operation;
use crate::core::audit::Actor;
use crate::core::context::ClientContext;
use crate::core::id::{SessionId, UserSlot};
use crate::core::rate::Party;
use crate::core::time::Timestamp;
use crate::error::Result;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A request as every operation sees it.
pub struct Inbound {
    /// The presented credential.
    pub credential: Option<Credential>,
    /// Where the request itself comes from, as the gateway sees it.
    pub client: ClientContext,
    /// What was called, and the proof of possession that came along.
    pub target: Target,
    /// The request's id in responses, logs and audit.
    pub request_id: String,
    /// The one instant that the whole request is judged at.
    pub now: Timestamp,
    /// What the answer should say besides its body.
    pub notes: Notes,
    /// Whom the request is reckoned to, once its caller is known.
    pub account: OnceLock<Account>,
}

impl Inbound {
    /// A new operation of this request.
    pub fn operation(&self, actor: &Actor) -> Result<Operation> {
        runtime::operation(actor, &self.request_id, self.now)
    }
}

/// What a proof of possession has to be made for (RFC 9449 §4.3), and the proof itself.
pub struct Target {
    /// The method.
    pub method: String,
    /// The path, percent-decoded, as the gateway hands it over.
    pub path: String,
    /// The `DPoP` header, not judged yet.
    pub proof: Option<String>,
}

/// What an operation tells of its request, whether it succeeds or fails: header fields that the answer should carry, who
/// called, and about whom.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    fields: Vec<(&'static str, String)>,
    known: Known,
}

/// What is known of a request, as far as its operation has come.
#[derive(Clone, Default)]
pub struct Known {
    /// The application that called; empty when it is not known.
    pub application: String,
    /// Who called, by a credential of ours.
    pub caller: Option<Party>,
    /// The session that is concerned, when it is not the one of the path.
    pub session: Option<SessionId>,
    /// The user that is concerned.
    pub subject: Option<UserSlot>,
}

impl Notes {
    /// Adds a field; a later one of the same name replaces it.
    pub fn set(&self, name: &'static str, value: impl Into<String>) {
        let fields = &mut self.noted().fields;
        fields.retain(|(other, _)| *other != name);
        fields.push((name, value.into()));
    }

    /// The fields so far.
    pub fn all(&self) -> Vec<(&'static str, String)> {
        self.noted().fields.clone()
    }

    /// The request is of this application.
    pub fn set_application(&self, application_id: &str) {
        application_id.clone_into(&mut self.noted().known.application);
    }

    /// The request is by this caller of an application: an application's key, or a genuine token of a session, says so.
    pub fn set_caller(&self, caller: Party, application_id: &str) {
        self.set_application(application_id);
        self.noted().known.caller = Some(caller);
    }

    /// The request is about this session, which a genuine token names.
    pub fn set_session(&self, session: SessionId) {
        self.noted().known.session = Some(session);
    }

    /// The request is about this user, who exists for the caller.
    pub fn set_subject(&self, subject: UserSlot) {
        self.noted().known.subject = Some(subject);
    }

    /// What is known so far.
    pub fn known(&self) -> Known {
        self.noted().known.clone()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
