//! Every key name. The hash tag `{b<hex3>}` stands first in each, so all keys of a user share a slot; user input never
//! reaches a key, only keyed hashes and minted ids do. (`scripts/record.lua` builds names of the same shape for the
//! sessions that an index or a queue names.)

use crate::core::crypto;
use crate::core::device_tag::DeviceTag;
use crate::core::id::{Bucket, SessionId, UserSlot};
use crate::core::rate::Place;

/// The hash tag, `{b<hex3>}`.
pub fn hash_tag(bucket: Bucket) -> String {
    let mut tag = String::with_capacity(6);
    push_hash_tag(&mut tag, bucket);
    tag
}

fn push_hash_tag(text: &mut String, bucket: Bucket) {
    text.push_str("{b");
    for shift in [8, 4, 0] {
        text.extend(char::from_digit(u32::from(bucket.number() >> shift & 0xf), 16));
    }
    text.push('}');
}

/// A key by its letter and what follows the hash tag. Put together by hand: every request makes several, and the formatting
/// machinery costs more than all else in them.
fn key(letter: char, bucket: Bucket, parts: &[&str]) -> String {
    let mut key = String::with_capacity(8 + parts.iter().map(|part| part.len() + 1).sum::<usize>());
    key.push(letter);
    key.push(':');
    push_hash_tag(&mut key, bucket);
    for part in parts {
        key.push(':');
        key.push_str(part);
    }
    key
}

/// The session record.
pub fn session(session: &SessionId) -> String {
    key('s', session.bucket(), &[&session.key_text()])
}

/// The user's index: a sorted set of sessions by creation time. A view, never the authority.
pub fn index(slot: UserSlot) -> String {
    key('u', slot.bucket, &[&slot.tag.text()])
}

/// The mirror of the user's epoch; absent means 0.
pub fn epoch(slot: UserSlot) -> String {
    key('e', slot.bucket, &[&slot.tag.text()])
}

/// The bucket's expiry queue: a sorted set of sessions by deadline.
pub fn expiry_queue(bucket: Bucket) -> String {
    key('x', bucket, &[])
}

/// The bucket's outbox: a stream of events on their way to the audit.
pub fn outbox(bucket: Bucket) -> String {
    key('o', bucket, &[])
}

/// What an idempotency key, or a legacy session, stood for.
pub fn claim(bucket: Bucket, digest: &str) -> String {
    key('i', bucket, &[digest])
}

/// Where and with what the user has been seen: what the risk of a session is judged against.
pub fn history(slot: UserSlot) -> String {
    key('h', slot.bucket, &[&slot.tag.text()])
}

/// The mirror of the user's privacy settings ([`crate::core::privacy`]); absent means that everything is on.
pub fn privacy(slot: UserSlot) -> String {
    key('v', slot.bucket, &[&slot.tag.text()])
}

/// The mirror of a device's epoch; absent means 0.
pub fn device_epoch(slot: UserSlot, device: DeviceTag) -> String {
    key('d', slot.bucket, &[&slot.tag.text(), &device.text()])
}

/// The families of other applications under a shared session: a hash by application tag.
pub fn families(session: &SessionId) -> String {
    key('f', session.bucket(), &[&session.key_text()])
}

/// The code that waits for an application to take a share of a session.
pub fn share_code(session: &SessionId, application_tag: [u8; 8]) -> String {
    let tag = crypto::hex(&application_tag);
    key('c', session.bucket(), &[&session.key_text(), &tag])
}

/// The lock of a session; gone when it expires.
pub fn lock(session: &SessionId) -> String {
    key('l', session.bucket(), &[&session.key_text()])
}

/// The highest fencing number issued for a session, which outlives its locks.
pub fn issued_fences(session: &SessionId) -> String {
    key('n', session.bucket(), &[&session.key_text()])
}

/// What a party has leased, or missed, in this minute.
pub fn rate(place: &Place) -> String {
    key('r', place.bucket, &[&place.digest])
}

/// A proof of possession that has been used.
pub fn used_proof(bucket: Bucket, digest: &str) -> String {
    key('j', bucket, &[digest])
}

/// Whether the bucket goes to another store ([`super::fence`]); absent in a store that keeps it.
pub fn marker(bucket: Bucket) -> String {
    key('m', bucket, &[])
}

/// The keys that scripts have used while those of the bucket are listed: a set.
pub fn touched(bucket: Bucket) -> String {
    key('k', bucket, &[])
}

/// The turns of jobs that move the bucket: in the store it leaves the last one that was given, in the store it goes to
/// the last one that wrote.
pub fn turns(bucket: Bucket) -> String {
    key('t', bucket, &[])
}

/// The bucket of a key, or of whatever begins like one.
pub fn bucket_of(key: &[u8]) -> Option<Bucket> {
    let [_, b':', b'{', b'b', digits @ ..] = key else { return None };
    let [a, b, c, b'}', ..] = digits else { return None };
    let digits = [*a, *b, *c];
    u16::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok().and_then(Bucket::new)
}

/// Whether a key belongs to a move and not to what is moved.
pub fn is_of_a_move(key: &[u8]) -> bool {
    matches!(key, [b'm' | b'k' | b't', b':', ..])
}

/// Whether a key is that of a session record.
pub fn is_session(key: &[u8]) -> bool {
    key.starts_with(b"s:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::crypto::SecretKey;
    use crate::core::id::UserId;
    use crate::core::rate::{Counted, Party};
    use proptest::prelude::*;

    proptest! {
        /// T-48, T-49: whatever a user is called, keys keep their grammar and all of them share one hash tag.
        #[test]
        fn keys_keep_their_grammar_and_share_a_slot(user in "[^\\p{C}\\s]{1,40}", random in any::<[u8; 10]>()) {
            let Ok(user) = UserId::parse(&user) else { return Ok(()) };
            let slot = UserSlot::of(&SecretKey::new([1; 32]), "shop", &user);
            let id = SessionId::mint(slot, random, &SecretKey::new([2; 32]));
            let keys = [
                session(&id), index(slot), epoch(slot), expiry_queue(slot.bucket), outbox(slot.bucket),
                claim(slot.bucket, &slot.tag.text()), history(slot), privacy(slot),
                device_epoch(slot, DeviceTag::of(&SecretKey::new([3; 32]), slot, user.as_str())),
                families(&id), share_code(&id, [0xfe; 8]),
                lock(&id), issued_fences(&id),
                rate(&Party::Holder(id).place(Counted::Misses, &SecretKey::new([2; 32]))),
                used_proof(slot.bucket, &slot.tag.text()),
                privacy(slot),
                marker(slot.bucket), touched(slot.bucket), turns(slot.bucket),
            ];
            for key in keys {
                prop_assert_eq!(bucket_of(key.as_bytes()), Some(slot.bucket));
                let (letter, rest) = key.split_once(":{b").expect("hash tag");
                prop_assert!(letter.len() == 1 && letter.bytes().all(|c| c.is_ascii_lowercase()));
                let (tag, rest) = rest.split_once('}').expect("hash tag");
                prop_assert_eq!(tag, format!("{:03x}", slot.bucket.number()));
                prop_assert!(rest.bytes().all(|c| c.is_ascii_alphanumeric() || b":-_".contains(&c)), "{}", key);
            }
        }
    }
}
