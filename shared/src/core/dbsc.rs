//! Device Bound Session Credentials (W3C editor's draft of February 2026): a browser binds its session to a key that
//! never leaves the device, and shows from time to time that it still has it.
//!
//! Nothing is stored for it but the key: the registration code and the challenges are MACs. The draft asks for no time
//! in proofs, so that a proof is fresh rests on its challenge alone.

use super::client_jws::ClientJws;
use super::crypto::{self, SecretKey};
use super::end_reason::EndReason;
use super::id::{Bucket, SessionId};
use super::public_key::PublicKey;
use super::record::{Header, KEY_BOUND};
use super::session::{Liveness, liveness};
use super::time::Timestamp;
use crate::limits::{CHALLENGE_SECONDS, CLOCK_LEEWAY_SECONDS, PROOF_BYTES_MAX, REGISTRATION_SECONDS};

const TYPE: &str = "dbsc+jwt";
const CODE_PREFIX: &str = "dbr_";
const CODE_BYTES: usize = 23;

/// The right to bind a key to a session: whose, under which MAC key, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// MAC key of the token ring.
    pub mac_key_id: u8,
    /// The session.
    pub session: SessionId,
    /// When the session was created, in seconds.
    pub created_at: u32,
}

impl Registration {
    /// The right to bind a new session.
    pub fn of(session: SessionId, header: &Header) -> Self {
        let created_at = u32::try_from(header.created_at.seconds()).unwrap_or(u32::MAX);
        Registration { mac_key_id: header.mac_key_id, session, created_at }
    }

    /// The code that the browser sends back as `authorization`. A credential.
    pub fn code(&self, key: &SecretKey) -> String {
        let body = self.body();
        format!("{CODE_PREFIX}{}", crypto::encode(&[&body[..], &tag(key, b"dbsc registration", &body)].concat()))
    }

    /// The challenge that goes with the code.
    pub fn challenge(&self, key: &SecretKey) -> String {
        crypto::encode(&tag(key, b"dbsc registration challenge", &self.body()))
    }

    /// Reads a code back; `key` finds a MAC key by its id.
    pub fn verify<'a>(code: &str, key: impl FnOnce(u8) -> Option<&'a SecretKey>) -> Option<Self> {
        let bytes: [u8; CODE_BYTES + 16] = crypto::decode(code.strip_prefix(CODE_PREFIX)?)?;
        let (body, mac) = bytes.split_at(CODE_BYTES);
        if !crypto::equal(&tag(key(body[0])?, b"dbsc registration", body), mac) {
            return None;
        }
        let bucket = Bucket::new(u16::from_be_bytes([body[1], body[2]]))?;
        let session = SessionId::from_parts(bucket, body[3..19].try_into().ok()?);
        Some(Registration { mac_key_id: body[0], session, created_at: u32::from_be_bytes(body[19..].try_into().ok()?) })
    }

    /// Registration belongs to the beginning of a session: whoever comes later, a program with a key of its own for
    /// one, is too late. T-17.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let created_at = Timestamp::from_seconds(i64::from(self.created_at));
        now < created_at.plus_seconds(REGISTRATION_SECONDS)
    }

    fn body(&self) -> [u8; CODE_BYTES] {
        let mut body = [0; CODE_BYTES];
        body[0] = self.mac_key_id;
        body[1..3].copy_from_slice(&self.session.bucket().number().to_be_bytes());
        body[3..19].copy_from_slice(self.session.bytes());
        body[19..].copy_from_slice(&self.created_at.to_be_bytes());
        body
    }
}

/// A challenge for the key of a session: the time, random bytes, and a MAC over both and the session.
pub fn challenge(key: &SecretKey, session: SessionId, now: Timestamp, random: [u8; 8]) -> String {
    let mut body = [0; 12];
    body[..4].copy_from_slice(&u32::try_from(now.seconds()).unwrap_or(u32::MAX).to_be_bytes());
    body[4..].copy_from_slice(&random);
    crypto::encode(&[&body[..], &challenge_tag(key, session, &body)].concat())
}

/// Whether a challenge was made for this session, and lately.
pub fn is_fresh(key: &SecretKey, session: SessionId, challenge: &str, now: Timestamp) -> bool {
    let Some(bytes) = crypto::decode::<28>(challenge) else { return false };
    let (body, mac) = bytes.split_at(12);
    let made_at = u32::from_be_bytes([body[0], body[1], body[2], body[3]]);
    let made_at = Timestamp::from_seconds(i64::from(made_at));
    crypto::equal(&challenge_tag(key, session, body), mac)
        && made_at <= now.plus_seconds(CLOCK_LEEWAY_SECONDS)
        && now < made_at.plus_seconds(CHALLENGE_SECONDS)
}

fn challenge_tag(key: &SecretKey, session: SessionId, body: &[u8]) -> [u8; 16] {
    tag(key, b"dbsc challenge", &[session.to_string().as_bytes(), body].concat())
}

fn tag(key: &SecretKey, label: &[u8], body: &[u8]) -> [u8; 16] {
    let mut tag = [0; 16];
    tag.copy_from_slice(&crypto::mac(key, &[label, body])[..16]);
    tag
}

/// The proof that registers a key.
pub struct NewKey<'a> {
    jws: ClientJws<'a>,
    /// The key.
    pub key: PublicKey,
}

impl<'a> NewKey<'a> {
    /// Takes a proof apart: its header brings the key.
    pub fn parse(text: &'a str) -> Option<Self> {
        let jws = ClientJws::parse(text, TYPE, PROOF_BYTES_MAX).ok()?;
        let key = jws.key?;
        Some(NewKey { jws, key })
    }

    /// The registration code that the browser was given.
    pub fn authorization(&self) -> Option<&str> {
        self.jws.text("authorization")
    }

    /// Whether the proof answers a challenge and is by the key that it brings.
    pub fn answers(&self, challenge: &str) -> bool {
        let stated = self.jws.text("jti").unwrap_or_default();
        crypto::equal(stated.as_bytes(), challenge.as_bytes()) && self.jws.is_signed_by(&self.key)
    }
}

/// The challenge that a proof answers, when the proof is by the key of the session. A header that brings a key is
/// refused: the key is known by now.
pub fn answered_challenge(text: &str, key: &PublicKey) -> Option<String> {
    let jws = ClientJws::parse(text, TYPE, PROOF_BYTES_MAX).ok()?;
    let fits = jws.key.is_none() && jws.is_signed_by(key);
    jws.text("jti").filter(|_| fits).map(str::to_owned)
}

/// What becomes of a key that a browser wants to bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The session is another application's.
    Missing,
    /// A tombstone.
    Ended(EndReason),
    /// Its time is over.
    Lapsed(EndReason),
    /// It is the key of the session, by this operation or by an earlier run of it.
    Bound,
    /// The session has a key already.
    Taken,
}

/// Decides whether a key may be bound: once in the life of a session. `bind_key.lua` takes the same decision.
pub fn decide(header: &Header, application_tag: [u8; 8], operation: [u8; 8], epoch: u32, now: Timestamp) -> Verdict {
    if header.application_tag != application_tag {
        return Verdict::Missing;
    }
    match liveness(header, epoch, now) {
        Liveness::Ended(reason) => Verdict::Ended(reason),
        Liveness::Lapsed(reason) => Verdict::Lapsed(reason),
        Liveness::Alive if header.flags & KEY_BOUND == 0 || header.last_operation == operation => Verdict::Bound,
        Liveness::Alive => Verdict::Taken,
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_jws::client::Client;
    use super::*;
    use serde_json::{Value, json};

    const KEY: [u8; 32] = [7; 32];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn session(byte: u8) -> SessionId {
        SessionId::from_parts(Bucket::new(9).expect("in range"), [byte; 16])
    }

    fn registration() -> Registration {
        Registration { mac_key_id: 3, session: session(1), created_at: 1_800_000_000 }
    }

    #[test]
    fn t_17_a_code_is_for_one_session_and_the_beginning_of_its_life() {
        let (key, other) = (SecretKey::new(KEY), SecretKey::new([8; 32]));
        let code = registration().code(&key);
        assert_eq!(Registration::verify(&code, |id| (id == 3).then_some(&key)), Some(registration()));
        assert_eq!(Registration::verify(&code, |_| Some(&other)), None);
        assert_eq!(Registration::verify(&code, |_| None), None);
        for at in 0..code.len() {
            let mut changed = code.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ascii");
            assert_eq!(Registration::verify(&changed, |_| Some(&key)), None, "byte {at}");
        }
        assert!(registration().is_open(at(0)) && registration().is_open(at(299)) && !registration().is_open(at(300)));
        assert_ne!(
            registration().challenge(&key),
            Registration { session: session(2), ..registration() }.challenge(&key)
        );
    }

    #[test]
    fn t_16_a_challenge_is_for_one_session_and_five_minutes() {
        let key = SecretKey::new(KEY);
        let text = challenge(&key, session(1), at(0), [5; 8]);
        let fresh = |seconds| is_fresh(&key, session(1), &text, at(seconds));
        assert!(fresh(-30) && fresh(0) && fresh(299) && !fresh(300) && !fresh(-31));
        assert!(!is_fresh(&key, session(2), &text, at(0)));
        assert!(!is_fresh(&SecretKey::new([8; 32]), session(1), &text, at(0)));
        assert_ne!(text, challenge(&key, session(1), at(0), [6; 8]));
        for altered in ["", "x", &text[1..], &format!("{text}A")] {
            assert!(!is_fresh(&key, session(1), altered, at(0)));
        }
    }

    #[test]
    fn proofs_bring_their_key_at_registration_and_never_again() {
        let (client, other) = (Client::new(), Client::new());
        let header = |with_key: bool| match with_key {
            true => json!({ "typ": "dbsc+jwt", "alg": "ES256", "jwk": client.jwk() }),
            false => json!({ "typ": "dbsc+jwt", "alg": "ES256" }),
        };
        let claims = json!({ "jti": "challenge", "authorization": "code" }).to_string();
        let signed = |header: Value| client.sign(&header.to_string(), &claims);
        let text = signed(header(true));
        let new = NewKey::parse(&text).expect("parses");
        assert_eq!((new.key, new.authorization()), (client.key(), Some("code")));
        assert!(new.answers("challenge") && !new.answers("other") && !new.answers(""));
        assert!(NewKey::parse(&signed(header(false))).is_none());
        let foreign = signed(json!({ "typ": "dbsc+jwt", "alg": "ES256", "jwk": other.jwk() }));
        assert!(!NewKey::parse(&foreign).expect("parses").answers("challenge"));

        let answer = signed(header(false));
        assert_eq!(answered_challenge(&answer, &client.key()).as_deref(), Some("challenge"));
        assert_eq!(answered_challenge(&answer, &other.key()), None);
        assert_eq!(answered_challenge(&text, &client.key()), None, "a key in the header");
        for typ in ["JWT", "dpop+jwt"] {
            let wrong = signed(json!({ "typ": typ, "alg": "ES256" }));
            assert_eq!(answered_challenge(&wrong, &client.key()), None);
        }
        assert_eq!(answered_challenge(&signed(json!({ "typ": "dbsc+jwt", "alg": "none" })), &client.key()), None);
    }
}
