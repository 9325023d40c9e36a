//! The model's rules for what concerns a person more than a session: authentications, contexts, devices, settings.

use shared::core::end_reason::EndReason;
use shared::core::privacy::Privacy;
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

use super::model::{Answer, By, Model};

/// How old an authentication may be that raises a session.
const AGE_SECONDS: u64 = 300;
/// How long a session lives after an authentication when nobody says otherwise, and at most.
const ABSOLUTE_SECONDS: u64 = 7200;
pub const ABSOLUTE_SECONDS_MAX: u64 = 43_200;

/// What an application says of a re-authentication.
#[derive(Debug, Clone, Copy)]
pub struct Authentication {
    pub at: Timestamp,
    pub idle: Option<u32>,
    pub absolute: Option<u64>,
}

impl Model {
    /// Section "step-up": an authentication counts once, and while it is fresh.
    pub fn is_stale(&self, session: usize, at: Timestamp, now: Timestamp) -> bool {
        let held = self.held.sessions.get(&session).and_then(|held| held.authenticated);
        at.seconds() <= held.unwrap_or(self.terms[session].created).seconds() || now > at.plus_seconds(AGE_SECONDS)
    }

    /// Both clocks start anew, tokens from before are out of use, and every standing is lifted.
    pub fn step_up(&mut self, session: usize, revision: u32, said: Authentication, by: By) -> Answer {
        if let Err(answer) = self.owned(session, by) {
            return answer;
        }
        let held = self.held.sessions.get_mut(&session).expect("owned");
        if held.mark == by.mark {
            return Answer::Handed(held.generation);
        }
        if held.revision != revision {
            return Answer::Moved;
        }
        let from = said.at.min(by.now);
        held.absolute = match said.absolute {
            Some(seconds) => from.plus_seconds(seconds),
            None => {
                let promised = held.absolute.max(from.plus_seconds(ABSOLUTE_SECONDS));
                promised.min(from.plus_seconds(ABSOLUTE_SECONDS_MAX))
            }
        };
        held.idle = said.idle.unwrap_or(held.idle);
        (held.superseded, held.generation, held.rotated) = (held.generation, held.generation + 1, by.now);
        (held.authenticated, held.standing) = (Some(said.at), Standing::Good);
        (held.revision, held.mark) = (held.revision + 1, by.mark);
        Self::active(held, by);
        Answer::Handed(held.generation)
    }

    /// A judgement never raises a standing, and a session that is quarantined by it stays in the context it had.
    pub fn judge(&mut self, session: usize, revision: u32, found: Standing, address: [u8; 8], by: By) -> Answer {
        let Some(held) = self.held.sessions.get(&session) else { return Answer::Missing };
        if let Some(reason) = held.ended.or_else(|| self.lapsed(session, by.now)) {
            return Answer::Ended(reason);
        }
        let held = self.held.sessions.get_mut(&session).expect("held");
        if held.mark == by.mark {
            return Answer::Done;
        }
        if held.revision != revision {
            return Answer::Moved;
        }
        held.standing = held.standing.max(found);
        if held.standing != Standing::Quarantined {
            held.address = address;
        }
        (held.revision, held.mark) = (held.revision + 1, by.mark);
        Self::active(held, by);
        Answer::Done
    }

    /// Every session that began on the device under an earlier epoch is over; none begins under one any more.
    pub fn end_device(&mut self, user: usize, device: usize, epoch: u32, reason: EndReason, by: By) {
        let known = self.held.device_epochs.entry((user, device)).or_insert(0);
        *known = epoch.max(*known);
        for session in self.of_user(user) {
            let Some(held) = self.held.sessions.get(&session).filter(|held| held.ended.is_none()) else { continue };
            if held.device.is_some_and(|(on, began)| on == device && began < epoch) {
                let reason = self.lapsed(session, by.now).unwrap_or(reason);
                self.finish(session, reason, by.mark);
            }
        }
    }

    /// Of two settings the later ones stay; what they switch off goes from every live session, and does not come back with
    /// them when it is switched on again.
    pub fn set_privacy(&mut self, user: usize, privacy: Privacy, version: u32, by: By) -> Answer {
        if self.held.privacy.get(&user).is_some_and(|(_, known)| *known > version) {
            return Answer::LaterSettings;
        }
        self.held.privacy.insert(user, (privacy, version));
        for session in self.of_user(user) {
            let Some(held) = self.held.sessions.get_mut(&session).filter(|held| held.ended.is_none()) else { continue };
            if !privacy.sharing() && held.share.take().is_some() {
                (held.code, held.mark, held.revision) = (None, by.mark, held.revision + 1);
            }
            let (prefix, agent) = (held.prefix && privacy.location(), held.agent && privacy.fingerprinting());
            let same =
                (prefix, agent, privacy.record_flags()) == (held.prefix, held.agent, held.privacy.record_flags());
            if !same {
                (held.prefix, held.agent, held.privacy, held.revision) = (prefix, agent, privacy, held.revision + 1);
            }
        }
        Answer::Done
    }
}
