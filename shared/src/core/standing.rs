//! What a live session may still do, as the last judgement of its risk left it.

/// The standing of a session. Rises with risk and falls only with a re-authentication or an application's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Everything.
    Good,
    /// Everything but sensitive operations, until a step-up.
    StepUp,
    /// Nothing but a step-up and its end.
    Quarantined,
}

/// Every standing, in the order of its number.
pub const ALL: [Standing; 3] = [Standing::Good, Standing::StepUp, Standing::Quarantined];

impl Standing {
    /// The byte in the record.
    pub fn code(self) -> u8 {
        match self {
            Standing::Good => 0,
            Standing::StepUp => 1,
            Standing::Quarantined => 2,
        }
    }

    /// The standing of a record's byte.
    pub fn from_code(code: u8) -> Option<Self> {
        ALL.into_iter().find(|standing| standing.code() == code)
    }

    /// The word in JSON and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Good => "good",
            Standing::StepUp => "step_up",
            Standing::Quarantined => "quarantined",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_rise_with_the_risk() {
        for (index, standing) in ALL.into_iter().enumerate() {
            assert_eq!(usize::from(standing.code()), index);
            assert_eq!(Standing::from_code(standing.code()), Some(standing));
        }
        assert!(ALL.is_sorted());
        assert_eq!(Standing::from_code(3), None);
    }
}
