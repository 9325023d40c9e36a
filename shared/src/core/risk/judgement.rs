//! From signals to what is written: whether the session goes on, in which standing, and what the audit hears.

use super::assess::{Assessment, Scene, of_beginning, of_change, other_network};
use super::history::Entry;
use super::verdict::{Note, Verdict};
use crate::core::policy::{Effective, IpBinding, RiskMode};
use crate::core::record::SessionRecord;
use crate::core::standing::Standing;

/// What the audit hears of a judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing: nothing changed that anybody would want to know.
    None,
    /// The context changed and the session goes on as before.
    ContextChanged,
    /// The standing of the session was lowered.
    Raised,
    /// It would have been, were the verdicts in force.
    Shadowed,
}

impl Event {
    /// The event's type, empty for none.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::None => "",
            Event::ContextChanged => "session.context_changed",
            Event::Raised => "session.risk_raised",
            Event::Shadowed => "session.risk_shadowed",
        }
    }
}

/// What a judgement writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// The record with the new standing, score, reasons and, unless it is quarantined, context. Neither its revision nor
    /// its times have moved.
    pub record: SessionRecord,
    /// The user's history with this request; `None` leaves it.
    pub history: Option<Vec<u8>>,
    /// What the audit hears.
    pub event: Event,
    /// The event's detail.
    pub detail: String,
}

impl Commitment {
    /// The bytes that scripts take: the revision that was judged, standing, score, both digests, then attributes, event,
    /// detail and history, each behind its length.
    pub fn encode(&self) -> Vec<u8> {
        let header = &self.record.header;
        let mut bytes = header.revision.to_be_bytes().to_vec();
        bytes.extend([header.standing.code(), header.risk_score]);
        bytes.extend(header.address);
        bytes.extend(header.device);
        let attributes = self.record.attributes.encode();
        let history = self.history.as_deref().unwrap_or_default();
        for part in [&attributes, self.event.as_str().as_bytes(), self.detail.as_bytes(), history] {
            let part = &part[..part.len().min(usize::from(u16::MAX))];
            bytes.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(part);
        }
        bytes
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The session is bound to another network: the request is refused, the session stays as it is.
    Refused,
    /// The session goes on, or is quarantined.
    Commit(Box<Commitment>),
    /// The session ends.
    End(Assessment),
}

/// Judges a request whose context differs from the record's.
pub fn judge(record: &SessionRecord, rules: &Effective, scene: &Scene) -> Outcome {
    match rules.binding.ip {
        IpBinding::Prefix | IpBinding::Exact if other_network(record, scene) => return Outcome::Refused,
        IpBinding::Prefix | IpBinding::Exact | IpBinding::Off => {}
    }
    let assessment = match rules.risk.mode {
        RiskMode::Off => Assessment::of(Default::default(), record.header.trust, &rules.risk),
        RiskMode::Shadow | RiskMode::Enforce => {
            Assessment::of(of_change(record, scene), record.header.trust, &rules.risk)
        }
    };
    match (rules.risk.mode, assessment.verdict) {
        (RiskMode::Enforce, Verdict::End) => Outcome::End(assessment),
        (RiskMode::Enforce | RiskMode::Shadow | RiskMode::Off, _) => {
            Outcome::Commit(Box::new(commit(record, rules, scene, assessment)))
        }
    }
}

/// Judges the beginning of a session; `None` when there is nothing to write. The worst that can happen to a session that
/// an application has just created is quarantine.
pub fn judge_beginning(record: &SessionRecord, rules: &Effective, scene: &Scene) -> Option<Commitment> {
    let assessment = match rules.risk.mode {
        RiskMode::Off => return None,
        RiskMode::Shadow | RiskMode::Enforce => Assessment::of(of_beginning(scene), record.header.trust, &rules.risk),
    };
    if assessment.verdict == Verdict::Allow {
        return None;
    }
    let mut judged = record.clone();
    let event = put(&mut judged, rules.risk.mode, assessment);
    let detail = note(assessment).detail(assessment.score);
    Some(Commitment { record: judged, history: None, event, detail })
}

/// Takes over a context without judging it: the first one of a session that began without any, or, `proved`, one in which
/// the user has just authenticated again. Only the latter teaches the history.
pub fn adopt(record: &SessionRecord, scene: &Scene, proved: bool) -> Commitment {
    let mut adopted = record.clone();
    move_to(&mut adopted, scene);
    let history = proved.then(|| {
        let entry = Entry::of(scene.sighting, scene.place.as_ref(), false, scene.now);
        scene.history.clone().learn(entry).encode()
    });
    Commitment { record: adopted, history, event: Event::None, detail: String::new() }
}

fn note(assessment: Assessment) -> Note {
    Note { verdict: assessment.verdict, reasons: assessment.signals }
}

fn commit(record: &SessionRecord, rules: &Effective, scene: &Scene, assessment: Assessment) -> Commitment {
    let mut judged = record.clone();
    let raised = put(&mut judged, rules.risk.mode, assessment);
    let before = record.attributes.fingerprint();
    let similar = before.is_some_and(|before| before.compare(&scene.fingerprint).similarity == 100);
    let changed = other_network(record, scene) || !similar || !assessment.signals.is_empty();
    let event = match raised {
        Event::Raised | Event::Shadowed => raised,
        Event::None | Event::ContextChanged if changed => Event::ContextChanged,
        Event::None | Event::ContextChanged => Event::None,
    };
    let goes_on = judged.header.standing != Standing::Quarantined;
    if goes_on {
        move_to(&mut judged, scene);
    }
    // What was called risky is not learned from: the next thief would find the way paved. T-77.
    let learned = (goes_on && assessment.verdict == Verdict::Allow).then(|| {
        let entry = Entry::of(scene.sighting, scene.place.as_ref(), false, scene.now);
        scene.history.clone().learn(entry).encode()
    });
    let detail = match event {
        Event::None => String::new(),
        Event::ContextChanged | Event::Raised | Event::Shadowed => note(assessment).detail(assessment.score),
    };
    Commitment { record: judged, history: learned, event, detail }
}

/// Writes score, reasons and standing. Standing only ever falls by a judgement, and the reasons of a standing stay with
/// it until somebody lifts it.
fn put(record: &mut SessionRecord, mode: RiskMode, assessment: Assessment) -> Event {
    let before = record.header.standing;
    let judged = match mode {
        RiskMode::Enforce => before.max(assessment.verdict.standing()),
        RiskMode::Shadow | RiskMode::Off => before,
    };
    if judged > before || before == Standing::Good {
        record.header.risk_score = assessment.score;
        let empty = assessment.signals.is_empty();
        record.attributes.risk = (!empty).then_some(note(assessment));
    }
    record.header.standing = judged;
    match mode {
        RiskMode::Enforce if judged > before => Event::Raised,
        RiskMode::Shadow if assessment.verdict > Verdict::Allow => Event::Shadowed,
        RiskMode::Enforce | RiskMode::Shadow | RiskMode::Off => Event::None,
    }
}

/// Takes the context of a request over into its record.
fn move_to(record: &mut SessionRecord, scene: &Scene) {
    let known = |fresh: [u8; 8], old: [u8; 8]| if fresh == [0; 8] { old } else { fresh };
    record.header.address = known(scene.digests.address, record.header.address);
    record.header.device = known(scene.digests.device, record.header.device);
    let merged = match record.attributes.fingerprint() {
        Some(before) => before.followed_by(&scene.fingerprint),
        None => scene.fingerprint.clone(),
    };
    record.attributes.set_fingerprint(&merged);
    if let Some(place) = &scene.place {
        record.attributes.place = Some(place.clone());
    }
}
