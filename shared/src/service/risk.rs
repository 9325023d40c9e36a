//! Judging a request whose context differs from its session's, before anything is done for it: one more round trip, and
//! none while the context is the same. T-01, T-74, ASVS 8.2.4.

use super::authenticate::Holder;
use super::end;
use super::runtime::{Service, operation};
use crate::adapters::redis::scripts::{self, Judged};
use crate::core::audit::Actor;
use crate::core::context::{ClientContext, ContextDigests, differs};
use crate::core::device::DeviceType;
use crate::core::end_reason::EndReason;
use crate::core::fingerprint::Fingerprint;
use crate::core::id::{SessionId, UserSlot};
use crate::core::ledger::LedgerEntry;
use crate::core::policy::{Effective, IpBinding, Policy};
use crate::core::privacy::Privacy;
use crate::core::record::SessionRecord;
use crate::core::risk::{self, Assessment, Commitment, History, Note, Outcome, Scene};
use crate::core::session::{Liveness, liveness};
use crate::core::standing::Standing;
use crate::core::time::Timestamp;
use crate::error::{Asker, Error, Result};

/// How often a judgement is repeated when the record changes underneath it.
pub const JUDGEMENTS_MAX: usize = 3;

/// Who asks, for which session, from where.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The policy of the caller's application.
    pub policy: &'a Policy,
    /// Where the session's user is, and with what.
    pub client: &'a ClientContext,
    /// Whom the audit names.
    pub actor: &'a Actor,
    /// The request, for the audit.
    pub request_id: &'a str,
    /// The session.
    pub session: SessionId,
    /// Its user's slot.
    pub slot: UserSlot,
    /// The one instant of the request.
    pub now: Timestamp,
    /// Whether the request counts as activity.
    pub active: bool,
}

impl<'a> Asking<'a> {
    /// A holder's request about its own session.
    pub fn of_holder(holder: &'a Holder, slot: UserSlot, now: Timestamp) -> Self {
        Asking {
            policy: &holder.application.policy,
            client: &holder.origin.client,
            actor: &Actor::Holder,
            request_id: &holder.origin.request_id,
            session: holder.session,
            slot,
            now,
            active: true,
        }
    }

    /// The digests by which a script tells that nothing has changed.
    pub async fn digests(&self, service: &Service) -> Result<ContextDigests> {
        let routing = service.keys.routing().await?;
        Ok(self.client.digests(routing, &self.session, self.policy.finest_bits()))
    }

    /// Everything that a judgement looks at.
    pub async fn scene(
        &self,
        service: &Service,
        digests: ContextDigests,
        record: &SessionRecord,
        history: &[u8],
    ) -> Result<Scene> {
        let routing = service.keys.routing().await?;
        let bits = rules(self.policy, record).binding.bits();
        let privacy = Privacy::of_record(record.header.flags);
        let fingerprint = Fingerprint::of(self.client, routing, &self.session, bits).permitted(privacy);
        let network = match record.attributes.fingerprint() {
            Some(anchor) => anchor.network_of(self.client, routing, &self.session),
            None => fingerprint.network,
        };
        Ok(Scene {
            digests: digests.permitted(privacy),
            network,
            fingerprint,
            sighting: self.client.sighting(routing, self.slot.tag).permitted(privacy),
            place: service.places.locate(self.client).filter(|_| privacy.location()),
            history: History::decode(history),
            now: self.now,
        })
    }

    /// The judgement of a record under its policy.
    pub fn judge(&self, record: &SessionRecord, scene: &Scene) -> Outcome {
        risk::judge(record, &rules(self.policy, record), scene)
    }

    /// Writes a judgement; `None` when the record has moved on meanwhile.
    pub async fn commit(&self, service: &Service, commitment: &Commitment) -> Result<Option<SessionRecord>> {
        let operation = operation(self.actor, self.request_id, self.now)?;
        let call = scripts::judge(&self.session, self.slot, commitment, self.active, &operation, self.now);
        match scripts::judged(service.state.run(&call).await?)? {
            Judged::Done(record) => {
                if commitment.event == risk::Event::Raised {
                    tracing::warn!(event = "session_risk_raised", detail = commitment.detail, "session judged risky");
                }
                // The script returns no sealed data; a judgement does not change it.
                Ok(Some(SessionRecord { sealed: commitment.record.sealed.clone(), ..*record }))
            }
            Judged::Moved => Ok(None),
            Judged::Ended(reason) => Err(Error::SessionEnded { reason, asker: self.asker() }),
            Judged::Missing => Err(gone(self.asker())),
        }
    }

    /// The refusal of a request from another network than the session is bound to. The session stays as it is: whoever
    /// holds it rightly is not logged out by somebody else's attempt.
    pub async fn refuse(&self, service: &Service, record: &SessionRecord) -> Result<Error> {
        let operation = operation(self.actor, self.request_id, self.now)?;
        let detail = "network";
        let tag = record.header.application_tag;
        service
            .state
            .run(&scripts::note_session(&self.session, tag, "session.binding_refused", detail, &operation))
            .await?;
        tracing::warn!(event = "session_binding_refused", "request from another network");
        Ok(Error::BindingMismatch)
    }

    /// Ends the session for its risk, and says so.
    pub async fn end(&self, service: &Service, record: &SessionRecord, found: Assessment) -> Result<Error> {
        let detail = Note { verdict: found.verdict, reasons: found.signals }.detail(found.score);
        tracing::warn!(event = "session_risk_ended", detail, "session ended for its risk");
        let application_tag = record.header.application_tag;
        let told = operation(self.actor, self.request_id, self.now)?;
        service
            .state
            .run(&scripts::note_session(&self.session, application_tag, risk::Event::Raised.as_str(), &detail, &told))
            .await?;
        let reason = EndReason::Risk;
        let entry = LedgerEntry::Session { session: self.session, reason, application_tag };
        let ends = operation(self.actor, self.request_id, self.now)?;
        let call = scripts::end(&self.session, self.slot, None, application_tag, reason, &ends, self.now);
        end::in_order(service, &entry, &call, self.now).await?;
        Ok(Error::SessionEnded { reason, asker: Asker::Holder })
    }

    /// Refuses a repeated answer to a caller from another network than the session is bound to: it hands out what the
    /// rightful caller was given.
    pub async fn same_network(&self, service: &Service, record: &SessionRecord, digests: ContextDigests) -> Result<()> {
        let bound = match rules(self.policy, record).binding.ip {
            IpBinding::Off => false,
            IpBinding::Prefix | IpBinding::Exact => differs(record.header.address, digests.address),
        };
        if bound && risk::other_network(record, &self.scene(service, digests, record, &[]).await?) {
            return Err(self.refuse(service, record).await?);
        }
        Ok(())
    }

    fn asker(&self) -> Asker {
        match self.actor {
            Actor::Holder => Asker::Holder,
            Actor::Application | Actor::Service => Asker::Application,
        }
    }

    /// The judgement of a changed context, for a script to commit with what the request is for. A session that may not go
    /// on is quarantined or ended here, and the request refused.
    pub async fn let_pass(
        &self,
        service: &Service,
        digests: ContextDigests,
        record: &SessionRecord,
        history: &[u8],
    ) -> Result<Box<Commitment>> {
        refuse_quarantined(record)?;
        let scene = self.scene(service, digests, record, history).await?;
        let commitment = match self.judge(record, &scene) {
            Outcome::Refused => return Err(self.refuse(service, record).await?),
            Outcome::End(found) => return Err(self.end(service, record, found).await?),
            Outcome::Commit(commitment) => commitment,
        };
        match commitment.record.header.standing {
            Standing::Good | Standing::StepUp => Ok(commitment),
            Standing::Quarantined => match self.commit(service, &commitment).await? {
                Some(record) => Err(quarantined(&record)),
                None => Err(Error::SessionChanged),
            },
        }
    }

    /// A live record for a request from this context: at once when it is the record's own, judged first when it is not.
    /// Refuses what is quarantined, before or by the judgement.
    pub async fn admit(&self, service: &Service, record: SessionRecord, history: Vec<u8>) -> Result<SessionRecord> {
        let digests = self.digests(service).await?;
        let (mut record, mut history) = (record, history);
        for _ in 0..JUDGEMENTS_MAX {
            refuse_quarantined(&record)?;
            if !self.has_changed(&record, digests) {
                return Ok(record);
            }
            let scene = self.scene(service, digests, &record, &history).await?;
            let written = match self.judge(&record, &scene) {
                Outcome::Refused => return Err(self.refuse(service, &record).await?),
                Outcome::End(found) => return Err(self.end(service, &record, found).await?),
                Outcome::Commit(commitment) => self.commit(service, &commitment).await?,
            };
            if let Some(judged) = written {
                refuse_quarantined(&judged)?;
                return Ok(judged);
            }
            (record, history) = self.look_again(service, record.header.application_tag).await?;
        }
        Err(Error::SessionChanged)
    }

    /// Whether a record has to be judged for this context. A session that is bound and began nowhere takes the first
    /// network it is used at.
    fn has_changed(&self, record: &SessionRecord, digests: ContextDigests) -> bool {
        let header = &record.header;
        let unbound = match rules(self.policy, record).binding.ip {
            IpBinding::Off => false,
            IpBinding::Prefix | IpBinding::Exact => header.address == [0; 8] && digests.address != [0; 8],
        };
        unbound || risk::unjudged(header, digests)
    }

    /// Judges the beginning of a session against the user's history, as long as nothing has happened to it since. An
    /// ordinary beginning costs nothing more.
    pub async fn begin(&self, service: &Service, record: SessionRecord, history: &[u8]) -> Result<SessionRecord> {
        if record.header.revision != 1 || history.is_empty() {
            return Ok(record);
        }
        let digests = self.digests(service).await?;
        let mut scene = self.scene(service, digests, &record, history).await?;
        // What this very creation has taught does not speak for it.
        scene.history = scene.history.apart_from(scene.sighting, record.header.created_at);
        let Some(commitment) = risk::judge_beginning(&record, &rules(self.policy, &record), &scene) else {
            return Ok(record);
        };
        // Whatever moved the record since has its own judgement; what it says is shown.
        Ok(self.commit(service, &commitment).await?.unwrap_or(record))
    }

    /// Takes over the first context of a session that began without one, in place of recording activity. `None` when the
    /// record moved on, or there is nothing to take over.
    pub async fn adopt(&self, service: &Service, record: &SessionRecord) -> Result<Option<SessionRecord>> {
        let digests = self.digests(service).await?;
        if record.attributes.seen.is_some() || digests == ContextDigests::default() {
            return Ok(None);
        }
        let scene = self.scene(service, digests, record, &[]).await?;
        self.commit(service, &risk::adopt(record, &scene, false)).await
    }

    async fn look_again(&self, service: &Service, tag: [u8; 8]) -> Result<(SessionRecord, Vec<u8>)> {
        let reply = service.state.command(&scripts::read_with_history(&[self.session], self.slot)).await?;
        let (records, epoch, history) = scripts::read_with_history_reply(reply)?;
        let record = records.into_iter().next().flatten().filter(|record| record.header.application_tag == tag);
        let record = record.ok_or_else(|| gone(self.asker()))?;
        match liveness(&record.header, epoch, self.now) {
            Liveness::Alive => Ok((record, history)),
            Liveness::Ended(reason) | Liveness::Lapsed(reason) => {
                Err(Error::SessionEnded { reason, asker: self.asker() })
            }
        }
    }
}

/// The rules of a session.
pub fn rules(policy: &Policy, record: &SessionRecord) -> Effective {
    let kind = record.attributes.device_type.as_deref().and_then(DeviceType::parse);
    policy.effective(kind, record.header.trust)
}

/// Refuses the holder of a quarantined session. T-74.
pub fn refuse_quarantined(record: &SessionRecord) -> Result<()> {
    match record.header.standing {
        Standing::Good | Standing::StepUp => Ok(()),
        Standing::Quarantined => Err(quarantined(record)),
    }
}

/// What the holder of a quarantined session hears.
pub fn quarantined(record: &SessionRecord) -> Error {
    Error::SessionQuarantined(record.attributes.risk.map(|note| note.reasons).unwrap_or_default())
}

fn gone(asker: Asker) -> Error {
    match asker {
        Asker::Application => Error::NotFound,
        Asker::Holder => Error::CredentialInvalid("the token's session is not there"),
    }
}
