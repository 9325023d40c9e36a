//! Who is calling.

use super::inbound::Inbound;
use super::possession::{Demand, prove};
use super::rate::{self, Account};
use super::runtime::Service;
use crate::adapters::redis::scripts::Own;
use crate::core::access_token::{self, Claims, Confirmation};
use crate::core::application::{ApplicationStatus, KnownApplication, Scope};
use crate::core::application_key::ApplicationKey;
use crate::core::audit::Actor;
use crate::core::context::ClientContext;
use crate::core::id::{ApplicationId, SessionId};
use crate::core::rate::Party;
use crate::core::time::Timestamp;
use crate::error::{Asker, Error, Result};
use std::sync::Arc;

/// A presented credential, as the request has it. It does not print.
pub enum Credential {
    /// `Authorization: Bearer …`
    Bearer(String),
    /// `Authorization: DPoP …`, with a proof beside it (RFC 9449 §7.1).
    Dpop(String),
    /// The cookie of a device bound session, where no other site can have sent it.
    Cookie(String),
    /// `Authorization: Basic …` (OAuth endpoints only).
    Basic {
        /// The application id.
        user: String,
        /// Its secret, or the whole key.
        password: String,
    },
}

/// An authenticated caller.
pub enum Caller {
    /// A backend.
    Application(Arc<KnownApplication>),
    /// The holder of a session's access token. Its session's life is checked with the session it asks for, in the
    /// same round trip.
    Holder(Holder),
}

/// A session holder.
pub struct Holder {
    /// The verified claims.
    pub claims: Arc<Claims>,
    /// The session of the token.
    pub session: SessionId,
    /// The application of the token.
    pub application: Arc<KnownApplication>,
    /// The request it makes.
    pub origin: Box<Origin>,
}

/// What a session's next step is judged by.
pub struct Origin {
    /// Where the request comes from, and with what.
    pub client: ClientContext,
    /// The request's id, for the audit.
    pub request_id: String,
}

impl Caller {
    /// The application behind the call: sessions of any other do not exist for it.
    pub fn application(&self) -> &Arc<KnownApplication> {
        match self {
            Caller::Application(application) => application,
            Caller::Holder(holder) => &holder.application,
        }
    }

    /// The tag of that application in records.
    pub fn application_tag(&self) -> [u8; 8] {
        self.application().tag()
    }

    /// Holders may do it; applications need the scope.
    pub fn require(&self, scope: Scope) -> Result<()> {
        match self {
            Caller::Application(application) if application.may(scope) => Ok(()),
            Caller::Application(_) => Err(Error::InsufficientScope(scope)),
            Caller::Holder(_) => Ok(()),
        }
    }

    /// What a holder's token says of its own session; applications have none.
    pub fn own(&self) -> Option<Own> {
        match self {
            Caller::Application(_) => None,
            Caller::Holder(holder) => Some(Own { session: holder.session, auth_time: holder.claims.auth_time }),
        }
    }

    /// Whom errors about an ended session address.
    pub fn asker(&self) -> Asker {
        match self {
            Caller::Application(_) => Asker::Application,
            Caller::Holder(_) => Asker::Holder,
        }
    }

    /// What the caller hears when the session of its request is not there: for a holder that is its own.
    pub fn not_there(&self) -> Error {
        match self {
            Caller::Application(_) => Error::NotFound,
            Caller::Holder(_) => Error::CredentialInvalid("the token's session is not there"),
        }
    }

    /// Whom the audit names.
    pub fn actor(&self) -> Actor {
        match self {
            Caller::Application(_) => Actor::Application,
            Caller::Holder(_) => Actor::Holder,
        }
    }
}

/// Authenticates a caller by an application key or an access token, and holds it to its rate limits.
pub async fn authenticate(service: &Service, inbound: &Inbound) -> Result<Caller> {
    let outcome = identify(service, inbound).await;
    rate::admit(service, inbound, &outcome).await?;
    outcome
}

/// Authenticates a caller without a rate limit: logging out always works.
pub async fn identify(service: &Service, inbound: &Inbound) -> Result<Caller> {
    let caller = confirmed(service, recognise(service, inbound).await).await?;
    reckon(inbound, &caller)?;
    Ok(caller)
}

/// A credential is refused only by a clock that is not known to be off: to one that is ahead, every token has expired.
pub(super) async fn confirmed<T>(service: &Service, outcome: Result<T>) -> Result<T> {
    if let Err(Error::CredentialInvalid(_) | Error::DpopProofInvalid(_) | Error::DpopNonceRequired) = &outcome {
        service.state.vouch_for_clock().await?;
    }
    outcome
}

async fn recognise(service: &Service, inbound: &Inbound) -> Result<Caller> {
    let now = inbound.now;
    match &inbound.credential {
        None => Err(Error::CredentialMissing),
        Some(Credential::Basic { .. }) => Err(Error::CredentialInvalid("Basic is for OAuth endpoints")),
        Some(Credential::Bearer(token)) if ApplicationKey::looks_like(token) => {
            let key = ApplicationKey::parse(token).ok_or(Error::CredentialInvalid("malformed application key"))?;
            Ok(Caller::Application(by_key(service, &key, now).await?))
        }
        Some(Credential::Bearer(token)) => Ok(Caller::Holder(bearer(service, inbound, token).await?)),
        Some(Credential::Cookie(token)) => Ok(Caller::Holder(by_cookie(service, inbound, token).await?)),
        Some(Credential::Dpop(token)) => Ok(Caller::Holder(prover(service, inbound, token).await?)),
    }
}

/// Authenticates an application that has a scope; tokens of holders are refused.
pub async fn application(service: &Service, inbound: &Inbound, scope: Scope) -> Result<Arc<KnownApplication>> {
    match authenticate(service, inbound).await? {
        Caller::Application(application) if application.may(scope) => Ok(application),
        Caller::Application(_) => Err(Error::InsufficientScope(scope)),
        Caller::Holder(_) => Err(Error::ApplicationOnly),
    }
}

/// Authenticates an OAuth client (RFC 6749 §2.3) without a rate limit: its key as Bearer, or HTTP Basic.
pub async fn oauth_client(service: &Service, inbound: &Inbound) -> Result<Arc<KnownApplication>> {
    let recognised = recognise_client(service, inbound).await;
    let caller = Caller::Application(confirmed(service, recognised).await?);
    reckon(inbound, &caller)?;
    Ok(caller.application().clone())
}

/// Reckons the request to its caller.
fn reckon(inbound: &Inbound, caller: &Caller) -> Result<()> {
    let account = Account::of(caller)?;
    inbound.notes.set_caller(account.party(), &caller.application().application_id);
    let _ = inbound.account.set(account);
    Ok(())
}

/// [`oauth_client`], held to its rate limits.
pub async fn limited_oauth_client(service: &Service, inbound: &Inbound) -> Result<Arc<KnownApplication>> {
    let outcome = oauth_client(service, inbound).await.map(Caller::Application);
    rate::admit(service, inbound, &outcome).await?;
    outcome.map(|caller| caller.application().clone())
}

async fn recognise_client(service: &Service, inbound: &Inbound) -> Result<Arc<KnownApplication>> {
    let key = match &inbound.credential {
        None => return Err(Error::CredentialMissing),
        Some(Credential::Bearer(token)) => ApplicationKey::parse(token),
        Some(Credential::Dpop(_) | Credential::Cookie(_)) => None,
        Some(Credential::Basic { user, password }) => ApplicationKey::parse_basic(user, password),
    };
    by_key(service, &key.ok_or(Error::CredentialInvalid("malformed client credential"))?, inbound.now).await
}

async fn by_key(service: &Service, key: &ApplicationKey, now: Timestamp) -> Result<Arc<KnownApplication>> {
    let application = service.applications.get(&key.application_id, now).await?;
    application
        .filter(|application| application.accepts(key, now))
        .ok_or(Error::CredentialInvalid("unknown, disabled or expired application key"))
}

/// The claims of a genuine, unexpired token.
pub async fn verify_token(service: &Service, token: &str, now: Timestamp) -> Result<Arc<Claims>> {
    let refused = |_| Error::CredentialInvalid("access token not accepted");
    if let Some(claims) = service.verified.get(token) {
        access_token::check(&claims, &service.issuer, now).map_err(refused)?;
        return Ok(claims);
    }
    let keys = service.keys.verifying_keys().await?;
    let claims = access_token::verify(token, &keys, &service.issuer, now).map_err(|refusal| {
        tracing::info!(%refusal, "access token refused");
        refused(refusal)
    })?;
    let claims = Arc::new(claims);
    service.verified.insert(token, claims.clone(), now);
    Ok(claims)
}

/// The holder of a token that needs no key. One that does is worth nothing as a Bearer token (T-15).
async fn bearer(service: &Service, inbound: &Inbound, token: &str) -> Result<Holder> {
    let holder = holder(service, inbound, token).await?;
    match &holder.claims.cnf {
        None => Ok(holder),
        Some(_) => Err(Error::CredentialInvalid("a token that is bound to a key, presented as Bearer")),
    }
}

/// The holder of a token and of the key that it is bound to.
async fn prover(service: &Service, inbound: &Inbound, token: &str) -> Result<Holder> {
    let holder = holder(service, inbound, token).await?;
    let Some(Confirmation::Proof(jkt)) = &holder.claims.cnf else {
        return Err(Error::CredentialInvalid("a token that needs no proof, presented as DPoP"));
    };
    let demand = Demand {
        bucket: holder.session.bucket(),
        application: Some(&holder.application),
        access_token: Some((token, jkt)),
    };
    prove(service, inbound, demand).await?;
    Ok(holder)
}

/// The holder of a cookie that was given out for the key of a browser. No other token is good as a cookie.
async fn by_cookie(service: &Service, inbound: &Inbound, token: &str) -> Result<Holder> {
    let holder = holder(service, inbound, token).await?;
    match &holder.claims.cnf {
        Some(Confirmation::Cookie(_)) => Ok(holder),
        Some(Confirmation::Proof(_)) | None => Err(Error::CredentialInvalid("a token that is no cookie, as a cookie")),
    }
}

async fn holder(service: &Service, inbound: &Inbound, token: &str) -> Result<Holder> {
    let now = inbound.now;
    let claims = verify_token(service, token, now).await?;
    let session = SessionId::parse(&claims.sid).ok_or(Error::CredentialInvalid("sid out of grammar"))?;
    let id = ApplicationId::parse(&claims.client_id).ok_or(Error::CredentialInvalid("client_id out of grammar"))?;
    let application = service.applications.get(&id, now).await?;
    let application = application
        .filter(|application| application.status == ApplicationStatus::Active)
        .ok_or(Error::CredentialInvalid("application unknown or disabled"))?;
    // Whatever becomes of its proof, the token is ours.
    inbound.notes.set_caller(Party::Holder(session), &application.application_id);
    let origin = Origin { client: inbound.client.clone(), request_id: inbound.request_id.clone() };
    Ok(Holder { claims, session, application, origin: Box::new(origin) })
}
