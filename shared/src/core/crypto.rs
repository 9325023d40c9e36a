//! The one place where primitives are called. Everything is ring: AES-256-GCM, HMAC-SHA-256, HKDF-SHA-256, SHA-256,
//! and ECDSA where somebody else signs.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::{aead, digest, hkdf, hmac, signature};
use std::sync::OnceLock;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A 256-bit secret that is wiped on drop and never printed.
#[derive(Clone)]
pub struct SecretKey {
    bytes: Zeroizing<[u8; 32]>,
    /// The key as HMAC starts from it, once it was needed: half of what a short message costs. ring does not wipe it.
    hmac: OnceLock<Box<hmac::Key>>,
}

impl SecretKey {
    /// Takes over the bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        SecretKey { bytes: Zeroizing::new(bytes), hmac: OnceLock::new() }
    }

    /// The raw bytes; for sealing inside a key ring only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    fn hmac(&self) -> &hmac::Key {
        self.hmac.get_or_init(|| Box::new(hmac::Key::new(hmac::HMAC_SHA256, self.expose())))
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        equal(self.expose(), other.expose())
    }
}

impl Eq for SecretKey {}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// HMAC-SHA-256 over length-prefixed parts, so that `("ab","c")` and `("a","bc")` differ.
pub fn mac(key: &SecretKey, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key.hmac());
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// Plain HMAC-SHA-256, where a standard prescribes it (webhook signatures).
pub fn hmac_sha256(key: &SecretKey, message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(key.hmac(), message).as_ref());
    out
}

/// SHA-256 over length-prefixed parts.
pub fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    finish(context)
}

/// Plain SHA-256, where a standard prescribes it (RFC 7638 thumbprints, stored key digests).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(bytes);
    finish(context)
}

fn finish(context: digest::Context) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Comparison in constant time; unequal lengths are unequal.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// Whether an ECDSA signature over P-256 and SHA-256, in DER as KMS makes it, is that of a public point.
pub fn ecdsa_p256_verifies(point: &[u8; 65], message: &[u8], signature: &[u8]) -> bool {
    let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point);
    key.verify(message, signature).is_ok()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Canonical base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Plain base64 with padding, where a standard prescribes it (webhook secrets and signatures).
pub fn encode_standard(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes exactly `N` bytes of canonical base64url; padding, other alphabets and stray trailing bits are refused.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Decodes canonical base64url of any length.
pub fn decode_vec(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// HKDF-SHA-256 to an AES-256-GCM key and a nonce, both fresh for each salt.
fn derive(key: &SecretKey, salt: &[u8], info: &[u8]) -> Option<(aead::LessSafeKey, aead::Nonce)> {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            44
        }
    }
    let pseudo_random_key = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.expose());
    let mut bytes = Zeroizing::new([0_u8; 44]);
    pseudo_random_key.expand(&[info], Length).ok()?.fill(bytes.as_mut_slice()).ok()?;
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, &bytes[..32]).ok()?;
    let nonce = aead::Nonce::try_assume_unique_for_key(&bytes[32..]).ok()?;
    Some((aead::LessSafeKey::new(key), nonce))
}

/// AES-256-GCM under a key and nonce that HKDF draws from `salt`: a fresh salt gives a fresh key, so a nonce can not
/// repeat under one key. Returns ciphertext followed by the 16-byte tag.
pub fn seal(key: &SecretKey, salt: &[u8], info: &[u8], aad: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
    let (key, nonce) = derive(key, salt, info)?;
    let mut buffer = plaintext.to_vec();
    key.seal_in_place_append_tag(nonce, aead::Aad::from(aad), &mut buffer).ok()?;
    Some(buffer)
}

/// Opens what [`seal`] made; `None` for any mismatch, without telling which.
pub fn open(key: &SecretKey, salt: &[u8], info: &[u8], aad: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let (key, nonce) = derive(key, salt, info)?;
    let mut buffer = ciphertext.to_vec();
    let length = key.open_in_place(nonce, aead::Aad::from(aad), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_not_ambiguous() {
        let key = SecretKey::new([7; 32]);
        assert_ne!(mac(&key, &[b"ab", b"c"]), mac(&key, &[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }

    #[test]
    fn a_sealed_text_opens_only_with_the_same_key_salt_info_and_aad() {
        let key = SecretKey::new([1; 32]);
        let sealed = seal(&key, b"salt", b"info", b"aad", b"text").expect("seals");
        assert_eq!(open(&key, b"salt", b"info", b"aad", &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(open(&SecretKey::new([2; 32]), b"salt", b"info", b"aad", &sealed), None);
        assert_eq!(open(&key, b"Salt", b"info", b"aad", &sealed), None);
        assert_eq!(open(&key, b"salt", b"Info", b"aad", &sealed), None);
        assert_eq!(open(&key, b"salt", b"info", b"Aad", &sealed), None);
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(open(&key, b"salt", b"info", b"aad", &changed), None);
        }
    }

    #[test]
    fn base64url_is_canonical() {
        assert_eq!(decode::<1>("AQ"), Some([1]));
        assert_eq!(decode::<1>("AR"), None, "stray trailing bits");
        assert_eq!(decode::<1>("AQ=="), None, "padding");
        assert_eq!(decode::<2>("AQ"), None, "length");
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", SecretKey::new([9; 32])), "SecretKey(redacted)");
    }
}
