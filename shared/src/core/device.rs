//! Devices: their kinds, and how far a user's device is trusted.

use serde::{Deserialize, Serialize};

/// The kinds of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A desktop or laptop computer.
    Desktop,
    /// A television or a box beside it.
    Tv,
    /// A device that many people use in turn.
    Kiosk,
    /// A machine without a person.
    Server,
    /// Anything else.
    Other,
}

impl DeviceType {
    /// Every kind.
    pub const ALL: [DeviceType; 7] = [
        DeviceType::Phone,
        DeviceType::Tablet,
        DeviceType::Desktop,
        DeviceType::Tv,
        DeviceType::Kiosk,
        DeviceType::Server,
        DeviceType::Other,
    ];

    /// The word in JSON, records and policies.
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceType::Phone => "phone",
            DeviceType::Tablet => "tablet",
            DeviceType::Desktop => "desktop",
            DeviceType::Tv => "tv",
            DeviceType::Kiosk => "kiosk",
            DeviceType::Server => "server",
            DeviceType::Other => "other",
        }
    }

    /// The kind of a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How far a device is trusted. It rises by recorded proof only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustLevel {
    /// Its sessions are over and no others begin.
    Blocked,
    /// Seen, and nothing proved. Sessions without a named device are of this level.
    New,
    /// Has proved itself once, and is not of yesterday.
    Known,
    /// The user vouched for it after proving themselves.
    Trusted,
}

impl TrustLevel {
    /// Every level, in the order of its number.
    pub const ALL: [TrustLevel; 4] = [TrustLevel::Blocked, TrustLevel::New, TrustLevel::Known, TrustLevel::Trusted];

    /// The byte in the record.
    pub fn code(self) -> u8 {
        match self {
            TrustLevel::Blocked => 0,
            TrustLevel::New => 1,
            TrustLevel::Known => 2,
            TrustLevel::Trusted => 3,
        }
    }

    /// The level of a record's byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }

    /// The word in JSON, records and policies.
    pub fn as_str(self) -> &'static str {
        match self {
            TrustLevel::Blocked => "blocked",
            TrustLevel::New => "new",
            TrustLevel::Known => "known",
            TrustLevel::Trusted => "trusted",
        }
    }

    /// The level of a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_read_back() {
        for kind in DeviceType::ALL {
            assert_eq!(DeviceType::parse(kind.as_str()), Some(kind));
        }
        for (index, level) in TrustLevel::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(level.code()), index);
            assert_eq!(TrustLevel::from_code(level.code()), Some(level));
            assert_eq!(TrustLevel::parse(level.as_str()), Some(level));
        }
        assert!(TrustLevel::ALL.is_sorted());
    }
}
