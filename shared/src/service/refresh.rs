//! Refreshing: the token is the credential, one script decides, and every honest caller gets the one successor.

use super::authenticate::{self, Caller, Credential};
use super::inbound::Inbound;
use super::possession::{self, Demand};
use super::present::{self, SessionView, TokenPair};
use super::rate;
use super::reach::reach;
use super::risk::{self, Asking, JUDGEMENTS_MAX};
use super::runtime::Service;
use crate::adapters::redis::scripts::{self, Refreshed};
use crate::core::application::{ApplicationStatus, KnownApplication, Scope};
use crate::core::audit::Actor;
use crate::core::context::{ClientContext, ContextDigests};
use crate::core::end_reason::EndReason;
use crate::core::id::{ApplicationId, SessionId, UserSlot};
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::ledger::LedgerEntry;
use crate::core::policy::Policy;
use crate::core::rate::Party;
use crate::core::record::SessionRecord;
use crate::core::refresh_decision::{Judged, Presented};
use crate::core::refresh_token::RefreshToken;
use crate::core::time::Timestamp;
use crate::error::{Asker, Error, Result};
use serde::Serialize;
use std::sync::Arc;

/// A request for the next pair of tokens.
pub struct RefreshRequest {
    /// The session of the path.
    pub session: SessionId,
    /// The presented token.
    pub refresh_token: String,
    /// The client as an application states it; needs its key.
    pub stated: Option<ClientContext>,
}

/// The next pair.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshedSession {
    /// The session, without its data.
    pub session: SessionView,
    /// Its tokens.
    #[serde(flatten)]
    pub tokens: TokenPair,
}

/// Who asks for the next pair.
pub enum OnBehalf {
    /// The holder of the token, from the device itself.
    Itself,
    /// An application, with its key.
    Application {
        /// Which; it has the scope.
        application: Arc<KnownApplication>,
        /// The client as it states it.
        client: Option<ClientContext>,
    },
}

/// Presents the refresh token of a session.
pub async fn refresh_session(
    service: &Service,
    inbound: &Inbound,
    request: RefreshRequest,
) -> Result<RefreshedSession> {
    rate::watch(service, inbound, exchange(service, inbound, request)).await
}

async fn exchange(service: &Service, inbound: &Inbound, request: RefreshRequest) -> Result<RefreshedSession> {
    let token = verify(service, &request.refresh_token).await?;
    if token.session != request.session {
        return Err(Error::RefreshTokenInvalid);
    }
    let on_behalf = match (backend(service, inbound, &token).await?, request.stated) {
        (Some(application), client) => OnBehalf::Application { application, client },
        (None, None) => OnBehalf::Itself,
        (None, Some(_)) => return Err(Error::field("client", "may be stated by an application with its key only")),
    };
    present_token(service, inbound, token, on_behalf).await
}

/// A genuine refresh token, whatever it is worth now. Garbage reaches no store.
pub async fn verify(service: &Service, text: &str) -> Result<RefreshToken> {
    let ring = service.keys.ring(Purpose::Token).await?;
    RefreshToken::verify(text, |id| ring.by_id(KeyUse::Mac, id)).ok_or(Error::RefreshTokenInvalid)
}

/// Presents a genuine refresh token. One that is bound to a key needs a proof by that key, whoever asks: an application
/// can not make one for its client (RFC 9449 §5).
pub async fn present_token(
    service: &Service,
    inbound: &Inbound,
    token: RefreshToken,
    on_behalf: OnBehalf,
) -> Result<RefreshedSession> {
    let now = inbound.now;
    let slot = token.session.user_slot(service.keys.routing().await?);
    let (context, owner, direct) = match on_behalf {
        OnBehalf::Application { application, client } => (client.unwrap_or_default(), Some(application), false),
        OnBehalf::Itself => {
            let owner = owner(service, &token, slot, now).await?;
            rate::admit_source(service, inbound, owner.clone()).await?;
            let application_id = owner.as_ref().map_or("", |owner| owner.application_id.as_str());
            inbound.notes.set_caller(Party::Holder(token.session), application_id);
            (inbound.client.clone(), owner, true)
        }
    };
    inbound.notes.set_session(token.session);
    let jkt = match inbound.target.proof {
        None => None,
        Some(_) => {
            let demand = Demand { bucket: slot.bucket, application: owner.as_deref(), access_token: None };
            Some(possession::prove(service, inbound, demand).await?)
        }
    };
    let actor = if direct { Actor::Holder } else { Actor::Application };
    let operation = inbound.operation(&actor)?;
    // Without a record of the family there is no owner to find, and nothing to judge: the script says so.
    let nobody = Policy::default();
    let asking = Asking {
        policy: owner.as_deref().map_or(&nobody, |owner| &owner.policy),
        client: &context,
        actor: &actor,
        request_id: &inbound.request_id,
        session: token.session,
        slot,
        now,
        active: true,
    };
    let digests = asking.digests(service).await?;
    let mut presented = Presented {
        application_tag: token.application_tag,
        generation: token.generation,
        operation: operation.mark,
        address: digests.address,
        device: digests.device,
        jkt,
        judged: None,
    };
    for _ in 0..JUDGEMENTS_MAX {
        let call = scripts::refresh(&token.session, slot, &presented, &operation, now);
        match scripts::refreshed(service.state.run(&call).await?)? {
            Refreshed::Rotated(record) | Refreshed::Healed(record) => {
                return respond(service, direct, token.session, record, now).await;
            }
            Refreshed::Successor(record) => {
                asking.same_network(service, &record, digests).await?;
                return respond(service, direct, token.session, record, now).await;
            }
            // Contexts of families are told of, not judged.
            Refreshed::ContextChanged { record, shared: true, .. } => {
                let header = record.header;
                let allowed = Judged::allowed(header.revision);
                presented.judged = Some(Judged { standing: header.standing, score: header.risk_score, ..allowed });
            }
            Refreshed::ContextChanged { record, history, shared: false } => {
                presented.judged = Some(judged(service, &asking, digests, &record, &history).await?);
            }
            Refreshed::Moved => presented.judged = None,
            Refreshed::Replay { owner_tag } => return Err(replayed(service, &token, owner_tag, now).await),
            Refreshed::Ended(reason) | Refreshed::Lapsed(reason) => {
                return Err(Error::SessionEnded { reason, asker: Asker::Holder });
            }
            Refreshed::Quarantined(record) => return Err(risk::quarantined(&record)),
            Refreshed::Superseded => return Err(Error::RefreshTokenSuperseded),
            Refreshed::WrongKey => {
                tracing::warn!(event = "authn_proof_fail", "refresh token without a proof by its key");
                possession::offer_nonce(service, inbound).await?;
                return Err(Error::DpopProofInvalid("no proof by the key of the session"));
            }
            Refreshed::Missing => {
                return Err(Error::RefreshTokenInvalid);
            }
        }
    }
    Err(Error::SessionChanged)
}

/// The judgement of a changed context, for the script to commit with the rotation. A session that may not go on is
/// quarantined or ended here, and its token is not used up.
async fn judged(
    service: &Service,
    asking: &Asking<'_>,
    digests: ContextDigests,
    record: &SessionRecord,
    history: &[u8],
) -> Result<Judged> {
    let commitment = asking.let_pass(service, digests, record, history).await?;
    let header = &commitment.record.header;
    Ok(Judged {
        revision: header.revision,
        standing: header.standing,
        score: header.risk_score,
        attributes: Some(commitment.record.attributes.encode()),
        history: commitment.history,
        event: commitment.event,
        detail: commitment.detail,
    })
}

/// The application that calls on behalf of its user, when one does. It must own the family.
async fn backend(service: &Service, inbound: &Inbound, token: &RefreshToken) -> Result<Option<Arc<KnownApplication>>> {
    // Clients send their expired access token along out of habit; the refresh token alone decides.
    let Some(Credential::Bearer(text)) = &inbound.credential else { return Ok(None) };
    if !crate::core::application_key::ApplicationKey::looks_like(text) {
        return Ok(None);
    }
    let caller = authenticate::authenticate(service, inbound).await?;
    caller.require(Scope::SessionsWrite)?;
    if caller.application_tag() != token.application_tag {
        return Err(Error::RefreshTokenInvalid);
    }
    match caller {
        Caller::Application(application) => Ok(Some(application)),
        Caller::Holder(_) => Ok(None),
    }
}

/// Refuses tokens of a disabled application before the script runs. A generation used up for an answer that is never
/// given would look like a replay once the application is served again, and end an honest user's session. The token
/// names its application by tag; an environment that has not met the tag looks into the record, one round trip more.
async fn owner(
    service: &Service,
    token: &RefreshToken,
    slot: UserSlot,
    now: Timestamp,
) -> Result<Option<Arc<KnownApplication>>> {
    if let Some(id) = service.applications.id_of(token.application_tag) {
        return served(service, &id, now).await.map(Some);
    }
    let reply = service.state.command(&scripts::read(&[token.session], slot)).await?;
    let record = scripts::read_reply(reply)?.0.into_iter().next().flatten();
    let reached = reach(service, token.session, record, token.application_tag).await?;
    let id = reached.and_then(|reached| ApplicationId::parse(&reached.record.attributes.application_id));
    match id.filter(|id| id.tag() == token.application_tag) {
        Some(id) => served(service, &id, now).await.map(Some),
        // No record of the family, or a tombstone: the script says which.
        None => Ok(None),
    }
}

async fn served(service: &Service, id: &ApplicationId, now: Timestamp) -> Result<Arc<KnownApplication>> {
    let application = service.applications.get(id, now).await?;
    application
        .filter(|application| application.status == ApplicationStatus::Active)
        .ok_or(Error::CredentialInvalid("application unknown or disabled"))
}

/// The pair for the record's generation, unless the application has been disabled meanwhile.
async fn respond(
    service: &Service,
    direct: bool,
    session: SessionId,
    record: SessionRecord,
    now: Timestamp,
) -> Result<RefreshedSession> {
    let id = ApplicationId::parse(&record.attributes.application_id)
        .ok_or_else(|| Error::Internal("application id out of grammar".into()))?;
    served(service, &id, now).await?;
    Ok(RefreshedSession {
        tokens: present::tokens(service, session, &record, record.header.generation, now).await?,
        session: SessionView::new(session, record, None).with_current(direct.then_some(true)),
    })
}

/// Replay ended the session inside the script; the ledger keeps it so that a store rollback can not undo it. A failed
/// write changes nothing for the caller: the tombstone in Redis holds.
async fn replayed(service: &Service, token: &RefreshToken, owner_tag: [u8; 8], now: Timestamp) -> Error {
    tracing::warn!(event = "authn_token_reuse", "refresh token replayed; session ended");
    let entry = LedgerEntry::Session { session: token.session, reason: EndReason::Reuse, application_tag: owner_tag };
    if let Err(error) = service.ledger.record(&entry, now).await {
        tracing::warn!(%error, "replay not in the ledger");
    }
    Error::RefreshTokenReused
}
