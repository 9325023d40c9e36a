//! What a page of the audit is of, and the cursors from one page to the next.

use super::audit_anchor::CHAINS;
use super::crypto;
use super::time::Timestamp;

/// Types that most rows are of: V4 keeps them out of the index by type.
const FREQUENT: [&str; 4] = ["session.created", "session.refreshed", "session.updated", "session.ended"];
/// The condition of that index, word for word.
pub const SELDOM_CONDITION: &str =
    "event_type NOT IN ('session.created', 'session.refreshed', 'session.updated', 'session.ended')";
/// First byte of a cursor.
const CURSOR_VERSION: u8 = 1;

/// Which events are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whose audit: the caller's own.
    pub application_id: String,
    /// Of one user, by pseudonym.
    pub subject: Option<String>,
    /// Of one session.
    pub session: Option<String>,
    /// Of these types; empty for all.
    pub types: Vec<String>,
    /// Queued at this instant or later.
    pub from: Option<Timestamp>,
    /// Queued before this instant.
    pub to: Option<Timestamp>,
}

/// A place among all rows, in the order in which pages show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When the event was queued.
    pub queued_at: Timestamp,
    /// Its chain.
    pub group: i16,
    /// Its place there.
    pub sequence: i64,
}

impl Filter {
    /// Whether only types are wanted of which there are few.
    pub fn is_seldom(&self) -> bool {
        !self.types.is_empty() && !self.types.iter().any(|kind| FREQUENT.contains(&kind.as_str()))
    }

    /// A few bytes that tell this filter from another: a cursor goes on with the question that it came from.
    fn mark(&self) -> [u8; 4] {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let time = |time: Option<Timestamp>| time.map_or(-1, Timestamp::millis).to_be_bytes();
        let types = self.types.join(",");
        let (subject, session, from, to) = (text(&self.subject), text(&self.session), time(self.from), time(self.to));
        let fields =
            [self.application_id.as_bytes(), subject.as_bytes(), session.as_bytes(), types.as_bytes(), &from, &to];
        let hash = crypto::hash(&fields);
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// A cursor behind a place: opaque, not secret.
    pub fn cursor(&self, after: Position) -> String {
        let mut bytes = vec![CURSOR_VERSION];
        bytes.extend(after.queued_at.millis().to_be_bytes());
        bytes.extend(after.group.to_be_bytes());
        bytes.extend(after.sequence.to_be_bytes());
        bytes.extend(self.mark());
        crypto::encode(&bytes)
    }

    /// Reads a cursor of this filter; `None` for anything else.
    pub fn after(&self, cursor: &str) -> Option<Position> {
        let bytes: [u8; 23] = crypto::decode(cursor)?;
        let millis = i64::from_be_bytes(bytes[1..9].try_into().ok()?);
        let group = i16::from_be_bytes(bytes[9..11].try_into().ok()?);
        let sequence = i64::from_be_bytes(bytes[11..19].try_into().ok()?);
        let sound = bytes[0] == CURSOR_VERSION
            && bytes[19..] == self.mark()
            && (0..=Timestamp::MAX.millis()).contains(&millis)
            && usize::try_from(group).is_ok_and(|group| group < CHAINS)
            && sequence > 0;
        sound.then(|| Position { queued_at: Timestamp::from_millis(millis), group, sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_go_on_with_their_own_question_only() {
        let filter = Filter { application_id: "demo".into(), subject: Some("s".into()), ..Filter::default() };
        let place = Position { queued_at: Timestamp::from_millis(5), group: 63, sequence: 7 };
        let cursor = filter.cursor(place);
        assert_eq!(filter.after(&cursor), Some(place));
        let others = [
            Filter { application_id: "other".into(), ..filter.clone() },
            Filter { subject: None, ..filter.clone() },
            Filter { subject: None, session: Some("s".into()), ..filter.clone() },
            Filter { types: vec!["lock.refused".into()], ..filter.clone() },
            Filter { from: Some(Timestamp::from_millis(0)), ..filter.clone() },
            Filter { to: Some(Timestamp::from_millis(0)), ..filter.clone() },
        ];
        assert!(others.iter().all(|other| other.after(&cursor).is_none()));
        for (group, sequence) in [(64, 7), (-1, 7), (3, 0)] {
            assert_eq!(filter.after(&filter.cursor(Position { group, sequence, ..place })), None);
        }
        for wrong in ["", "AA", "not base64!", &cursor[1..]] {
            assert_eq!(filter.after(wrong), None);
        }
    }

    #[test]
    fn the_index_of_seldom_types_is_that_of_the_migration() {
        let migration = include_str!("../../migrations/V4__anchors.sql");
        assert!(migration.contains(&format!("WHERE {SELDOM_CONDITION}")));
        assert!(FREQUENT.iter().all(|kind| SELDOM_CONDITION.contains(&format!("'{kind}'"))));
        let of =
            |types: &[&str]| Filter { types: types.iter().map(ToString::to_string).collect(), ..Filter::default() };
        assert!(of(&["lock.refused"]).is_seldom());
        assert!(!of(&[]).is_seldom() && !of(&["lock.refused", "session.ended"]).is_seldom());
    }
}
