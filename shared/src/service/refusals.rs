//! Telling the audit of refusals, at the edge and for every operation alike: one round trip, before the answer. A failure to
//! tell changes no answer.

use super::inbound::Notes;
use super::key_store::KeyStore;
use super::state::State;
use crate::adapters::redis::scripts;
use crate::clock;
use crate::core::audit::{self, Actor};
use crate::core::crypto;
use crate::core::id::{SessionId, UserSlot};
use crate::core::rate::{Counted, Network, Party, Quota};
use crate::core::refusal::{Denial, Telling, Told, Turn, detail, event_id, minute};
use crate::error::{Dependency, Error, Result};
use crate::limits::{REFUSAL_MILLIS_MAX, REFUSALS_TOLD_MAX};
use crate::random;
use redis::Cmd;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// An answer that denies something.
pub struct Refusal<'a> {
    /// What.
    pub denial: Denial,
    /// The code of the error table.
    pub code: &'static str,
    /// The quota that is used up.
    pub quota: Option<Quota>,
    /// What was asked for; empty for what has no word.
    pub operation: &'static str,
    /// What is known of the request.
    pub notes: &'a Notes,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// The session of its path.
    pub session: Option<SessionId>,
    /// Its id.
    pub request_id: &'a str,
}

/// What an environment tells with.
struct Refusals {
    state: Arc<State>,
    keys: Arc<KeyStore>,
    told: Mutex<Told>,
}

/// As with what is measured: one per environment, beside handlers that share nothing else with each other.
static REFUSALS: OnceLock<Refusals> = OnceLock::new();

/// From here on this environment tells of its refusals.
pub fn watch(state: Arc<State>, keys: Arc<KeyStore>) {
    let _ = REFUSALS.set(Refusals { state, keys, told: Mutex::new(Told::new(REFUSALS_TOLD_MAX)) });
}

/// Tells of a refusal, unless one event stands for it already. Returns whether the audit will know; the reason for a no is
/// logged.
pub async fn tell(refusal: &Refusal<'_>, within: Duration) -> bool {
    let Some(refusals) = REFUSALS.get() else { return true };
    // Boxed: it lies inside the future of every request.
    let telling = Box::pin(refusals.tell(refusal));
    let within = within.min(Duration::from_millis(REFUSAL_MILLIS_MAX));
    let late = |_| Err(Error::unavailable(Dependency::Redis, "no time left to tell of a refusal"));
    let outcome = tokio::time::timeout(within, telling).await.unwrap_or_else(late);
    outcome.inspect_err(|error| tracing::warn!(request_id = refusal.request_id, %error, "refusal not told")).is_ok()
}

impl Refusals {
    async fn tell(&self, refusal: &Refusal<'_>) -> Result<()> {
        let known = refusal.notes.known();
        let caller = known.caller.unwrap_or_else(|| stranger(refusal.address));
        match refusal.denial.telling(&caller) {
            Telling::Never => Ok(()),
            Telling::Each => {
                let id = random::bytes()?;
                self.send(&self.event(refusal, &caller, id).await?).await
            }
            Telling::OnceAMinute => {
                let place = caller.place(Counted::Misses, self.keys.routing().await?);
                let minute = minute(clock::now());
                let id = event_id(&place, refusal.code, refusal.quota, minute);
                match self.told().turn(minute, id) {
                    Turn::Again => return Ok(()),
                    Turn::Full => {
                        return Err(Error::unavailable(Dependency::Redis, "too many refusals to tell of each"));
                    }
                    Turn::First => {}
                }
                // Forgotten unless it is sent: the next refusal tries again, also when time runs out here.
                let mut forgetting = Forgetting { refusals: self, id: Some(id) };
                self.send(&self.event(refusal, &caller, id).await?).await?;
                forgetting.id = None;
                Ok(())
            }
        }
    }

    /// The event. A caller that shows a credential of ours is told of beside the user and the session that are concerned; of
    /// anybody else there is the pseudonym of the address.
    async fn event(&self, refusal: &Refusal<'_>, caller: &Party, id: [u8; 16]) -> Result<Cmd> {
        let known = refusal.notes.known();
        let routing = self.keys.routing().await?;
        let (actor, session) = match caller {
            Party::Application(_) => {
                let of_path = refusal.session.filter(|_| refusal.denial == Denial::Session);
                (Actor::Application, known.session.or(of_path))
            }
            Party::Holder(session) => (Actor::Holder, Some(*session)),
            Party::Source { .. } => (Actor::Service, None),
        };
        let subject = match caller {
            Party::Application(_) | Party::Holder(_) => {
                session.map(|session| session.user_slot(routing)).or(known.subject)
            }
            Party::Source { .. } => None,
        };
        let slot = subject.unwrap_or_else(|| {
            let place = caller.place(Counted::Misses, routing);
            UserSlot { bucket: place.bucket, tag: place.tag }
        });
        let common = audit::common(&actor, refusal.request_id, clock::now());
        let detail = detail(refusal.operation, refusal.quota);
        let id = crypto::encode(&id);
        Ok(scripts::refused(slot, session.as_ref(), refusal.code, &detail, &known.application, &id, &common))
    }

    async fn send(&self, event: &Cmd) -> Result<()> {
        self.state.command(event).await.map(drop)
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes an event back that was not sent.
struct Forgetting<'a> {
    refusals: &'a Refusals,
    id: Option<[u8; 16]>,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.refusals.told().forget(id);
        }
    }
}

/// Whoever is behind an address. Requests without one count as of one.
fn stranger(address: Option<IpAddr>) -> Party {
    let network = Network::of(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    Party::Source { application: [0; 8], network }
}
