//! Whether a session holder's authentication is good enough for a sensitive operation (RFC 9470, ASVS 7.5.3).

use super::record::SessionRecord;
use super::standing::Standing;
use super::time::Timestamp;

/// When the user last authenticated: what the application stated, or the beginning of the session.
pub fn authenticated_at(record: &SessionRecord) -> Timestamp {
    record.attributes.auth_time.unwrap_or(record.header.created_at)
}

/// Whether the authentication is at most `age_seconds` old, and no judgement since then asks for another one.
pub fn is_recent(record: &SessionRecord, age_seconds: u64, now: Timestamp) -> bool {
    match record.header.standing {
        Standing::Good => now <= authenticated_at(record).plus_seconds(age_seconds),
        Standing::StepUp | Standing::Quarantined => false,
    }
}

/// Whether an access token tells of the authentication that the record tells of. A step-up puts every access token from
/// before it out of use at once (ASVS 7.2.4); `auth_time` is the claim, in seconds.
pub fn is_current(auth_time: Option<i64>, record: &SessionRecord) -> bool {
    auth_time == record.attributes.auth_time.map(Timestamp::seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::attributes::Attributes;
    use crate::core::record::arbitrary;

    #[test]
    fn age_counts_from_the_last_authentication_and_risk_overrules_it() {
        let at = |seconds: i64| Timestamp::from_seconds(1_700_000_000 + seconds);
        let mut header = arbitrary::some_header();
        header.created_at = at(0);
        header.standing = Standing::Good;
        let mut record = SessionRecord { header, attributes: Attributes::default(), sealed: Vec::new() };
        assert!(is_recent(&record, 300, at(300)) && !is_recent(&record, 300, at(301)));
        record.attributes.auth_time = Some(at(500));
        assert!(is_recent(&record, 300, at(800)));
        for standing in [Standing::StepUp, Standing::Quarantined] {
            record.header.standing = standing;
            assert!(!is_recent(&record, 300, at(501)));
        }
    }
}
