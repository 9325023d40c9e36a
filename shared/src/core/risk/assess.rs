//! From a request to its signals. Every input is a field of [`Scene`].

use super::history::{History, seconds};
use super::signals::{Signal, Signals};
use super::verdict::Verdict;
use crate::core::context::{ContextDigests, Sighting, differs};
use crate::core::device::TrustLevel;
use crate::core::fingerprint::Fingerprint;
use crate::core::place::{Place, impossible_travel};
use crate::core::policy::RiskPolicy;
use crate::core::record::{Header, SessionRecord};
use crate::core::standing::Standing;
use crate::core::time::Timestamp;

/// Creations within ten minutes that are still no burst.
pub const BURST_CREATIONS: u32 = 10;
/// How long a replayed refresh token counts, in seconds.
pub const REUSE_SECONDS: u32 = 24 * 3600;
/// How long a device must have been known on a network or in a country before that speaks for a request, in seconds.
pub const KNOWN_AFTER_SECONDS: u32 = 24 * 3600;

/// A request as the judgement sees it.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Digests under the key of the session.
    pub digests: ContextDigests,
    /// The request's network under the prefix that the record's fingerprint was made with; zeros when unknown.
    pub network: [u8; 8],
    /// The fingerprint of the request.
    pub fingerprint: Fingerprint,
    /// Network and device as the user's history names them.
    pub sighting: Sighting,
    /// Where the request comes from.
    pub place: Option<Place>,
    /// The user's history.
    pub history: History,
    /// When.
    pub now: Timestamp,
}

/// What a judgement found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    /// The evidence.
    pub signals: Signals,
    /// Its score.
    pub score: u8,
    /// What the policy makes of it.
    pub verdict: Verdict,
}

impl Assessment {
    /// The verdict of a policy on signals. A device that has proved itself is not called new: more trust only relaxes.
    pub fn of(signals: Signals, trust: TrustLevel, policy: &RiskPolicy) -> Self {
        let signals = match trust {
            TrustLevel::Blocked | TrustLevel::New => signals,
            TrustLevel::Known | TrustLevel::Trusted => signals.without(Signal::NewDevice),
        };
        let score = signals.score();
        Assessment { signals, score, verdict: Verdict::of(score, policy) }
    }
}

/// Whether the holder of a session can not act on it yet: it is quarantined, or its context has to be judged first.
/// `record.lua` says the same.
pub fn unjudged(header: &Header, digests: ContextDigests) -> bool {
    let changed = differs(header.address, digests.address) || differs(header.device, digests.device);
    changed || header.standing == Standing::Quarantined
}

/// Whether a request comes from another network than the session was last judged at.
pub fn other_network(record: &SessionRecord, scene: &Scene) -> bool {
    match record.attributes.fingerprint() {
        Some(anchor) if anchor.network != [0; 8] => differs(anchor.network, scene.network),
        Some(_) | None => differs(record.header.address, scene.digests.address),
    }
}

/// The signals of a request whose context differs from the one that its session was last judged in.
pub fn of_change(record: &SessionRecord, scene: &Scene) -> Signals {
    let before = record.attributes.fingerprint();
    let compared = before.as_ref().map(|before| before.compare(&scene.fingerprint));
    let drifted = compared.is_some_and(|compared| compared.drifted());
    let other_device = differs(record.header.device, scene.digests.device);
    let new_device = other_device && is_new_device(scene);
    let mut signals = of_user(scene)
        .and(Signal::FingerprintDrift, drifted)
        .and(Signal::UserAgentDowngrade, compared.is_some_and(|compared| compared.downgraded))
        .and(Signal::NewDevice, new_device);
    // What the user has long done with this device, a VPN say, is no evidence. It excuses no other device.
    let own_device = !drifted && !new_device;
    if !(own_device && is_settled(scene, scene.history.pair_since(scene.sighting))) {
        signals = signals.and(Signal::NetworkChange, other_network(record, scene));
    }
    if own_device && is_settled(scene, been_here(scene)) {
        return signals;
    }
    let seconds = scene.now.millis_since(record.header.last_activity_at) / 1000;
    of_place(signals, record.attributes.place.as_ref(), scene, seconds)
}

/// Since when this device has been seen in the country of the request.
fn been_here(scene: &Scene) -> Option<u32> {
    scene.history.device_in_since(scene.sighting.device, scene.place.as_ref()?.country)
}

/// Whether something has been so for long enough to speak for a request.
fn is_settled(scene: &Scene, since: Option<u32>) -> bool {
    let known = scene.sighting.network != [0; 6] && scene.sighting.device != [0; 6];
    known && since.is_some_and(|since| seconds(scene.now).saturating_sub(since) >= KNOWN_AFTER_SECONDS)
}

/// The signals of a session that begins. A user who was never seen before has none.
pub fn of_beginning(scene: &Scene) -> Signals {
    let history = &scene.history;
    let signals = of_user(scene);
    if history.entries.is_empty() {
        return signals;
    }
    let new_network = scene.sighting.network != [0; 6] && !history.knows_network(scene.sighting.network);
    let signals = signals.and(Signal::NewDevice, is_new_device(scene)).and(Signal::NetworkChange, new_network);
    match history.last_of(scene.sighting.device) {
        Some(_) if is_settled(scene, been_here(scene)) => signals,
        Some(last) => {
            let apart = i64::from(seconds(scene.now)) - i64::from(last.last);
            of_place(signals, Place::of_mark(last.place).as_ref(), scene, apart)
        }
        None => signals,
    }
}

/// What holds for the user whatever the request.
fn of_user(scene: &Scene) -> Signals {
    let History { replayed, .. } = scene.history;
    let age = seconds(scene.now).saturating_sub(replayed);
    Signals::default()
        .and(Signal::CreationBurst, scene.history.created_lately(scene.now) > BURST_CREATIONS)
        .and(Signal::RecentReuse, replayed != 0 && age < REUSE_SECONDS)
}

fn of_place(signals: Signals, last: Option<&Place>, scene: &Scene, seconds: i64) -> Signals {
    let (Some(last), Some(place)) = (last, &scene.place) else { return signals };
    signals
        .and(Signal::CountryChange, last.country != place.country)
        .and(Signal::ImpossibleTravel, impossible_travel(last, place, seconds))
}

fn is_new_device(scene: &Scene) -> bool {
    let device = scene.sighting.device;
    device != [0; 6] && !scene.history.entries.is_empty() && !scene.history.knows_device(device)
}
