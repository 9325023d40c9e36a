//! The model: what a session service that keeps its promises would hold and answer. It is written from the documents,
//! knows nothing of Redis, and takes the caller's clock, as the service does.

use std::collections::BTreeMap;

use shared::core::end_reason::EndReason;
use shared::core::policy::{OnLimit, SessionLimit};
use shared::core::privacy::Privacy;
use shared::core::standing::Standing;
use shared::core::time::Timestamp;

pub type Mark = [u8; 8];

/// A family of another application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub first: u32,
    pub generation: u32,
    pub rotated: Timestamp,
    pub created: Timestamp,
    pub mark: Mark,
}

/// What a store holds of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub ended: Option<EndReason>,
    pub epoch: u32,
    pub generation: u32,
    pub rotated: Timestamp,
    pub active: Timestamp,
    /// The true time of that activity: what clocks say may be off.
    pub truly_active: Timestamp,
    pub version: u32,
    pub revision: u32,
    pub data: Vec<u8>,
    pub mark: Mark,
    pub share: Option<Share>,
    /// The mark of the code that waits to be redeemed.
    pub code: Option<u32>,
    /// Whether it was shared when it ended: then whoever shared it hears why.
    pub shared_at_end: bool,
    /// Whom its creation evicted.
    pub evicted: Vec<usize>,
    /// Number of the lock that is held.
    pub lock: Option<usize>,
    /// The lock with the highest fencing number.
    pub newest_lock: Option<usize>,
    /// How the lock that was released last is remembered.
    pub released: Option<Released>,
    /// The mark of the operation that granted the lock.
    pub locked_by: Option<Mark>,
    pub absolute: Timestamp,
    pub idle: u32,
    /// The generation that a step-up put out of use.
    pub superseded: u32,
    /// When a step-up last recorded an authentication.
    pub authenticated: Option<Timestamp>,
    pub standing: Standing,
    /// Digest of the address that it was last judged at.
    pub address: [u8; 8],
    /// Number of the device and the epoch of it that the session began under.
    pub device: Option<(usize, u32)>,
    /// What the user has switched off, as far as records say it.
    pub privacy: Privacy,
    /// Whether the prefix of the address and the user agent are still there.
    pub prefix: bool,
    pub agent: bool,
}

/// A record as its creation presents it.
#[derive(Debug, Clone)]
pub struct New {
    pub data: Vec<u8>,
    pub address: [u8; 8],
    pub device: Option<(usize, u32)>,
    pub privacy: Privacy,
}

#[derive(Debug, Clone)]
pub struct Terms {
    pub user: usize,
    pub created: Timestamp,
    pub absolute: Timestamp,
    pub idle: u32,
    pub grace: u16,
    /// Text of its id, which decides between sessions of one instant.
    pub name: String,
}

/// What Redis holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    pub sessions: BTreeMap<usize, Stored>,
    pub epochs: BTreeMap<usize, u32>,
    /// Idempotency key → session and whom it evicted.
    pub claims: BTreeMap<(usize, u8), (usize, Vec<usize>)>,
    /// User and device → epoch of the device.
    pub device_epochs: BTreeMap<(usize, usize), u32>,
    /// Settings and their version.
    pub privacy: BTreeMap<usize, (Privacy, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// The generation that was handed out.
    Handed(u32),
    Created {
        session: usize,
        evicted: Vec<usize>,
    },
    Limit,
    Missing,
    Ended(EndReason),
    Replay,
    Version(u32),
    Locked,
    LockLost,
    /// The id is taken, by a session that has gone on since.
    Collision,
    /// What was judged is not what is there any more.
    Moved,
    /// A token from before a step-up.
    Superseded,
    Quarantined,
    /// Not to be shared.
    Refused,
    /// The user has switched off other things than the record says.
    OtherPrivacy(Privacy),
    /// Sessions of the device ended since it was read.
    OtherDevice,
    /// Later settings are there.
    LaterSettings,
    /// Nothing that the documents know.
    Unknown,
}

pub struct Model {
    pub limit: SessionLimit,
    pub terms: Vec<Terms>,
    pub held: Contents,
}

/// What a release leaves behind: the release before remembered the operation, so only that is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    Lock(usize),
    Operation(Mark),
}

/// An operation as the store hears of it.
#[derive(Debug, Clone, Copy)]
pub struct By {
    /// Whether the environment runs the scripts of the release before.
    pub release_before: bool,
    pub now: Timestamp,
    pub truth: Timestamp,
    pub mark: Mark,
}

impl Stored {
    fn may_be_shared(&self) -> bool {
        self.standing != Standing::Quarantined && self.privacy.sharing()
    }
}

impl Model {
    pub fn lapsed(&self, session: usize, now: Timestamp) -> Option<EndReason> {
        let held = self.held.sessions.get(&session)?;
        let epoch = self.held.epochs.get(&self.terms[session].user).copied().unwrap_or(0);
        if held.epoch < epoch {
            Some(EndReason::RevokeAll)
        } else if now >= held.absolute {
            Some(EndReason::Absolute)
        } else if now >= held.active.plus_seconds(held.idle.into()) {
            Some(EndReason::Idle)
        } else {
            None
        }
    }

    pub fn lives(&self, session: usize, now: Timestamp) -> bool {
        self.held.sessions.get(&session).is_some_and(|held| held.ended.is_none()) && self.lapsed(session, now).is_none()
    }

    pub fn of_user(&self, user: usize) -> Vec<usize> {
        (0..self.terms.len()).filter(|session| self.terms[*session].user == user).collect()
    }

    pub(super) fn finish(&mut self, session: usize, reason: EndReason, mark: Mark) {
        let held = self.held.sessions.get_mut(&session).expect("held");
        held.ended = Some(reason);
        held.revision += 1;
        held.mark = mark;
        held.shared_at_end = held.share.take().is_some();
        held.data.clear();
    }

    /// The session as its owner reaches it: it lives, or the answer.
    pub(super) fn owned(&mut self, session: usize, by: By) -> Result<(), Answer> {
        let Some(held) = self.held.sessions.get(&session) else { return Err(Answer::Missing) };
        if let Some(reason) = held.ended {
            return Err(Answer::Ended(reason));
        }
        self.in_time(session, by)
    }

    fn in_time(&mut self, session: usize, by: By) -> Result<(), Answer> {
        match self.lapsed(session, by.now) {
            Some(reason) => {
                self.finish(session, reason, by.mark);
                Err(Answer::Ended(reason))
            }
            None => Ok(()),
        }
    }

    pub fn create(&mut self, session: usize, key: Option<u8>, new: New, by: By) -> Answer {
        let user = self.terms[session].user;
        if let Some((first, evicted)) = key.and_then(|key| self.held.claims.get(&(user, key))) {
            return Answer::Created { session: *first, evicted: evicted.clone() };
        }
        if let Some(held) = self.held.sessions.get(&session) {
            return match held.mark == by.mark {
                true => Answer::Created { session, evicted: held.evicted.clone() },
                false => Answer::Collision,
            };
        }
        let settings = self.held.privacy.get(&user).map_or(Privacy::default(), |(privacy, _)| *privacy);
        if settings.record_flags() != new.privacy.record_flags() {
            return Answer::OtherPrivacy(settings);
        }
        if let Some((device, epoch)) = new.device
            && self.held.device_epochs.get(&(user, device)).is_some_and(|known| *known > epoch)
        {
            return Answer::OtherDevice;
        }
        let mut live = Vec::new();
        let mut over = Vec::new();
        for other in self.of_user(user) {
            match (self.held.sessions.get(&other), self.lapsed(other, by.now)) {
                (Some(held), _) if held.ended.is_some() => {}
                (Some(_), Some(reason)) => over.push((other, reason)),
                (Some(_), None) => live.push(other),
                (None, _) => {}
            }
        }
        let surplus = (live.len() + 1).saturating_sub(self.limit.max as usize);
        if surplus > 0 && self.limit.on_limit == OnLimit::Reject {
            return Answer::Limit;
        }
        for (other, reason) in over {
            self.finish(other, reason, by.mark);
        }
        live.sort_by_key(|other| {
            let (terms, held) = (&self.terms[*other], &self.held.sessions[other]);
            (if self.limit.on_limit == OnLimit::EvictOldest { terms.created } else { held.active }, terms.name.clone())
        });
        let evicted = live[..surplus].to_vec();
        for other in &evicted {
            self.finish(*other, EndReason::Evicted, by.mark);
        }
        let stored = Stored {
            ended: None,
            epoch: self.held.epochs.get(&user).copied().unwrap_or(0),
            generation: 1,
            rotated: by.now,
            active: by.now,
            truly_active: by.truth,
            version: 1,
            revision: 1,
            data: new.data,
            mark: by.mark,
            share: None,
            code: None,
            shared_at_end: false,
            evicted: evicted.clone(),
            lock: None,
            newest_lock: None,
            released: None,
            locked_by: None,
            absolute: self.terms[session].absolute,
            idle: self.terms[session].idle,
            superseded: 0,
            authenticated: None,
            standing: Standing::Good,
            address: new.address,
            device: new.device,
            privacy: new.privacy,
            prefix: new.privacy.location(),
            agent: new.privacy.fingerprinting(),
        };
        self.held.sessions.insert(session, stored);
        if let Some(key) = key {
            self.held.claims.insert((user, key), (session, evicted.clone()));
        }
        Answer::Created { session, evicted }
    }

    pub(super) fn active(held: &mut Stored, by: By) {
        if by.now > held.active {
            (held.active, held.truly_active) = (by.now, by.truth);
        }
    }

    pub fn touch(&mut self, session: usize, by: By) -> bool {
        let lives = self.lives(session, by.now);
        if lives {
            Self::active(self.held.sessions.get_mut(&session).expect("lives"), by);
        }
        lives
    }

    pub fn update(
        &mut self,
        session: usize,
        sharer: bool,
        expected: u32,
        lock: Option<usize>,
        data: Vec<u8>,
        by: By,
    ) -> Answer {
        if sharer && self.held.sessions.get(&session).is_none_or(|held| held.share.is_none()) {
            return Answer::Missing;
        }
        if let Err(answer) = self.owned(session, by) {
            return answer;
        }
        let held = self.held.sessions.get_mut(&session).expect("owned");
        if held.mark == by.mark && held.version == expected + 1 {
            return Answer::Done;
        }
        match (lock, held.lock) {
            (None, Some(_)) => return Answer::Locked,
            (Some(_), None) => return Answer::LockLost,
            (Some(ours), Some(theirs)) if ours != theirs || held.newest_lock != Some(ours) => return Answer::LockLost,
            _ => {}
        }
        if held.version != expected {
            return Answer::Version(held.version);
        }
        (held.version, held.revision, held.mark, held.data) = (expected + 1, held.revision + 1, by.mark, data);
        Self::active(held, by);
        Answer::Done
    }

    /// Section "refresh" of the documents: order is by generation, the clock only closes the window.
    pub fn refresh(&mut self, session: usize, sharer: bool, generation: u32, by: By) -> Answer {
        let Some(held) = self.held.sessions.get(&session) else { return Answer::Missing };
        if sharer {
            match (&held.share, held.ended) {
                (None, None) => return Answer::Missing,
                (None, Some(_)) if !held.shared_at_end => return Answer::Missing,
                (Some(share), None) if generation < share.first => return Answer::Missing,
                (None, Some(_)) | (Some(_), _) => {}
            }
        }
        if held.ended == Some(EndReason::Reuse) && held.mark == by.mark {
            return Answer::Replay;
        }
        if let Err(answer) = self.owned(session, by) {
            return answer;
        }
        let grace = if sharer { 10 } else { i64::from(self.terms[session].grace) };
        let held = self.held.sessions.get_mut(&session).expect("owned");
        let quarantined = held.standing == Standing::Quarantined;
        let superseded = if sharer { 0 } else { held.superseded };
        let (place, rotated, mark) = match (&mut held.share, sharer) {
            (Some(share), true) => (&mut share.generation, &mut share.rotated, &mut share.mark),
            _ => (&mut held.generation, &mut held.rotated, &mut held.mark),
        };
        let handed = if quarantined { Answer::Quarantined } else { Answer::Handed(*place) };
        if *mark == by.mark && generation + 1 == *place {
            return handed;
        }
        if generation < *place {
            let inside = by.now.millis_since(*rotated) <= grace * 1000;
            // Its holder may not have heard of the step-up yet: that is no proof of a theft.
            if superseded > 0 && (generation == superseded || generation + 1 == superseded && inside) {
                return Answer::Superseded;
            }
            if generation + 1 == *place && inside {
                return handed;
            }
            self.finish(session, EndReason::Reuse, by.mark);
            return Answer::Replay;
        }
        if quarantined {
            return Answer::Quarantined;
        }
        (*place, *rotated, *mark) = (generation + 1, by.now, by.mark);
        held.revision += 1;
        Self::active(held, by);
        Answer::Handed(generation + 1)
    }

    pub fn lock(&mut self, session: usize, lock: usize, by: By) -> Answer {
        if let Err(answer) = self.owned(session, by) {
            return answer;
        }
        let held = self.held.sessions.get_mut(&session).expect("owned");
        match held.lock {
            Some(_) if held.locked_by == Some(by.mark) => Answer::Done,
            Some(_) => Answer::Locked,
            None => {
                (held.lock, held.newest_lock, held.locked_by) = (Some(lock), Some(lock), Some(by.mark));
                Answer::Done
            }
        }
    }

    pub fn unlock(&mut self, session: usize, lock: usize, by: By) -> Answer {
        if let Err(answer) = self.owned(session, by) {
            return answer;
        }
        let held = self.held.sessions.get_mut(&session).expect("owned");
        let released = if by.release_before { Released::Operation(by.mark) } else { Released::Lock(lock) };
        if held.lock == Some(lock) {
            (held.lock, held.released) = (None, Some(released));
            return Answer::Done;
        }
        if held.released == Some(released) { Answer::Done } else { Answer::LockLost }
    }

    pub fn share(&mut self, session: usize, code: u32, by: By) -> Answer {
        if let Err(answer) = self.owned(session, by) {
            return answer;
        }
        let held = self.held.sessions.get_mut(&session).expect("owned");
        if held.code != Some(code) && !held.may_be_shared() {
            return Answer::Refused;
        }
        held.code = Some(code);
        Answer::Done
    }

    pub fn redeem(&mut self, session: usize, code: u32, leaked: bool, by: By) -> Answer {
        let created = self.terms[session].created;
        let Some(held) = self.held.sessions.get_mut(&session) else { return Answer::Missing };
        if let Some(share) = held.share.as_ref().filter(|share| !leaked && share.mark == by.mark) {
            return Answer::Handed(share.generation);
        }
        if held.code != Some(code) {
            return Answer::Missing;
        }
        if leaked {
            held.code = None;
            return Answer::Missing;
        }
        if let Err(answer) = self.owned(session, by) {
            return answer;
        }
        let held = self.held.sessions.get_mut(&session).expect("owned");
        if !held.may_be_shared() {
            if by.release_before {
                held.code = None;
            }
            return Answer::Refused;
        }
        held.code = None;
        let tenths = u32::try_from(by.now.millis_since(created) / 100).expect("small");
        let first = held.revision.max(tenths) + 1;
        held.share = Some(Share { first, generation: first, rotated: by.now, created: by.now, mark: by.mark });
        held.revision += 1;
        Self::active(held, by);
        Answer::Handed(first)
    }

    pub fn end(&mut self, session: usize, sharer: bool, asked: Option<Timestamp>, reason: EndReason, by: By) -> Answer {
        let Some(held) = self.held.sessions.get_mut(&session) else { return Answer::Missing };
        if sharer {
            let again = held.mark == by.mark;
            return match &held.share {
                None if again => Answer::Done,
                None => Answer::Missing,
                Some(share) if asked.is_some_and(|asked| share.created > asked) => Answer::Missing,
                Some(_) => {
                    held.share = None;
                    held.code = None;
                    (held.mark, held.revision) = (by.mark, held.revision + 1);
                    Answer::Done
                }
            };
        }
        if held.ended.is_none() {
            let reason = self.lapsed(session, by.now).unwrap_or(reason);
            self.finish(session, reason, by.mark);
        }
        Answer::Done
    }

    pub fn revoke(&mut self, user: usize, epoch: u32, spared: Option<(usize, u32)>, by: By) {
        let before = self.held.epochs.get(&user).copied().unwrap_or(0);
        if let Some((session, floor)) = spared
            && let Some(held) = self.held.sessions.get(&session)
            && held.ended.is_none()
            && held.epoch >= floor
        {
            // It is judged as of the earlier of the two epochs.
            self.held.epochs.insert(user, before.min(epoch));
            let lives = self.lapsed(session, by.now).is_none();
            self.held.epochs.insert(user, before);
            let held = self.held.sessions.get_mut(&session).expect("held");
            if lives && held.epoch < epoch {
                held.epoch = epoch;
                held.revision += 1;
            }
        }
        if epoch > before {
            self.held.epochs.insert(user, epoch);
        }
        for session in self.of_user(user) {
            let held = self.held.sessions.get(&session);
            if held.is_some_and(|held| held.ended.is_none() && held.epoch < epoch) {
                self.finish(session, EndReason::RevokeAll, by.mark);
            }
        }
    }

    pub fn sweep(&mut self, user: usize, by: By) {
        for session in self.of_user(user) {
            if self.held.sessions.get(&session).is_some_and(|held| held.ended.is_none())
                && let Some(reason) = self.lapsed(session, by.now)
            {
                self.finish(session, reason, by.mark);
            }
        }
    }
}
