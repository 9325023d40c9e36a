//! What a presented refresh token means. `scripts/refresh.lua` takes the same decision inside Redis; a test runs both
//! on random inputs and compares.
//!
//! The numbered cases, in their order:
//!
//! 1. another application's family, unless the session is shared with that application: as if the session did not
//!    exist; likewise a token from before the beginning of its application's family, which is of a withdrawn one
//! 2. tombstone: ended, with its reason
//! 3. epoch, absolute or idle timeout: lapsed, with its reason
//! 4. the operation that made the current generation, or proved the replay that ended the session, run again: its
//!    first result
//! 5. two or more generations back: proof of replay
//! 6. one generation back, window over: proof of replay
//! 7. one generation back inside the window, another device: proof of replay
//! 8. one generation back inside the window, same device: the same successor, nothing changes
//! 9. current or ahead of the record, context changed and not yet judged: nothing changes, the caller judges
//! 10. the caller judged an older revision of the record: nothing changes, the caller looks again
//! 11. current: the next generation
//! 12. ahead of the record: the store lost an acknowledged write; the record heals forward
//! 13. bound to a key, and the caller proved another one or none: nothing changes. Comes before case 4: who does not
//!     have the key can neither use the token nor end the session with it
//! 14. put out of use by a step-up, or the generation before that one inside the window: refused, nothing changes.
//!     Comes before case 5: an honest tab that has not heard of the step-up is no thief
//! 15. quarantined, where cases 4, 8, 9, 11 and 12 would hand something out: nothing changes
//!
//! Order is by generation, never by clock; the clock only closes the window of cases 8 and 14.

use super::context::differs;
use super::end_reason::EndReason;
use super::family::Family;
use super::record::{Header, KEY_BOUND, SHARED, State};
use super::risk::Event;
use super::session::{Liveness, liveness};
use super::standing::Standing;
use super::time::Timestamp;

/// What a caller presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The family of the token.
    pub application_tag: [u8; 8],
    /// The generation of the token.
    pub generation: u32,
    /// First eight bytes of this operation's id.
    pub operation: [u8; 8],
    /// Keyed digest of the caller's address prefix; zeros when unknown.
    pub address: [u8; 8],
    /// Keyed digest of the caller's device; zeros when unknown.
    pub device: [u8; 8],
    /// The key that the caller has proved to have (RFC 7638 thumbprint).
    pub jkt: Option<String>,
    /// The judgement of a context change that case 9 asked for.
    pub judged: Option<Judged>,
}

/// A caller's judgement of a changed context: the session goes on, in this standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The revision of the record that was judged.
    pub revision: u32,
    /// The standing to leave the session in.
    pub standing: Standing,
    /// The score behind it.
    pub score: u8,
    /// The user's history with this context added; `None` leaves it.
    pub history: Option<Vec<u8>>,
    /// The record's attributes after the judgement; `None` leaves them.
    pub attributes: Option<Vec<u8>>,
    /// What the audit hears of the judgement.
    pub event: Event,
    /// The event's detail.
    pub detail: String,
}

impl Judged {
    /// The judgement that nothing speaks against the context, and that leaves everything else.
    pub fn allowed(revision: u32) -> Self {
        Judged {
            revision,
            standing: Standing::Good,
            score: 0,
            history: None,
            attributes: None,
            event: Event::ContextChanged,
            detail: String::new(),
        }
    }
}

/// The verdict. `generation` is the one to hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Case 1.
    Missing,
    /// Case 2.
    Ended(EndReason),
    /// Case 3: end the session with this reason.
    Lapsed(EndReason),
    /// Cases 4 and 8: hand out the current generation, change nothing.
    Successor {
        /// The record's generation.
        generation: u32,
    },
    /// Cases 5, 6 and 7: end the session, one security event.
    Replay,
    /// Case 9.
    ContextChanged,
    /// Case 10.
    Moved,
    /// Case 11.
    Rotate {
        /// The generation after the current one.
        generation: u32,
    },
    /// Case 12.
    Heal {
        /// The generation after the presented one.
        generation: u32,
    },
    /// Case 13.
    WrongKey,
    /// Case 14.
    Superseded,
    /// Case 15.
    Quarantined,
}

/// Decides; see the numbered cases above. `bound` is the thumbprint in the record.
pub fn decide(header: &Header, bound: Option<&str>, epoch: u32, now: Timestamp, presented: &Presented) -> Decision {
    if header.application_tag != presented.application_tag {
        return Decision::Missing;
    }
    match liveness(header, epoch, now) {
        Liveness::Ended(EndReason::Reuse) if presented.operation == header.last_operation => return Decision::Replay,
        Liveness::Ended(reason) => return Decision::Ended(reason),
        Liveness::Lapsed(reason) => return Decision::Lapsed(reason),
        Liveness::Alive => {}
    }
    if header.flags & KEY_BOUND != 0 && (bound.is_none() || bound != presented.jkt.as_deref()) {
        return Decision::WrongKey;
    }
    let current = header.generation;
    let next = current.saturating_add(1);
    let unless_quarantined = |decision| match header.standing {
        Standing::Good | Standing::StepUp => decision,
        Standing::Quarantined => Decision::Quarantined,
    };
    if presented.operation == header.last_operation && presented.generation.saturating_add(1) == current {
        return unless_quarantined(Decision::Successor { generation: current });
    }
    if presented.generation < current {
        let inside = now.millis_since(header.rotated_at) <= i64::from(header.grace_seconds) * 1000;
        if superseded(header.superseded_generation, presented.generation, inside) {
            return Decision::Superseded;
        }
        let predecessor = presented.generation.saturating_add(1) == current;
        return if predecessor && inside && !differs(header.device, presented.device) {
            unless_quarantined(Decision::Successor { generation: current })
        } else {
            Decision::Replay
        };
    }
    unless_quarantined(advance(header, next, presented))
}

/// Decides for a token of another application's family: its own place in the rotation, the session's life. The families
/// of a tombstone are gone with it; a token that proves itself is told the reason all the same.
pub fn decide_shared(
    header: &Header,
    family: Option<&Family>,
    epoch: u32,
    now: Timestamp,
    presented: &Presented,
) -> Decision {
    match (header.state, family) {
        _ if header.flags & SHARED == 0 => Decision::Missing,
        (State::Ended(_), _) => {
            let ended = Header { application_tag: presented.application_tag, ..header.clone() };
            decide(&ended, None, epoch, now, presented)
        }
        (State::Active, Some(family)) if presented.generation >= family.first_generation => {
            decide(&family.merged(header), None, epoch, now, presented)
        }
        (State::Active, Some(_) | None) => Decision::Missing,
    }
}

/// Cases 9 to 12: the current generation, or one ahead of it.
fn advance(header: &Header, next: u32, presented: &Presented) -> Decision {
    let current = header.generation;
    match &presented.judged {
        None if differs(header.address, presented.address) || differs(header.device, presented.device) => {
            Decision::ContextChanged
        }
        Some(judged) if judged.revision != header.revision => Decision::Moved,
        None | Some(_) if presented.generation == current => Decision::Rotate { generation: next },
        None | Some(_) => Decision::Heal { generation: presented.generation.saturating_add(1) },
    }
}

/// Whether a step-up put this generation out of use. The window opened with the step-up, or with a later rotation.
fn superseded(superseded: u32, presented: u32, inside: bool) -> bool {
    superseded != 0 && (presented == superseded || (presented.saturating_add(1) == superseded && inside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::family::SharedScopes;
    use crate::core::id::ApplicationId;
    use crate::core::record::arbitrary;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::MAX;

    fn decide(header: &Header, epoch: u32, now: Timestamp, presented: &Presented) -> Decision {
        super::decide(header, None, epoch, now, presented)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).plus_seconds(seconds)
    }

    fn header() -> Header {
        let mut header = arbitrary::some_header();
        header.state = State::Active;
        header.epoch = 0;
        header.generation = 5;
        header.revision = 9;
        header.rotated_at = at(1000);
        header.last_activity_at = at(1000);
        header.idle_timeout_seconds = 3600;
        header.absolute_expires_at = at(100_000);
        header.grace_seconds = 10;
        header.application_tag = [1; 8];
        header.last_operation = [2; 8];
        header.address = [3; 8];
        header.device = [4; 8];
        header.standing = Standing::Good;
        header.flags = 0;
        header.superseded_generation = 0;
        header
    }

    fn presented(generation: u32) -> Presented {
        Presented {
            application_tag: [1; 8],
            generation,
            operation: [7; 8],
            address: [3; 8],
            device: [4; 8],
            jkt: None,
            judged: None,
        }
    }

    fn allowed(revision: u32) -> Judged {
        Judged::allowed(revision)
    }

    #[test]
    fn case_1_another_family_is_missing() {
        let other = Presented { application_tag: [9; 8], ..presented(5) };
        assert_eq!(decide(&header(), 0, at(1001), &other), Decision::Missing);
    }

    #[test]
    fn case_2_a_tombstone_tells_its_reason() {
        let ended = Header { state: State::Ended(EndReason::Evicted), ..header() };
        assert_eq!(decide(&ended, 0, at(1001), &presented(5)), Decision::Ended(EndReason::Evicted));
    }

    #[test]
    fn case_3_time_and_epoch_lapse() {
        assert_eq!(decide(&header(), 1, at(1001), &presented(5)), Decision::Lapsed(EndReason::RevokeAll));
        assert_eq!(decide(&header(), 0, at(4600), &presented(5)), Decision::Lapsed(EndReason::Idle));
        assert_eq!(decide(&header(), 0, NOW, &presented(5)), Decision::Lapsed(EndReason::Absolute));
    }

    #[test]
    fn case_4_the_same_operation_gets_its_first_result_even_without_grace() {
        let again = Presented { operation: [2; 8], ..presented(4) };
        let without_grace = Header { grace_seconds: 0, ..header() };
        assert_eq!(decide(&without_grace, 0, at(2000), &again), Decision::Successor { generation: 5 });
    }

    #[test]
    fn case_4_the_operation_that_proved_a_replay_proves_it_again() {
        let ended = Header { state: State::Ended(EndReason::Reuse), ..header() };
        let again = Presented { operation: [2; 8], ..presented(3) };
        assert_eq!(decide(&ended, 0, at(1001), &again), Decision::Replay);
        assert_eq!(decide(&ended, 0, at(1001), &presented(3)), Decision::Ended(EndReason::Reuse));
    }

    #[test]
    fn case_5_two_generations_back_is_replay_at_once() {
        assert_eq!(decide(&header(), 0, at(1000), &presented(3)), Decision::Replay);
        assert_eq!(decide(&header(), 0, at(1000), &presented(1)), Decision::Replay);
    }

    #[test]
    fn case_6_the_predecessor_is_replay_after_the_window() {
        assert_eq!(decide(&header(), 0, at(1010), &presented(4)), Decision::Successor { generation: 5 });
        assert_eq!(decide(&header(), 0, at(1011), &presented(4)), Decision::Replay);
    }

    #[test]
    fn case_7_the_predecessor_from_another_device_is_replay() {
        let other = Presented { device: [5; 8], ..presented(4) };
        assert_eq!(decide(&header(), 0, at(1001), &other), Decision::Replay);
    }

    #[test]
    fn case_8_roaming_inside_the_window_gets_the_successor() {
        let roaming = Presented { address: [5; 8], ..presented(4) };
        assert_eq!(decide(&header(), 0, at(1001), &roaming), Decision::Successor { generation: 5 });
        let unknown = Presented { device: [0; 8], ..presented(4) };
        assert_eq!(decide(&header(), 0, at(1001), &unknown), Decision::Successor { generation: 5 });
    }

    #[test]
    fn case_9_a_changed_context_waits_for_judgement() {
        let moved = Presented { address: [5; 8], ..presented(5) };
        assert_eq!(decide(&header(), 0, at(1001), &moved), Decision::ContextChanged);
        let judged = Presented { judged: Some(allowed(9)), ..moved };
        assert_eq!(decide(&header(), 0, at(1001), &judged), Decision::Rotate { generation: 6 });
    }

    #[test]
    fn case_10_a_stale_judgement_does_not_commit() {
        let stale = Presented { judged: Some(allowed(8)), ..presented(5) };
        assert_eq!(decide(&header(), 0, at(1001), &stale), Decision::Moved);
    }

    #[test]
    fn case_11_the_current_generation_rotates() {
        assert_eq!(decide(&header(), 0, at(1001), &presented(5)), Decision::Rotate { generation: 6 });
    }

    #[test]
    fn case_12_a_generation_ahead_heals_the_record() {
        assert_eq!(decide(&header(), 0, at(1001), &presented(8)), Decision::Heal { generation: 9 });
    }

    #[test]
    fn case_13_a_bound_family_needs_its_key_whatever_is_presented() {
        let bound = Header { flags: KEY_BOUND, ..header() };
        for generation in [1, 4, 5, 8] {
            for jkt in [None, Some("other".to_owned())] {
                let presented = Presented { jkt, ..presented(generation) };
                assert_eq!(super::decide(&bound, Some("own"), 0, at(1001), &presented), Decision::WrongKey);
            }
        }
        let own = Presented { jkt: Some("own".into()), ..presented(5) };
        assert_eq!(super::decide(&bound, Some("own"), 0, at(1001), &own), Decision::Rotate { generation: 6 });
        assert_eq!(super::decide(&bound, None, 0, at(1001), &own), Decision::WrongKey);
    }

    #[test]
    fn case_14_what_a_step_up_put_out_of_use_is_refused_and_no_proof_of_replay() {
        let stepped = Header { superseded_generation: 4, ..header() };
        assert_eq!(decide(&stepped, 0, at(1001), &presented(4)), Decision::Superseded);
        assert_eq!(decide(&stepped, 0, at(5000), &presented(4)), Decision::Lapsed(EndReason::Idle));
        assert_eq!(decide(&stepped, 0, at(4000), &presented(4)), Decision::Superseded);
        assert_eq!(decide(&stepped, 0, at(1010), &presented(3)), Decision::Superseded);
        assert_eq!(decide(&stepped, 0, at(1011), &presented(3)), Decision::Replay);
        assert_eq!(decide(&stepped, 0, at(1001), &presented(2)), Decision::Replay);
        assert_eq!(decide(&stepped, 0, at(1001), &presented(5)), Decision::Rotate { generation: 6 });
    }

    #[test]
    fn case_15_a_quarantined_session_hands_out_nothing_but_still_catches_replays() {
        let quarantined = Header { standing: Standing::Quarantined, ..header() };
        for generation in [4, 5, 8] {
            assert_eq!(decide(&quarantined, 0, at(1001), &presented(generation)), Decision::Quarantined);
        }
        assert_eq!(decide(&quarantined, 0, at(1001), &presented(3)), Decision::Replay);
    }

    fn family() -> Family {
        Family {
            mac_key_id: 1,
            scopes: SharedScopes::all(),
            first_generation: 20,
            generation: 25,
            grace_seconds: 10,
            created_at: at(900),
            rotated_at: at(1000),
            last_operation: [2; 8],
            address: [3; 8],
            device: [4; 8],
            application_id: ApplicationId::parse("related").expect("valid"),
        }
    }

    /// T-10: each family rotates by its own place, whatever the owner's does.
    #[test]
    fn t_10_a_family_of_another_application_has_its_own_place() {
        let shared = Header { flags: SHARED | KEY_BOUND, superseded_generation: 24, ..header() };
        let tag = family().application_id.tag();
        let of = |generation| Presented { application_tag: tag, ..presented(generation) };
        let decide = |header: &Header, family: Option<&Family>, generation: u32| {
            decide_shared(header, family, 0, at(1001), &of(generation))
        };
        assert_eq!(decide(&shared, Some(&family()), 25), Decision::Rotate { generation: 26 });
        assert_eq!(decide(&shared, Some(&family()), 24), Decision::Successor { generation: 25 });
        assert_eq!(decide(&shared, Some(&family()), 22), Decision::Replay);
        assert_eq!(decide(&shared, Some(&family()), 19), Decision::Missing, "of a withdrawn family");
        assert_eq!(decide(&shared, None, 25), Decision::Missing, "withdrawn");
        assert_eq!(decide(&Header { flags: 0, ..shared.clone() }, Some(&family()), 25), Decision::Missing);
        let ended = Header { state: State::Ended(EndReason::Evicted), ..shared.clone() };
        assert_eq!(decide(&ended, None, 25), Decision::Ended(EndReason::Evicted), "ends with its source");
        let quarantined = Header { standing: Standing::Quarantined, ..shared };
        assert_eq!(decide(&quarantined, Some(&family()), 25), Decision::Quarantined);
    }

    proptest! {
        #[test]
        fn a_consumed_generation_never_advances_the_family(header in arbitrary::header(), back in 1_u32..1000, now in 0_i64..(1 << 41)) {
            let generation = header.generation.saturating_sub(back);
            prop_assume!(generation < header.generation);
            let header = Header { flags: 0, ..header };
            let presented = Presented { application_tag: header.application_tag, generation, ..presented(0) };
            match decide(&header, 0, Timestamp::from_millis(now), &presented) {
                Decision::Rotate { .. } | Decision::Heal { .. } => prop_assert!(false, "a consumed token rotated"),
                Decision::Successor { generation } => prop_assert_eq!(generation, header.generation),
                Decision::Missing | Decision::Ended(_) | Decision::Lapsed(_) | Decision::Replay
                | Decision::ContextChanged | Decision::Moved | Decision::WrongKey | Decision::Superseded
                | Decision::Quarantined => {}
            }
        }
    }
}
