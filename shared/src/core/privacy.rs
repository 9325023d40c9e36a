//! What a user lets the service collect: four switches and a legal hold.
//!
//! The durable settings stand in the `users` item. Redis mirrors them where data is collected: a byte of bits, then the
//! version of the settings as u32, so that of two changes the later one stays. Absent means that the user has not chosen, and
//! that the defaults of the application hold. Records carry what concerns them in their flags, so that no request looks the mirror up.

use super::time::Timestamp;

/// Activities of the user are not recorded.
pub const ACTIVITY_TRACKING_OFF: u8 = 1;
/// No place, no address and no network is kept beyond what binds a live session.
pub const LOCATION_OFF: u8 = 2;
/// Nothing is kept that tells the user's devices by their traits.
pub const FINGERPRINTING_OFF: u8 = 4;
/// Sessions are not shared with other applications.
pub const SHARING_OFF: u8 = 8;

/// How far the bits that concern a record are shifted in its flags.
const RECORD_SHIFT: u8 = 3;
/// The bits that concern a record.
const IN_RECORDS: u8 = LOCATION_OFF | FINGERPRINTING_OFF | SHARING_OFF;

/// The switches of a user, as bits that say what is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Privacy(u8);

impl Privacy {
    /// From what is on.
    pub fn new(activity_tracking: bool, location: bool, fingerprinting: bool, sharing: bool) -> Self {
        let off = |on: bool, bit: u8| if on { 0 } else { bit };
        Privacy(
            off(activity_tracking, ACTIVITY_TRACKING_OFF)
                | off(location, LOCATION_OFF)
                | off(fingerprinting, FINGERPRINTING_OFF)
                | off(sharing, SHARING_OFF),
        )
    }

    /// From the bits; those that this release does not know are dropped.
    pub fn from_bits(bits: u8) -> Self {
        Privacy(bits & (ACTIVITY_TRACKING_OFF | IN_RECORDS))
    }

    /// The bits.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether activities are recorded.
    pub fn activity_tracking(self) -> bool {
        self.0 & ACTIVITY_TRACKING_OFF == 0
    }

    /// Whether places and networks are kept.
    pub fn location(self) -> bool {
        self.0 & LOCATION_OFF == 0
    }

    /// Whether devices are told by their traits.
    pub fn fingerprinting(self) -> bool {
        self.0 & FINGERPRINTING_OFF == 0
    }

    /// Whether sessions are shared.
    pub fn sharing(self) -> bool {
        self.0 & SHARING_OFF == 0
    }

    /// What a record carries of them in its flags: bits 16, 32 and 64.
    pub fn record_flags(self) -> u8 {
        (self.0 & IN_RECORDS) << RECORD_SHIFT
    }

    /// What a record's flags say.
    pub fn of_record(flags: u8) -> Self {
        Privacy((flags >> RECORD_SHIFT) & IN_RECORDS)
    }

    /// Reads the mirror; an absent one says that everything is on.
    pub fn of_mirror(mirror: &[u8]) -> Self {
        Privacy::from_bits(mirror.first().copied().unwrap_or(0))
    }

    /// The words of a change in the audit: each switch that moved, `-location` for off and `+sharing` for on.
    pub fn changes(self, after: Privacy) -> Vec<String> {
        let words = [
            (ACTIVITY_TRACKING_OFF, "activity_tracking"),
            (LOCATION_OFF, "location"),
            (FINGERPRINTING_OFF, "fingerprinting"),
            (SHARING_OFF, "sharing"),
        ];
        let moved = words.into_iter().filter(|(bit, _)| (self.0 ^ after.0) & bit != 0);
        moved.map(|(bit, word)| format!("{}{word}", if after.0 & bit == 0 { '+' } else { '-' })).collect()
    }
}

/// A user's settings as they stand durably.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// The switches.
    pub privacy: Privacy,
    /// Whether the law asks to keep what is held: nothing is erased meanwhile.
    pub legal_hold: bool,
    /// Rises with every change; 0 when nothing was ever set.
    pub version: u32,
    /// When they were last changed.
    pub updated_at: Option<Timestamp>,
}

/// Who has chosen what holds for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The user, or an application for this user.
    User,
    /// The defaults of the application that asks.
    Application,
}

impl Settings {
    /// What holds for a user with an application of these defaults, and who has chosen it.
    pub fn effective(&self, defaults: Privacy) -> (Privacy, Source) {
        match self.version {
            0 => (defaults, Source::Application),
            _ => (self.privacy, Source::User),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bits_are_what_is_off() {
        assert_eq!(Privacy::new(true, true, true, true), Privacy::default());
        assert_eq!(Privacy::new(false, true, false, true).bits(), 5);
        assert_eq!(Privacy::new(true, false, true, false).bits(), 10);
        assert_eq!(Privacy::of_mirror(b""), Privacy::default());
        assert_eq!(Privacy::of_mirror(&[15, 0, 0, 0, 1]).bits(), 15);
    }

    #[test]
    fn a_choice_is_stronger_than_a_default() {
        let strict = Privacy::from_bits(15);
        let chosen = Settings { privacy: Privacy::default(), version: 1, ..Settings::default() };
        assert_eq!(chosen.effective(strict), (Privacy::default(), Source::User));
        assert_eq!(Settings::default().effective(strict), (strict, Source::Application));
    }

    #[test]
    fn changes_are_told_in_words() {
        let (before, after) = (Privacy::from_bits(LOCATION_OFF), Privacy::from_bits(SHARING_OFF));
        assert_eq!(before.changes(after), ["+location", "-sharing"]);
        assert!(before.changes(before).is_empty());
    }

    proptest! {
        #[test]
        fn flags_of_records_read_back(bits in any::<u8>(), flags in 0_u8..16) {
            let privacy = Privacy::from_bits(bits);
            let expected = Privacy::from_bits(privacy.bits() & !ACTIVITY_TRACKING_OFF);
            prop_assert_eq!(Privacy::of_record(flags | privacy.record_flags()), expected);
            prop_assert_eq!(privacy.record_flags() & 15, 0);
        }
    }
}
