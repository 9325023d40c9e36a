//! Why a session ended. Kept on the tombstone, in the audit, and told to whoever held the session.

/// The closed list of reasons. The number stands in records and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The session holder ended it.
    User,
    /// An application ended it.
    Admin,
    /// No activity within the idle timeout.
    Idle,
    /// The absolute timeout passed.
    Absolute,
    /// The concurrent limit made room for a newer session.
    Evicted,
    /// A consumed refresh token came back: proof of replay.
    Reuse,
    /// All sessions of the user were ended (the user's epoch rose).
    RevokeAll,
    /// A refresh or access token was revoked (RFC 7009).
    TokenRevoked,
    /// The sessions of one device were ended.
    DeviceRemoved,
    /// The device was blocked.
    DeviceBlocked,
    /// The risk of the session was judged too high.
    Risk,
    /// The user was erased.
    Erased,
}

/// Every reason, in the order of its number.
pub const ALL: [EndReason; 12] = [
    EndReason::User,
    EndReason::Admin,
    EndReason::Idle,
    EndReason::Absolute,
    EndReason::Evicted,
    EndReason::Reuse,
    EndReason::RevokeAll,
    EndReason::TokenRevoked,
    EndReason::DeviceRemoved,
    EndReason::DeviceBlocked,
    EndReason::Risk,
    EndReason::Erased,
];

impl EndReason {
    /// The byte in the record.
    pub fn code(self) -> u8 {
        match self {
            EndReason::User => 1,
            EndReason::Admin => 2,
            EndReason::Idle => 3,
            EndReason::Absolute => 4,
            EndReason::Evicted => 5,
            EndReason::Reuse => 6,
            EndReason::RevokeAll => 7,
            EndReason::TokenRevoked => 8,
            EndReason::DeviceRemoved => 9,
            EndReason::DeviceBlocked => 10,
            EndReason::Risk => 11,
            EndReason::Erased => 12,
        }
    }

    /// The reason of a record's byte.
    pub fn from_code(code: u8) -> Option<Self> {
        ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The word in JSON, SQL and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::User => "user",
            EndReason::Admin => "admin",
            EndReason::Idle => "idle",
            EndReason::Absolute => "absolute",
            EndReason::Evicted => "evicted",
            EndReason::Reuse => "reuse",
            EndReason::RevokeAll => "revoke_all",
            EndReason::TokenRevoked => "token_revoked",
            EndReason::DeviceRemoved => "device_removed",
            EndReason::DeviceBlocked => "device_blocked",
            EndReason::Risk => "risk",
            EndReason::Erased => "erased",
        }
    }

    /// The reason of a stored word.
    pub fn parse(text: &str) -> Option<Self> {
        ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_words_are_unique_and_read_back() {
        for (index, reason) in ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.code()), index + 1);
            assert_eq!(EndReason::from_code(reason.code()), Some(reason));
            assert_eq!(EndReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(EndReason::from_code(0), None);
    }
}
