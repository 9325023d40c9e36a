//! What of an audit event is personal, and how it is sealed: under a key of its subject's own, so that the audit can
//! forget a person by forgetting the key while its chain, which is over the ciphertext, still verifies.

use super::attributes::Attributes;
use super::crypto::SecretKey;
use super::envelope::{self, DoesNotOpen, SALT_BYTES};
use super::user_agent;
use serde::{Deserialize, Serialize};

const FIELDS: &[u8] = b"audit personal fields";
const SUBJECT_KEY: &[u8] = b"audit subject key";
/// Personal fields have one key per subject, so its number says nothing.
const ONLY_KEY: u8 = 0;

/// Who and from where, as coarsely as an auditor needs it: no whole address, no coordinates, no raw user agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Personal {
    /// The user as the application names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The client's address prefix, `203.0.113.0/24`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// ISO 3166-1 code of the country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The place's name for people, `Vienna, AT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What the user agent says of itself, `Firefox on Linux`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Kind of device, a word of [`super::device::DeviceType`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// The device as the application names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
}

impl Personal {
    /// What a session's attributes tell; nothing else of them enters the audit.
    pub fn of(attributes: &Attributes) -> Self {
        let place = attributes.place.as_ref();
        Personal {
            user_id: Some(attributes.user_id.clone()).filter(|user| !user.is_empty()),
            network: attributes.address_prefix.clone(),
            country: place.map(|place| String::from_utf8_lossy(&place.country).into_owned()),
            place: place.map(|place| place.name.clone()).filter(|name| !name.is_empty()),
            client: attributes.user_agent.as_deref().and_then(|agent| user_agent::parse(agent).label),
            device_type: attributes.device_type.clone(),
            device_id: attributes.device_id.clone(),
            device_name: attributes.device_name.clone(),
        }
    }

    /// Seals the fields of an event about a subject. `None` only when they are longer than AES-GCM allows.
    pub fn seal(&self, key: &SecretKey, salt: [u8; SALT_BYTES], subject: &str, event_id: &str) -> Option<Vec<u8>> {
        let plaintext = serde_json::to_vec(self).ok()?;
        envelope::seal_as(FIELDS, ONLY_KEY, key, salt, &place(subject, event_id), &plaintext)
    }

    /// Opens the fields of an event; those of another event or subject do not open.
    pub fn open(key: &SecretKey, subject: &str, event_id: &str, sealed: &[u8]) -> Result<Self, DoesNotOpen> {
        let plaintext = envelope::open_as(FIELDS, key, &place(subject, event_id), sealed)?;
        serde_json::from_slice(&plaintext).map_err(|_| DoesNotOpen)
    }
}

/// Length in front, so that no two pairs have the same bytes.
fn place(subject: &str, event_id: &str) -> Vec<u8> {
    let mut place = (subject.len() as u64).to_be_bytes().to_vec();
    place.extend_from_slice(subject.as_bytes());
    place.extend_from_slice(event_id.as_bytes());
    place
}

/// Wraps the key of a subject under a key of the `audit` ring.
pub fn wrap_key(
    ring_key_id: u8,
    ring_key: &SecretKey,
    salt: [u8; SALT_BYTES],
    subject: &str,
    key: &SecretKey,
) -> Option<Vec<u8>> {
    envelope::seal_as(SUBJECT_KEY, ring_key_id, ring_key, salt, subject.as_bytes(), key.expose())
}

/// Unwraps the key of a subject; [`envelope::key_id`] tells which ring key it needs.
pub fn unwrap_key(ring_key: &SecretKey, subject: &str, wrapped: &[u8]) -> Result<SecretKey, DoesNotOpen> {
    let key = envelope::open_as(SUBJECT_KEY, ring_key, subject.as_bytes(), wrapped)?;
    key.try_into().map(SecretKey::new).map_err(|_| DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::place::Place;

    fn personal() -> Personal {
        Personal::of(&Attributes {
            user_id: "ada".into(),
            application_id: "demo".into(),
            address_prefix: Some("203.0.113.0/24".into()),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
            place: Some(Place { country: *b"AT", point: None, name: "Vienna, AT".into(), accuracy_km: 10 }),
            ..Attributes::default()
        })
    }

    #[test]
    fn the_user_agent_and_coordinates_stay_out() {
        let text = serde_json::to_string(&personal()).expect("JSON");
        assert!(text.contains("Firefox") && !text.contains("Mozilla") && !text.contains("140"), "{text}");
        let expected = r#"{"userId":"ada","network":"203.0.113.0/24","country":"AT","place":"Vienna, AT","client":""#;
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn fields_open_for_their_own_event_and_subject_only() {
        let key = SecretKey::new([1; 32]);
        let sealed = personal().seal(&key, [2; 16], "b001.AAAAAAAA", "event").expect("seals");
        assert_eq!(Personal::open(&key, "b001.AAAAAAAA", "event", &sealed), Ok(personal()));
        for (subject, event_id) in [("b001.AAAAAAAB", "event"), ("b001.AAAAAAAA", "other"), ("b001.AAAAAAAAe", "vent")]
        {
            assert_eq!(Personal::open(&key, subject, event_id, &sealed), Err(DoesNotOpen));
        }
        assert_eq!(Personal::open(&SecretKey::new([3; 32]), "b001.AAAAAAAA", "event", &sealed), Err(DoesNotOpen));
    }

    #[test]
    fn a_subject_key_unwraps_for_its_own_subject_only() {
        let (ring_key, key) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
        let wrapped = wrap_key(7, &ring_key, [3; 16], "b001.AAAAAAAA", &key).expect("wraps");
        assert_eq!(envelope::key_id(&wrapped), Ok(7));
        let unwrapped = unwrap_key(&ring_key, "b001.AAAAAAAA", &wrapped).expect("unwraps");
        assert_eq!(unwrapped.expose(), key.expose());
        assert!(unwrap_key(&ring_key, "b001.AAAAAAAB", &wrapped).is_err());
        assert!(unwrap_key(&key, "b001.AAAAAAAA", &wrapped).is_err());
    }
}
