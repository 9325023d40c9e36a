//! Limits on how much a caller may ask, and on how much it may ask for what is not there.
//!
//! Quotas are those of the policy of the application that a request concerns, or of the default policy when none is known.
//! A limiter adds no failures: when Redis can not count, the operation itself has to answer. Ends are never limited.

use super::authenticate::Caller;
use super::inbound::Inbound;
use super::runtime::{self, Service};
use crate::adapters::redis::scripts;
use crate::core::application::KnownApplication;
use crate::core::application_key::ApplicationKey;
use crate::core::audit::Actor;
use crate::core::policy::RateLimits;
use crate::core::rate::{self, Counted, Lease, Misses, Network, Party, Quota, Spent};
use crate::core::time::Timestamp;
use crate::error::{Error, Result};
use crate::limits::{MISSES_PER_REPORT, RATE_PARTIES_MAX, RATE_WINDOW_SECONDS};
use crate::service::authenticate::Credential;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// What an environment remembers of the parties it has served.
#[derive(Default)]
pub struct Limiter {
    leases: Mutex<HashMap<Party, Lease>>,
    misses: Mutex<HashMap<Party, Misses>>,
}

/// Whom a request is reckoned to.
pub struct Account {
    party: Party,
    application: Option<Arc<KnownApplication>>,
}

impl Account {
    /// The account of an authenticated caller.
    pub fn of(caller: &Caller) -> Result<Self> {
        let party = match caller {
            Caller::Application(_) => Party::Application(caller.application_tag()),
            Caller::Holder(holder) => Party::Holder(holder.session),
        };
        Ok(Account { party, application: Some(caller.application().clone()) })
    }

    /// The account of a source address, when the gateway states one.
    fn of_source(inbound: &Inbound, application: Option<Arc<KnownApplication>>) -> Option<Self> {
        let network = Network::of(inbound.client.address?);
        let tag = application.as_ref().map(|application| application.tag());
        Some(Account { party: Party::Source { application: tag.unwrap_or_default(), network }, application })
    }

    /// Who it is of.
    pub fn party(&self) -> Party {
        self.party
    }

    fn limits(&self) -> RateLimits {
        self.application.as_ref().map(|application| application.policy.rate_limits.clone()).unwrap_or_default()
    }
}

/// Admits an authenticated caller, or refuses it; counts whoever failed to authenticate against its address.
pub async fn admit(service: &Service, inbound: &Inbound, outcome: &Result<Caller>) -> Result<()> {
    match outcome {
        Ok(caller) => admit_caller(service, inbound, caller).await,
        Err(Error::CredentialMissing | Error::CredentialInvalid(_)) => admit_source(service, inbound, None).await,
        Err(_) => Ok(()),
    }
}

async fn admit_caller(service: &Service, inbound: &Inbound, caller: &Caller) -> Result<()> {
    let own;
    let account = match inbound.account.get() {
        Some(account) => account,
        None => {
            own = Account::of(caller)?;
            &own
        }
    };
    let limits = account.limits();
    match caller {
        Caller::Application(_) => {
            let spent = spend(service, &account.party, limits.application_per_minute, inbound.now).await;
            tell(inbound, Quota::Application, limits.application_per_minute, spent);
            enforce(Quota::Application, spent)
        }
        Caller::Holder(holder) => {
            let quota = limits.holder_per_minute;
            // At once: two leases, when both are due, take no longer than one.
            let (spent, by_source) = tokio::join!(
                spend(service, &account.party, quota, inbound.now),
                admit_source(service, inbound, Some(holder.application.clone()))
            );
            tell(inbound, Quota::Holder, quota, spent);
            enforce(Quota::Holder, spent)?;
            by_source
        }
    }
}

/// Admits a request without an application's key by its source address. What an address has left is told to nobody: others
/// may share it. T-58.
pub async fn admit_source(
    service: &Service,
    inbound: &Inbound,
    application: Option<Arc<KnownApplication>>,
) -> Result<()> {
    let Some(account) = Account::of_source(inbound, application) else { return Ok(()) };
    let spent = spend(service, &account.party, account.limits().address_per_minute, inbound.now).await;
    // A caller that has authenticated keeps its own account.
    let _ = inbound.account.set(account);
    enforce(Quota::Address, spent)
}

/// Spends a permit, of a new lease when there is none; `None` when there is no limit or Redis can not count.
async fn spend(service: &Service, party: &Party, quota: u32, now: Timestamp) -> Option<Spent> {
    if quota == 0 {
        return None;
    }
    match service.limiter.spend(party, quota, now) {
        Spent::Exhausted => {}
        spent => return Some(spent),
    }
    // Boxed, as all that is rare here: it lies inside the future of every operation.
    let lease = match Box::pin(lease(service, party, quota, now)).await {
        Ok(lease) => lease,
        Err(error) => {
            tracing::info!(%error, "request not counted");
            return None;
        }
    };
    service.limiter.remember(party, lease, now);
    match service.limiter.spend(party, quota, now) {
        // Another request of this environment was faster, or the window ended on the way.
        Spent::Exhausted => None,
        spent => Some(spent),
    }
}

async fn lease(service: &Service, party: &Party, quota: u32, now: Timestamp) -> Result<Lease> {
    let place = party.place(Counted::Requests, service.keys.routing().await?);
    let borrowed = service.limiter.borrowed(party);
    let call = scripts::lease(&place, quota, rate::share(quota).saturating_add(borrowed));
    let leased = scripts::leased(service.state.run(&call).await?)?;
    Ok(Lease::granted(leased.granted.saturating_sub(borrowed), leased.unleased, leased.left_millis, now))
}

/// The fields of draft-ietf-httpapi-ratelimit-headers for a caller's own quota.
fn tell(inbound: &Inbound, of: Quota, quota: u32, spent: Option<Spent>) {
    let (remaining, seconds) = match spent {
        Some(Spent::Admitted { remaining, seconds }) => (remaining, seconds),
        Some(Spent::Refused { seconds }) => (0, seconds),
        Some(Spent::Exhausted) | None => return,
    };
    let name = of.as_str();
    inbound.notes.set("ratelimit-policy", format!("\"{name}\";q={quota};w={RATE_WINDOW_SECONDS}"));
    inbound.notes.set("ratelimit", format!("\"{name}\";r={remaining};t={seconds}"));
}

fn enforce(quota: Quota, spent: Option<Spent>) -> Result<()> {
    match spent {
        Some(Spent::Refused { seconds }) => Err(Error::RateLimited { quota, retry_after_seconds: seconds }),
        Some(Spent::Admitted { .. } | Spent::Exhausted) | None => Ok(()),
    }
}

/// Runs an operation and counts when it did not find what it was asked for. Whether that never existed or is another's,
/// the count and the answer are the same. T-12, T-57, T-58.
pub fn watch<'a, T: 'a>(
    service: &'a Service,
    inbound: &'a Inbound,
    work: impl Future<Output = Result<T>> + Send + 'a,
) -> impl Future<Output = Result<T>> + 'a {
    // Without its type: futures of operations are deep, and the compiler follows one inside the other only so far.
    let work: Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>> = Box::pin(work);
    async move {
        match work.await {
            Err(error) if is_miss(&error, inbound) => Err(Box::pin(missed(service, inbound)).await.unwrap_or(error)),
            outcome => outcome,
        }
    }
}

/// Whether an answer is what somebody who guesses sees.
fn is_miss(error: &Error, inbound: &Inbound) -> bool {
    match error {
        Error::NotFound | Error::RefreshTokenInvalid => true,
        // Guessed keys. Access tokens are signed, and expire under the hands of honest clients.
        Error::CredentialInvalid(_) => match &inbound.credential {
            Some(Credential::Bearer(text)) => ApplicationKey::looks_like(text),
            Some(Credential::Basic { .. }) => true,
            Some(Credential::Dpop(_) | Credential::Cookie(_)) | None => false,
        },
        Error::InvalidRequest(_)
        | Error::CredentialMissing
        | Error::RefreshTokenReused
        | Error::SessionEnded { .. }
        | Error::InsufficientScope(_)
        | Error::ApplicationOnly
        | Error::DeviceBlocked
        | Error::TrustNotProved
        | Error::StepUpRequired { .. }
        | Error::StepUpStale
        | Error::RefreshTokenSuperseded
        | Error::BindingMismatch
        | Error::SessionQuarantined(_)
        | Error::SharingRefused
        | Error::OwnerOnly
        | Error::LegalHold
        | Error::DpopProofInvalid(_)
        | Error::DpopNonceRequired
        | Error::DeviceProofInvalid(_)
        | Error::DeviceProofRequired
        | Error::UnsupportedGrantType
        | Error::SessionLimitReached
        | Error::SessionChanged
        | Error::VersionMismatch { .. }
        | Error::IfMatchRequired
        | Error::PayloadTooLarge { .. }
        | Error::UnsupportedMediaType { .. }
        | Error::IdempotencyKeyReused
        | Error::LegacySessionExchanged
        | Error::SessionLocked { .. }
        | Error::LockLost
        | Error::LockNotRenewable
        | Error::RateLimited { .. }
        | Error::Unavailable { .. }
        | Error::Internal(_) => false,
    }
}

/// Counts a miss; the refusal when there have been too many.
async fn missed(service: &Service, inbound: &Inbound) -> Option<Error> {
    let stranger;
    let account = match inbound.account.get() {
        Some(account) => account,
        None => {
            stranger = Account::of_source(inbound, None)?;
            &stranger
        }
    };
    let quota = account.limits().unknown_per_minute;
    if quota == 0 {
        return None;
    }
    let batch = match account.party {
        Party::Application(_) | Party::Holder(_) => 1,
        Party::Source { .. } => MISSES_PER_REPORT.min(quota),
    };
    let refused = |seconds| Error::RateLimited { quota: Quota::Unknown, retry_after_seconds: seconds };
    let count = match service.limiter.missed(&account.party, batch, inbound.now) {
        Ok(count) => count?,
        Err(seconds) => return Some(refused(seconds)),
    };
    match report(service, inbound, account, quota, count).await {
        Ok(reply) if reply.over => {
            Some(refused(service.limiter.refuse(&account.party, reply.left_millis, inbound.now)))
        }
        Ok(_) => None,
        Err(error) => {
            tracing::info!(%error, "misses not counted");
            None
        }
    }
}

async fn report(
    service: &Service,
    inbound: &Inbound,
    account: &Account,
    quota: u32,
    count: u32,
) -> Result<scripts::Missed> {
    let place = account.party.place(Counted::Misses, service.keys.routing().await?);
    let (actor, session) = match &account.party {
        Party::Application(_) => (Actor::Application, None),
        Party::Holder(session) => (Actor::Holder, Some(session)),
        // The service itself noticed; nobody has said who it is.
        Party::Source { .. } => (Actor::Service, None),
    };
    let application_id = account.application.as_ref().map_or("", |application| application.application_id.as_str());
    let operation = runtime::operation(&actor, &inbound.request_id, inbound.now)?;
    let call = scripts::miss(&place, quota, count, session, application_id, &operation);
    Ok(scripts::missed(service.state.run(&call).await?)?)
}

impl Limiter {
    /// Spends a permit: of a lease, or on credit where none holds.
    fn spend(&self, party: &Party, quota: u32, now: Timestamp) -> Spent {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut leases, |lease| lease.holds(now));
        let lease = leases.entry(*party).or_insert_with(|| Lease::on_credit(quota, now));
        if !lease.holds(now) {
            *lease = Lease::on_credit(quota, now);
        }
        lease.spend(now)
    }

    fn borrowed(&self, party: &Party) -> u32 {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.get(party).map_or(0, Lease::borrowed)
    }

    fn remember(&self, party: &Party, lease: Lease, now: Timestamp) {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut leases, |lease| lease.holds(now));
        leases.insert(*party, lease);
    }

    /// Counts a miss: how many to report, or for how long the party is refused.
    fn missed(&self, party: &Party, batch: u32, now: Timestamp) -> std::result::Result<Option<u32>, u64> {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut misses, |misses| misses.recent(RATE_WINDOW_SECONDS, now));
        let misses = misses.entry(*party).or_insert_with(|| Misses::new(now));
        match misses.refused_seconds(now) {
            Some(seconds) => Err(seconds),
            None => Ok(misses.count(batch, now)),
        }
    }

    /// Refuses further misses of a party; for how many seconds.
    fn refuse(&self, party: &Party, left_millis: u64, now: Timestamp) -> u64 {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        let misses = misses.entry(*party).or_insert_with(|| Misses::new(now));
        misses.refuse(left_millis, now);
        misses.refused_seconds(now).unwrap_or(1)
    }
}

/// Forgets what is over when a memory is full, or else everything: a lease that is lost goes unused.
fn make_room<V>(entries: &mut HashMap<Party, V>, keep: impl Fn(&V) -> bool) {
    if entries.len() >= RATE_PARTIES_MAX {
        entries.retain(|_, value| keep(value));
    }
    if entries.len() >= RATE_PARTIES_MAX {
        entries.clear();
    }
}
