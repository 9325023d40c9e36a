//! Activities of a session, as applications and holders record them.

use super::crypto::SecretKey;
use super::envelope::{self, DoesNotOpen, SALT_BYTES};
use super::json::FieldError;
use super::time::Timestamp;
use crate::limits::{ACTIVITY_NAME_BYTES_MAX, ACTIVITY_PROPERTIES_BYTES_MAX, CLOCK_LEEWAY_SECONDS};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The event type of a batch in an outbox. It is no event of the audit: nothing changes by it.
pub const ACTIVITY: &str = "session.activity";

const FIELDS: &[u8] = b"activity properties";
/// Properties are sealed under their subject's one key, so its number says nothing.
const ONLY_KEY: u8 = 0;

/// Something that a user did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// What: lower-case letters, digits, dots, underscores and hyphens.
    #[serde(rename = "n")]
    pub name: String,
    /// When, in milliseconds since the epoch.
    #[serde(rename = "at")]
    pub at_millis: i64,
    /// More about it.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
}

impl Activity {
    /// Checks the activity at a place of its batch. The beginning of its session is checked where the session is read.
    pub fn new(
        place: usize,
        name: String,
        at: Option<&str>,
        properties: Option<Map<String, Value>>,
        now: Timestamp,
    ) -> Result<Self, FieldError> {
        let wrong = |field: &str, detail: String| Err(FieldError::new(format!("activities[{place}].{field}"), detail));
        let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
        if !(1..=ACTIVITY_NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(letter) {
            return wrong("name", format!("must be 1 to {ACTIVITY_NAME_BYTES_MAX} of a-z 0-9 . _ -"));
        }
        let at = match at {
            None => now,
            Some(text) => match Timestamp::parse(text) {
                Some(at) if at <= now.plus_seconds(CLOCK_LEEWAY_SECONDS) => at,
                Some(_) => return wrong("at", "must not be in the future".into()),
                None => return wrong("at", "must be an RFC 3339 instant".into()),
            },
        };
        let bytes =
            properties.as_ref().map_or(0, |properties| serde_json::to_string(properties).map_or(0, |t| t.len()));
        if bytes > ACTIVITY_PROPERTIES_BYTES_MAX {
            return wrong("properties", format!("must be at most {ACTIVITY_PROPERTIES_BYTES_MAX} bytes of JSON"));
        }
        let properties = properties.filter(|properties| !properties.is_empty());
        Ok(Activity { name, at_millis: at.millis(), properties })
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at_millis)
    }
}

/// Seals the properties of an activity. `None` only when they are longer than AES-GCM allows.
pub fn seal(
    key: &SecretKey,
    salt: [u8; SALT_BYTES],
    subject: &str,
    activity_id: &str,
    properties: &Map<String, Value>,
) -> Option<Vec<u8>> {
    let plaintext = serde_json::to_vec(properties).ok()?;
    envelope::seal_as(FIELDS, ONLY_KEY, key, salt, &place(subject, activity_id), &plaintext)
}

/// Opens the properties of an activity; those of another activity or subject do not open.
pub fn open(
    key: &SecretKey,
    subject: &str,
    activity_id: &str,
    sealed: &[u8],
) -> Result<Map<String, Value>, DoesNotOpen> {
    let plaintext = envelope::open_as(FIELDS, key, &place(subject, activity_id), sealed)?;
    serde_json::from_slice(&plaintext).map_err(|_| DoesNotOpen)
}

/// Length in front, so that no two pairs have the same bytes.
fn place(subject: &str, activity_id: &str) -> Vec<u8> {
    let mut place = (subject.len() as u64).to_be_bytes().to_vec();
    place.extend_from_slice(subject.as_bytes());
    place.extend_from_slice(activity_id.as_bytes());
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(name: &str, at: Option<&str>, properties: Value) -> Result<Activity, String> {
        let now = Timestamp::parse("2026-06-15T10:00:00Z").expect("an instant");
        let properties = properties.as_object().cloned();
        Activity::new(3, name.into(), at, properties, now).map_err(|error| error.field)
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let none = Value::Null;
        let plain = activity("page.viewed", None, none.clone()).expect("an activity");
        assert_eq!((plain.at().to_string().as_str(), plain.properties), ("2026-06-15T10:00:00.000Z", None));
        assert!(activity(&"a".repeat(64), Some("2026-06-15T10:00:30Z"), none.clone()).is_ok());
        for name in ["", "Upper", "a b", &"a".repeat(65), "ü"] {
            assert_eq!(activity(name, None, none.clone()), Err("activities[3].name".into()), "{name}");
        }
        for at in ["soon", "2026-06-15T10:00:31Z", "2026-06-15"] {
            assert_eq!(activity("a", Some(at), none.clone()), Err("activities[3].at".into()), "{at}");
        }
        let long = |bytes: usize| serde_json::json!({ "k": "x".repeat(bytes - 8) });
        assert!(activity("a", None, long(1024)).is_ok());
        assert_eq!(activity("a", None, long(1025)), Err("activities[3].properties".into()));
    }

    #[test]
    fn properties_open_for_their_subject_and_activity_only() {
        let key = SecretKey::new([5; 32]);
        let properties = serde_json::json!({ "page": "/cart" }).as_object().cloned().expect("an object");
        let sealed = seal(&key, [1; SALT_BYTES], "b000.x", "e.0", &properties).expect("sealed");
        assert_eq!(open(&key, "b000.x", "e.0", &sealed), Ok(properties));
        assert!(open(&key, "b000.y", "e.0", &sealed).is_err() && open(&key, "b000.x", "e.1", &sealed).is_err());
    }
}
