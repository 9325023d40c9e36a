//! Identifiers: buckets, user tags, session ids, application ids, user ids.

use super::crypto::{self, SecretKey};
use unicode_normalization::is_nfc;

/// How many buckets there are. A bucket is one Redis hash tag, so all keys of a user share a slot.
pub const BUCKETS: u16 = 4096;
/// Buckets that share one audit chain.
pub const BUCKETS_PER_CHAIN_GROUP: u16 = 64;

/// One of the 4096 shards of state, `HMAC(K, user) mod 4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// `None` when out of range.
    pub fn new(number: u16) -> Option<Self> {
        (number < BUCKETS).then_some(Bucket(number))
    }

    /// The bucket that the first bytes of a hash fall into.
    pub fn wrapping(number: u16) -> Self {
        Bucket(number % BUCKETS)
    }

    /// The number, 0 to 4095.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The audit chain that this bucket's events go to, 0 to 63.
    pub fn chain_group(self) -> i16 {
        (self.0 / BUCKETS_PER_CHAIN_GROUP) as i16
    }

    /// Every bucket of an inclusive range.
    pub fn range(first: Bucket, last: Bucket) -> impl Iterator<Item = Bucket> {
        (first.0..=last.0).map(Bucket)
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b{:03x}", self.0)
    }
}

/// A user's pseudonym inside its bucket: 48 bits of a keyed hash as 8 base64url characters. Unique to the
/// application group, so equal user ids of unrelated applications never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserTag([u8; 6]);

impl UserTag {
    /// The tag of no user, where keys of a bucket are named without one.
    pub const NOBODY: UserTag = UserTag([0; 6]);

    /// A pseudonym of part of a keyed hash.
    pub fn from_bytes(bytes: [u8; 6]) -> Self {
        UserTag(bytes)
    }

    /// Reads the 8-character form.
    pub fn parse(text: &str) -> Option<Self> {
        crypto::decode(text).map(UserTag)
    }

    /// The six bytes.
    pub fn bytes(&self) -> &[u8; 6] {
        &self.0
    }

    /// The 8-character form that stands in keys and records.
    pub fn text(self) -> String {
        crypto::encode(&self.0)
    }
}

/// Where a user's state lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserSlot {
    /// The user's bucket.
    pub bucket: Bucket,
    /// The user's pseudonym in it.
    pub tag: UserTag,
}

impl UserSlot {
    /// The keyed hash of an application group's user.
    pub fn of(key: &SecretKey, group: &str, user: &UserId) -> Self {
        let mac = crypto::mac(key, &[b"user", group.as_bytes(), user.as_str().as_bytes()]);
        let bucket = Bucket::wrapping(u16::from_be_bytes([mac[0], mac[1]]));
        let mut tag = [0; 6];
        tag.copy_from_slice(&mac[2..8]);
        UserSlot { bucket, tag: UserTag(tag) }
    }

    /// Reads [`UserSlot::subject`].
    pub fn of_subject(subject: &str) -> Option<Self> {
        let (bucket, tag) = subject.strip_prefix('b')?.split_once('.')?;
        let bucket = Bucket::new(u16::from_str_radix(bucket, 16).ok()?)?;
        Some(UserSlot { bucket, tag: UserTag::parse(tag)? })
    }

    /// The subject pseudonym that stands in the audit, `b<hex3>.<tag>`.
    pub fn subject(self) -> String {
        format!("{}.{}", self.bucket, self.tag.text())
    }
}

/// The handle of a session: `ses_` and base64url of the bucket (u16) and 16 bytes.
///
/// The 16 bytes are 10 random ones and the 6-byte user tag under a mask keyed by those 10. Whoever holds the routing
/// key finds the user's epoch key from the handle alone, so a read is one round trip of plain commands; for anyone
/// else two handles of one user look unrelated. The handle is not a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    bucket: Bucket,
    bytes: [u8; 16],
}

impl SessionId {
    /// Makes the handle of a user's session from 10 random bytes.
    pub fn mint(slot: UserSlot, random: [u8; 10], routing: &SecretKey) -> Self {
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(&random);
        let mask = tag_mask(&random, routing);
        for (index, byte) in slot.tag.0.iter().enumerate() {
            bytes[10 + index] = byte ^ mask[index];
        }
        SessionId { bucket: slot.bucket, bytes }
    }

    /// The user whose session this is, when the handle was minted under `routing`; any other handle gives a tag that
    /// belongs to nobody.
    pub fn user_slot(&self, routing: &SecretKey) -> UserSlot {
        let mask = tag_mask(&self.bytes[..10], routing);
        let mut tag = [0; 6];
        for (index, byte) in tag.iter_mut().enumerate() {
            *byte = self.bytes[10 + index] ^ mask[index];
        }
        UserSlot { bucket: self.bucket, tag: UserTag(tag) }
    }

    /// Reads `ses_…`; anything but the canonical form is refused before a store is asked.
    pub fn parse(text: &str) -> Option<Self> {
        let raw: [u8; 18] = crypto::decode(text.strip_prefix("ses_")?)?;
        let bucket = Bucket::new(u16::from_be_bytes([raw[0], raw[1]]))?;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&raw[2..]);
        Some(SessionId { bucket, bytes })
    }

    /// The session as 22 base64url characters inside its bucket: the last part of its Redis key.
    pub fn key_text(&self) -> String {
        crypto::encode(&self.bytes)
    }

    /// Rebuilds a handle from its bucket and [`SessionId::key_text`].
    pub fn from_key_text(bucket: Bucket, text: &str) -> Option<Self> {
        Some(SessionId { bucket, bytes: crypto::decode(text)? })
    }

    /// Rebuilds a handle from its parts, as a refresh token carries them.
    pub fn from_parts(bucket: Bucket, bytes: [u8; 16]) -> Self {
        SessionId { bucket, bytes }
    }

    /// The bucket that holds the session.
    pub fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// The 16 bytes after the bucket.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }
}

fn tag_mask(random: &[u8], routing: &SecretKey) -> [u8; 6] {
    let mac = crypto::mac(routing, &[b"session id", random]);
    let mut mask = [0; 6];
    mask.copy_from_slice(&mac[..6]);
    mask
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut raw = [0; 18];
        raw[..2].copy_from_slice(&self.bucket.0.to_be_bytes());
        raw[2..].copy_from_slice(&self.bytes);
        write!(f, "ses_{}", crypto::encode(&raw))
    }
}

/// An application's id, `[a-z][a-z0-9-]{2,31}`: it stands in keys `sk_<applicationId>_…` and as `aud` of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ApplicationId(String);

impl ApplicationId {
    /// `None` when the text does not match the grammar.
    pub fn parse(text: &str) -> Option<Self> {
        let mut characters = text.bytes();
        let first = characters.next()?;
        let grammar =
            first.is_ascii_lowercase() && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        (grammar && (3..=32).contains(&text.len())).then(|| ApplicationId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Eight bytes that stand for the application in records and refresh tokens (the refresh family's owner).
    pub fn tag(&self) -> [u8; 8] {
        let digest = crypto::hash(&[b"application", self.0.as_bytes()]);
        let mut tag = [0; 8];
        tag.copy_from_slice(&digest[..8]);
        tag
    }
}

impl std::fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user id as the issuer states it: 1 to 256 bytes of NFC text without control or format characters and without
/// white space at its ends. It is compared byte for byte; silent normalisation would merge accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(String);

impl UserId {
    /// The largest accepted length in bytes.
    pub const BYTES_MAX: usize = 256;

    /// `Err` says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err("must be 1 to 256 bytes long");
        }
        if text.chars().any(|c| c.is_control() || is_format(c)) {
            return Err("must not contain control or format characters");
        }
        if text.trim() != text {
            return Err("must not begin or end with white space");
        }
        if !is_nfc(text) {
            return Err("must be in Unicode normalisation form C");
        }
        Ok(UserId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Unicode general category Cf, plus the line and paragraph separators: invisible in a list of users.
fn is_format(c: char) -> bool {
    matches!(u32::from(c),
        0x00AD | 0x0600..=0x0605 | 0x061C | 0x06DD | 0x070F | 0x0890..=0x0891 | 0x08E2 | 0x180E
        | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x2064 | 0x2066..=0x206F | 0xFEFF
        | 0xFFF9..=0xFFFB | 0x110BD | 0x110CD | 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3
        | 0x1D173..=0x1D17A | 0xE0001 | 0xE0020..=0xE007F)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::new([byte; 32])
    }

    proptest! {
        #[test]
        fn a_session_id_leads_back_to_its_user(random in any::<[u8; 10]>(), user in "[a-z]{1,20}") {
            let slot = UserSlot::of(&key(1), "shop", &UserId::parse(&user).expect("valid"));
            let id = SessionId::mint(slot, random, &key(2));
            prop_assert_eq!(id.user_slot(&key(2)), slot);
            prop_assert_ne!(id.user_slot(&key(3)).tag, slot.tag);
            prop_assert_eq!(SessionId::parse(&id.to_string()), Some(id));
            prop_assert_eq!(SessionId::from_key_text(id.bucket(), &id.key_text()), Some(id));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = SessionId::parse(&text);
            let _ = ApplicationId::parse(&text);
            let _ = UserId::parse(&text);
            let _ = UserTag::parse(&text);
        }
    }

    #[test]
    fn session_ids_have_the_documented_shape() {
        let slot = UserSlot { bucket: Bucket(0xABC), tag: UserTag([0; 6]) };
        let text = SessionId::mint(slot, [5; 10], &key(1)).to_string();
        assert_eq!(text.len(), 28);
        assert!(text.starts_with("ses_Crw"), "bucket 0x0abc first: {text}");
        for broken in ["", "ses_", "ses_AAAA", &text[1..], &format!("{text}="), &format!("{text} ")] {
            assert_eq!(SessionId::parse(broken), None, "{broken}");
        }
        assert_eq!(SessionId::parse("ses_EAAAAAAAAAAAAAAAAAAAAAAA"), None, "bucket 4096");
    }

    #[test]
    fn groups_separate_equal_user_ids() {
        let user = UserId::parse("alice").expect("valid");
        assert_ne!(UserSlot::of(&key(1), "a", &user), UserSlot::of(&key(1), "b", &user));
    }

    #[test]
    fn user_ids_are_exact() {
        for good in ["alice", "Ünï", "auth0|5f7c8ec7", "a b", "user:1{x}*?[]"] {
            assert!(UserId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " a", "a ", "a\nb", "a\u{200b}b", "e\u{301}", "\u{feff}a", &"x".repeat(257)] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn application_ids_follow_their_grammar() {
        for good in ["demo", "a-1", "shop-eu-2"] {
            assert!(ApplicationId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "ab", "1ab", "Demo", "a_b", "a b", &"a".repeat(33)] {
            assert!(ApplicationId::parse(bad).is_none(), "{bad}");
        }
    }
}
