//! What a record says of its session beyond the header: tagged fields of `tag u8, length u16, bytes`.
//!
//! Unknown tags are kept and written back, so a release that is one version behind loses nothing.

use super::device_tag::DeviceTag;
use super::fingerprint::Fingerprint;
use super::place::Place;
use super::risk::Note;
use super::time::Timestamp;

/// The attributes of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The user as the application named it: `sub` of access tokens.
    pub user_id: String,
    /// The application that created the session: `aud` and `client_id` of access tokens.
    pub application_id: String,
    /// Authentication context class (RFC 9068 `acr`).
    pub acr: Option<String>,
    /// Authentication methods (RFC 8176 `amr`).
    pub amr: Vec<String>,
    /// When the user authenticated (`auth_time`).
    pub auth_time: Option<Timestamp>,
    /// The device as the application names it.
    pub device_id: Option<String>,
    /// A name people recognise.
    pub device_name: Option<String>,
    /// Kind of device, a word of [`super::device::DeviceType`].
    pub device_type: Option<String>,
    /// The client's address prefix, `203.0.113.0/24`; never the whole address.
    pub address_prefix: Option<String>,
    /// The client's user agent, cut to its limit.
    pub user_agent: Option<String>,
    /// RFC 7638 thumbprint of the key that the session is bound to (`cnf.jkt`).
    pub jkt: Option<String>,
    /// What the session was last seen with, as bytes: see [`Attributes::fingerprint`].
    pub seen: Option<Vec<u8>>,
    /// The judgement behind the session's standing, or the last one in shadow mode.
    pub risk: Option<Note>,
    /// Where the session was last seen.
    pub place: Option<Place>,
    /// The device as keys and scripts know it ([`super::device_tag::DeviceTag`]).
    pub device_tag: Option<DeviceTag>,
    /// The key itself, when it is a browser's (Device Bound Session Credentials): a point on P-256.
    pub device_key: Option<[u8; 64]>,
    /// Fields of a later release, kept as they are.
    pub unknown: Vec<(u8, Vec<u8>)>,
}

const USER_ID: u8 = 1;
const APPLICATION_ID: u8 = 2;
const ACR: u8 = 3;
const AMR: u8 = 4;
const AUTH_TIME: u8 = 5;
const DEVICE_ID: u8 = 6;
const DEVICE_NAME: u8 = 7;
const DEVICE_TYPE: u8 = 8;
const ADDRESS_PREFIX: u8 = 9;
const USER_AGENT: u8 = 10;
const JKT: u8 = 11;
const SEEN: u8 = 13;
const RISK: u8 = 14;
const PLACE: u8 = 15;
const DEVICE_TAG: u8 = 12;
const DEVICE_KEY: u8 = 20;

impl Attributes {
    /// The bytes of the record's middle part.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96);
        if !self.user_id.is_empty() {
            push(&mut bytes, USER_ID, self.user_id.as_bytes());
        }
        if !self.application_id.is_empty() {
            push(&mut bytes, APPLICATION_ID, self.application_id.as_bytes());
        }
        for (tag, value) in [
            (ACR, &self.acr),
            (DEVICE_ID, &self.device_id),
            (DEVICE_NAME, &self.device_name),
            (DEVICE_TYPE, &self.device_type),
            (ADDRESS_PREFIX, &self.address_prefix),
            (USER_AGENT, &self.user_agent),
            (JKT, &self.jkt),
        ] {
            if let Some(value) = value {
                push(&mut bytes, tag, value.as_bytes());
            }
        }
        for method in &self.amr {
            push(&mut bytes, AMR, method.as_bytes());
        }
        if let Some(instant) = self.auth_time {
            push(&mut bytes, AUTH_TIME, &instant.millis().to_be_bytes());
        }
        if let Some(seen) = &self.seen {
            push(&mut bytes, SEEN, seen);
        }
        if let Some(note) = &self.risk {
            push(&mut bytes, RISK, &note.encode());
        }
        if let Some(place) = &self.place {
            push(&mut bytes, PLACE, &place.encode());
        }
        if let Some(device) = self.device_tag {
            push(&mut bytes, DEVICE_TAG, device.bytes());
        }
        if let Some(point) = &self.device_key {
            push(&mut bytes, DEVICE_KEY, point);
        }
        for (tag, value) in &self.unknown {
            push(&mut bytes, *tag, value);
        }
        bytes
    }

    /// The fingerprint that the session was last seen with. One of another version is none: it is no evidence.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        Fingerprint::decode(self.seen.as_deref()?)
    }

    /// Keeps a fingerprint, unless it says nothing.
    pub fn set_fingerprint(&mut self, fingerprint: &Fingerprint) {
        if !fingerprint.is_empty() {
            self.seen = Some(fingerprint.encode());
        }
    }

    /// Reads what [`Attributes::encode`] wrote; `None` when the bytes are not such fields.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut attributes = Attributes::default();
        while !bytes.is_empty() {
            let (prefix, rest) = bytes.split_at_checked(3)?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([prefix[1], prefix[2]])))?;
            bytes = rest;
            attributes.set(prefix[0], value)?;
        }
        Some(attributes)
    }

    fn set(&mut self, tag: u8, value: &[u8]) -> Option<()> {
        let text = || std::str::from_utf8(value).ok().map(str::to_owned);
        match tag {
            USER_ID => self.user_id = text()?,
            APPLICATION_ID => self.application_id = text()?,
            ACR => self.acr = Some(text()?),
            AMR => self.amr.push(text()?),
            AUTH_TIME => self.auth_time = Some(Timestamp::from_millis(i64::from_be_bytes(value.try_into().ok()?))),
            DEVICE_ID => self.device_id = Some(text()?),
            DEVICE_NAME => self.device_name = Some(text()?),
            DEVICE_TYPE => self.device_type = Some(text()?),
            ADDRESS_PREFIX => self.address_prefix = Some(text()?),
            USER_AGENT => self.user_agent = Some(text()?),
            JKT => self.jkt = Some(text()?),
            SEEN => self.seen = Some(value.to_vec()),
            RISK if Note::decode(value).is_some() => self.risk = Note::decode(value),
            PLACE if Place::decode(value).is_some() => self.place = Place::decode(value),
            DEVICE_TAG => self.device_tag = Some(DeviceTag::from_bytes(value.try_into().ok()?)),
            DEVICE_KEY => self.device_key = Some(value.try_into().ok()?),
            _ => self.unknown.push((tag, value.to_vec())),
        }
        Some(())
    }
}

fn push(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    bytes.push(tag);
    bytes.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_reads_back_and_unknown_ones_survive() {
        let attributes = Attributes {
            user_id: "alice".into(),
            application_id: "demo".into(),
            acr: Some("aal2".into()),
            amr: vec!["pwd".into(), "otp".into()],
            auth_time: Some(Timestamp::from_millis(1_700_000_000_000)),
            device_id: Some("d1".into()),
            device_name: Some("Alice's phone".into()),
            device_type: Some("phone".into()),
            address_prefix: Some("203.0.113.0/24".into()),
            user_agent: Some("agent".into()),
            jkt: Some("thumbprint".into()),
            seen: Some(vec![9, 9]),
            risk: Note::decode(&[2, 0, 5]),
            place: Place::new("AT", Some("Vienna"), None, crate::core::place::ACCURACY_KM_DEFAULT),
            device_tag: Some(DeviceTag::from_bytes([7; 8])),
            device_key: Some([9; 64]),
            unknown: vec![(200, vec![1, 2, 3])],
        };
        assert_eq!(Attributes::decode(&attributes.encode()), Some(attributes));
    }

    #[test]
    fn truncated_bytes_are_refused() {
        let bytes = Attributes { user_id: "alice".into(), ..Attributes::default() }.encode();
        for length in 1..bytes.len() {
            assert_eq!(Attributes::decode(&bytes[..length]), None, "{length}");
        }
    }
}
