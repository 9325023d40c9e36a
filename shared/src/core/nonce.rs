//! Nonces and challenges that nobody stores: a time bucket and a MAC over it, its purpose and what it is for.

use super::crypto::{self, SecretKey};
use super::time::Timestamp;
use crate::limits::{CLOCK_LEEWAY_SECONDS, NONCE_BUCKET_SECONDS};

/// What a nonce is made for; one kind is never good in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// `nonce` of a DPoP proof (RFC 9449 §8), for any client.
    Dpop,
    /// The challenge of a device bound session, by its id.
    DeviceBoundSession(&'a str),
}

impl Purpose<'_> {
    fn parts(&self) -> [&[u8]; 2] {
        match self {
            Purpose::Dpop => [b"dpop nonce", b""],
            Purpose::DeviceBoundSession(session) => [b"dbsc challenge", session.as_bytes()],
        }
    }
}

/// The nonce of this moment.
pub fn issue(key: &SecretKey, purpose: Purpose, now: Timestamp) -> String {
    of_bucket(key, purpose, bucket(now))
}

/// Whether a nonce was issued in this time bucket or the one before. Clocks of environments differ a little, so one
/// from the bucket that is about to begin is good as well.
pub fn is_good(key: &SecretKey, purpose: Purpose, nonce: &str, now: Timestamp) -> bool {
    let current = bucket(now);
    let soon = bucket(now.plus_seconds(CLOCK_LEEWAY_SECONDS));
    [current.wrapping_sub(1), current, soon]
        .into_iter()
        .any(|bucket| crypto::equal(of_bucket(key, purpose, bucket).as_bytes(), nonce.as_bytes()))
}

fn bucket(now: Timestamp) -> u32 {
    u32::try_from(u64::try_from(now.seconds()).unwrap_or(0) / NONCE_BUCKET_SECONDS).unwrap_or(u32::MAX)
}

fn of_bucket(key: &SecretKey, purpose: Purpose, bucket: u32) -> String {
    let [label, subject] = purpose.parts();
    let mac = crypto::mac(key, &[label, subject, &bucket.to_be_bytes()]);
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&bucket.to_be_bytes());
    bytes[4..].copy_from_slice(&mac[..16]);
    crypto::encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 / NONCE_BUCKET_SECONDS as i64 * NONCE_BUCKET_SECONDS as i64)
            .plus_seconds(seconds)
    }

    #[test]
    fn a_nonce_is_good_for_its_bucket_and_the_next() {
        let key = SecretKey::new([1; 32]);
        let nonce = issue(&key, Purpose::Dpop, at(0));
        assert_eq!(nonce.len(), 27);
        let good = |seconds| is_good(&key, Purpose::Dpop, &nonce, at(seconds));
        assert!(good(0) && good(NONCE_BUCKET_SECONDS) && good(2 * NONCE_BUCKET_SECONDS - 1));
        assert!(!good(2 * NONCE_BUCKET_SECONDS));
        let ahead = issue(&key, Purpose::Dpop, at(NONCE_BUCKET_SECONDS));
        let early = |seconds| is_good(&key, Purpose::Dpop, &ahead, at(seconds));
        assert!(early(NONCE_BUCKET_SECONDS - CLOCK_LEEWAY_SECONDS));
        assert!(!early(NONCE_BUCKET_SECONDS - CLOCK_LEEWAY_SECONDS - 1), "one of the future");
    }

    #[test]
    fn purposes_subjects_and_keys_do_not_mix() {
        let (key, other) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
        let nonce = issue(&key, Purpose::Dpop, at(0));
        let challenge = issue(&key, Purpose::DeviceBoundSession("one"), at(0));
        assert!(!is_good(&other, Purpose::Dpop, &nonce, at(0)));
        assert!(!is_good(&key, Purpose::DeviceBoundSession(""), &nonce, at(0)));
        assert!(!is_good(&key, Purpose::DeviceBoundSession("two"), &challenge, at(0)));
        assert!(is_good(&key, Purpose::DeviceBoundSession("one"), &challenge, at(0)));
        for altered in ["", "A", &nonce[1..], &format!("{nonce}A")] {
            assert!(!is_good(&key, Purpose::Dpop, altered, at(0)), "{altered}");
        }
    }
}
