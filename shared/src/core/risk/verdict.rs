//! What a score means.

use super::signals::Signals;
use crate::core::policy::RiskPolicy;
use crate::core::standing::Standing;

/// What is done about a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing.
    Allow,
    /// Sensitive operations need a re-authentication.
    StepUp,
    /// Nothing but a re-authentication is possible.
    Quarantine,
    /// The session is over.
    End,
}

impl Verdict {
    /// Every verdict, in the order of its number.
    pub const ALL: [Verdict; 4] = [Verdict::Allow, Verdict::StepUp, Verdict::Quarantine, Verdict::End];

    /// The verdict on a score. Of equal thresholds the stronger one counts.
    pub fn of(score: u8, policy: &RiskPolicy) -> Verdict {
        if score >= policy.end_at {
            Verdict::End
        } else if score >= policy.quarantine_at {
            Verdict::Quarantine
        } else if score >= policy.step_up_at {
            Verdict::StepUp
        } else {
            Verdict::Allow
        }
    }

    /// The standing that it leaves a session in.
    pub fn standing(self) -> Standing {
        match self {
            Verdict::Allow => Standing::Good,
            Verdict::StepUp => Standing::StepUp,
            Verdict::Quarantine | Verdict::End => Standing::Quarantined,
        }
    }

    /// The word in JSON and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::StepUp => "step_up",
            Verdict::Quarantine => "quarantine",
            Verdict::End => "end",
        }
    }

    fn code(self) -> u8 {
        match self {
            Verdict::Allow => 0,
            Verdict::StepUp => 1,
            Verdict::Quarantine => 2,
            Verdict::End => 3,
        }
    }
}

/// What a record says of the last judgement that mattered: the verdict, and the signals behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// The verdict; in shadow mode it had no effect.
    pub verdict: Verdict,
    /// Its reasons.
    pub reasons: Signals,
}

impl Note {
    /// The bytes of the record's attribute.
    pub fn encode(self) -> [u8; 3] {
        let bits = self.reasons.bits().to_be_bytes();
        [self.verdict.code(), bits[0], bits[1]]
    }

    /// Reads [`Note::encode`].
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [code, high, low] = *bytes.first_chunk::<3>().filter(|_| bytes.len() == 3)?;
        let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.code() == code)?;
        Some(Note { verdict, reasons: Signals::from_bits(u16::from_be_bytes([high, low])) })
    }

    /// Verdict, score and reasons as the audit keeps them.
    pub fn detail(self, score: u8) -> String {
        let mut words = vec![self.verdict.as_str().to_owned(), format!("score={score}")];
        words.extend(self.reasons.words().into_iter().map(str::to_owned));
        words.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> impl Strategy<Value = RiskPolicy> {
        (1_u8..=101, 1_u8..=101, 1_u8..=101).prop_map(|(a, b, c)| {
            let mut sorted = [a, b, c];
            sorted.sort_unstable();
            RiskPolicy { step_up_at: sorted[0], quarantine_at: sorted[1], end_at: sorted[2], ..RiskPolicy::default() }
        })
    }

    proptest! {
        /// 8.1.4: a higher score and stricter thresholds never weaken the verdict, nor the standing.
        #[test]
        fn asvs_8_1_4_more_risk_never_gives_a_weaker_action(policy in policy(), score in 0_u8..=100, more in 0_u8..=100, stricter in 0_u8..=100) {
            let base = Verdict::of(score, &policy);
            let higher = Verdict::of(score.saturating_add(more).min(100), &policy);
            prop_assert!(higher >= base && higher.standing() >= base.standing());
            let cut = |at: u8| at.saturating_sub(stricter).max(1);
            let strict = RiskPolicy {
                step_up_at: cut(policy.step_up_at),
                quarantine_at: cut(policy.quarantine_at),
                end_at: cut(policy.end_at),
                ..policy
            };
            prop_assert!(Verdict::of(score, &strict) >= base);
        }

        #[test]
        fn notes_read_back(bits in any::<u16>(), index in 0_usize..4) {
            let note = Note { verdict: Verdict::ALL[index], reasons: Signals::from_bits(bits) };
            prop_assert_eq!(Note::decode(&note.encode()), Some(note));
        }
    }

    #[test]
    fn what_is_no_note_is_none() {
        for bytes in [&[][..], &[0, 0], &[4, 0, 0], &[0, 0, 0, 0]] {
            assert_eq!(Note::decode(bytes), None, "{bytes:?}");
        }
        assert!(Verdict::ALL.is_sorted());
    }
}
