//! Nonces of proofs of possession (RFC 9449 §8) that nobody stores: a time bucket and a MAC over it.

use super::crypto::{self, SecretKey};
use super::time::Timestamp;
use crate::limits::{CLOCK_LEEWAY_SECONDS, NONCE_BUCKET_SECONDS};

/// The nonce of this moment.
pub fn issue(key: &SecretKey, now: Timestamp) -> String {
    of_bucket(key, bucket(now))
}

/// Whether a nonce was issued in this time bucket or the one before. Clocks of environments differ a little, so one
/// from the bucket that is about to begin is good as well.
pub fn is_good(key: &SecretKey, nonce: &str, now: Timestamp) -> bool {
    let current = bucket(now);
    let soon = bucket(now.plus_seconds(CLOCK_LEEWAY_SECONDS));
    [current.wrapping_sub(1), current, soon]
        .into_iter()
        .any(|bucket| crypto::equal(of_bucket(key, bucket).as_bytes(), nonce.as_bytes()))
}

fn bucket(now: Timestamp) -> u32 {
    u32::try_from(u64::try_from(now.seconds()).unwrap_or(0) / NONCE_BUCKET_SECONDS).unwrap_or(u32::MAX)
}

fn of_bucket(key: &SecretKey, bucket: u32) -> String {
    let mac = crypto::mac(key, &[b"dpop nonce", &bucket.to_be_bytes()]);
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
        let nonce = issue(&key, at(0));
        assert_eq!(nonce.len(), 27);
        let good = |seconds| is_good(&key, &nonce, at(seconds));
        assert!(good(0) && good(NONCE_BUCKET_SECONDS) && good(2 * NONCE_BUCKET_SECONDS - 1));
        assert!(!good(2 * NONCE_BUCKET_SECONDS));
        let ahead = issue(&key, at(NONCE_BUCKET_SECONDS));
        let early = |seconds| is_good(&key, &ahead, at(seconds));
        assert!(early(NONCE_BUCKET_SECONDS - CLOCK_LEEWAY_SECONDS));
        assert!(!early(NONCE_BUCKET_SECONDS - CLOCK_LEEWAY_SECONDS - 1), "one of the future");
    }

    #[test]
    fn keys_do_not_mix_and_altered_nonces_are_refused() {
        let (key, other) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
        let nonce = issue(&key, at(0));
        assert!(is_good(&key, &nonce, at(0)) && !is_good(&other, &nonce, at(0)));
        for altered in ["", "A", &nonce[1..], &format!("{nonce}A")] {
            assert!(!is_good(&key, altered, at(0)), "{altered}");
        }
    }
}
