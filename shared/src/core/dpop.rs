//! Proofs of possession, RFC 9449: a JWT that a client signs for one request with the key its tokens are bound to.
//!
//! This module decides what a proof says and whether it is for this request. Whether its nonce is good is for
//! [`super::nonce`]; whether it came before, for the store.

use super::client_jws::ClientJws;
use super::crypto;
use super::target_uri;
use super::time::Timestamp;
use crate::limits::{CLOCK_LEEWAY_SECONDS, PROOF_BYTES_MAX, PROOF_ID_BYTES_MAX, PROOF_SECONDS};
use serde_json::Value;

const TYPE: &str = "dpop+jwt";

/// The request that a proof must be for.
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// The configured public URL of the service.
    pub base: &'a str,
    /// Its path, percent-decoded, as the gateway hands it over.
    pub path: &'a str,
    /// The access token that comes along; none at the places that take refresh tokens.
    pub access_token: Option<&'a str>,
}

/// A proof that is genuine, in time, and for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// RFC 7638 thumbprint of the key that made it.
    pub jkt: String,
    /// Its own id.
    pub jti: String,
    /// The URI it is for, as the client states it.
    pub htu: String,
    /// The nonce it carries.
    pub nonce: Option<String>,
}

/// Why a proof is not accepted. Callers hear only that it is not; the log hears why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No compact JWS of an acceptable size and header with a public P-256 key.
    Malformed,
    /// The signature is not that of the key in its header.
    NotGenuine,
    /// A claim is missing or of another type or length.
    Claims,
    /// Made for another method or URI.
    OtherRequest,
    /// Made for another access token, or for none.
    OtherToken,
    /// Too old, or from the future (T-14).
    OutOfTime,
}

impl Refusal {
    /// The words for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Malformed => "the proof is malformed",
            Refusal::NotGenuine => "the proof's signature is wrong",
            Refusal::Claims => "the proof's claims are wrong",
            Refusal::OtherRequest => "the proof is for another request",
            Refusal::OtherToken => "the proof is for another access token",
            Refusal::OutOfTime => "the proof is out of time",
        }
    }
}

/// Verifies a proof (RFC 9449 §4.3). What costs little is checked first, the signature last (T-35).
pub fn verify(text: &str, request: &Request, now: Timestamp) -> Result<Proof, Refusal> {
    let jws = ClientJws::parse(text, TYPE, PROOF_BYTES_MAX).map_err(|_| Refusal::Malformed)?;
    let key = jws.key.ok_or(Refusal::Malformed)?;
    let jti = jws.text("jti").filter(|jti| (1..=PROOF_ID_BYTES_MAX).contains(&jti.len())).ok_or(Refusal::Claims)?;
    let (method, uri) = (jws.text("htm").ok_or(Refusal::Claims)?, jws.text("htu").ok_or(Refusal::Claims)?);
    let issued_at = jws.claims.get("iat").and_then(Value::as_i64).ok_or(Refusal::Claims)?;
    let nonce = match jws.claims.get("nonce") {
        None => None,
        Some(nonce) => Some(nonce.as_str().ok_or(Refusal::Claims)?.to_owned()),
    };
    if method != request.method || !target_uri::is_same(uri, request.base, request.path) {
        return Err(Refusal::OtherRequest);
    }
    if let Some(token) = request.access_token {
        let hash = crypto::encode(&crypto::sha256(token.as_bytes()));
        if jws.text("ath") != Some(&hash) {
            return Err(Refusal::OtherToken);
        }
    }
    if !in_time(issued_at, now) {
        return Err(Refusal::OutOfTime);
    }
    if !jws.is_signed_by(&key) {
        return Err(Refusal::NotGenuine);
    }
    Ok(Proof { jkt: key.thumbprint(), jti: jti.to_owned(), htu: uri.to_owned(), nonce })
}

/// A minute old at most, and at most the clock leeway ahead.
fn in_time(issued_at: i64, now: Timestamp) -> bool {
    let seconds = |bound: u64| i64::try_from(bound).unwrap_or(0);
    let age = now.seconds().saturating_sub(issued_at);
    (-seconds(CLOCK_LEEWAY_SECONDS)..=seconds(PROOF_SECONDS)).contains(&age)
}

#[cfg(test)]
mod tests {
    use super::super::client_jws::client::Client;
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_562_265_296;

    fn now() -> Timestamp {
        Timestamp::from_seconds(NOW)
    }

    fn request(access_token: Option<&str>) -> Request<'_> {
        Request { method: "POST", base: "https://server.example.com", path: "/token", access_token }
    }

    fn header(client: &Client) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": client.jwk() })
    }

    fn claims() -> Value {
        json!({ "jti": "-BwC3ESc6acc2lTc", "htm": "POST", "htu": "https://server.example.com/token", "iat": NOW })
    }

    fn proved(client: &Client, claims: &Value, request: &Request) -> Result<Proof, Refusal> {
        verify(&client.sign(&header(client).to_string(), &claims.to_string()), request, now())
    }

    /// The proof of RFC 9449 §4.1, as it stands there.
    #[test]
    fn the_proof_of_rfc_9449_is_accepted() {
        let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
        let made_at = Timestamp::from_seconds(1_562_262_616);
        let accepted = verify(proof, &request(None), made_at).expect("accepted");
        assert_eq!(accepted.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        assert_eq!((accepted.jti.as_str(), accepted.nonce), ("-BwC3ESc6acc2lTc", None));
    }

    #[test]
    fn each_claim_is_required_and_of_its_type() {
        let client = Client::new();
        let good = proved(&client, &claims(), &request(None)).expect("accepted");
        assert_eq!(good.jkt, client.key().thumbprint());
        let with = |name: &str, value: Value| {
            let mut changed = claims();
            changed[name] = value;
            proved(&client, &changed, &request(None))
        };
        for name in ["jti", "htm", "htu", "iat"] {
            let mut missing = claims();
            missing.as_object_mut().expect("an object").remove(name);
            assert_eq!(proved(&client, &missing, &request(None)), Err(Refusal::Claims), "{name}");
            assert_eq!(with(name, Value::Null), Err(Refusal::Claims), "{name}");
        }
        for value in [json!(""), json!(7), json!("x".repeat(PROOF_ID_BYTES_MAX + 1))] {
            assert_eq!(with("jti", value), Err(Refusal::Claims));
        }
        assert_eq!(with("iat", json!(NOW.to_string())), Err(Refusal::Claims));
        assert_eq!(with("iat", json!(1.5)), Err(Refusal::Claims));
        assert_eq!(with("nonce", json!(1)), Err(Refusal::Claims));
        assert_eq!(with("nonce", json!("n")).map(|proof| proof.nonce), Ok(Some("n".into())));
        assert_eq!(with("htm", json!("post")), Err(Refusal::OtherRequest));
        assert_eq!(with("htu", json!("https://server.example.com/other")), Err(Refusal::OtherRequest));
        assert!(with("extra", json!({ "a": 1 })).is_ok(), "others are for others");
    }

    /// T-14
    #[test]
    fn t_14_a_proof_is_good_for_a_minute_and_not_before_its_time() {
        let client = Client::new();
        let issued_at = |seconds: i64| {
            let mut changed = claims();
            changed["iat"] = json!(seconds);
            proved(&client, &changed, &request(None)).map(|_| ())
        };
        let outside = Err(Refusal::OutOfTime);
        assert_eq!((issued_at(NOW - 60), issued_at(NOW - 61)), (Ok(()), outside));
        assert_eq!((issued_at(NOW + 30), issued_at(NOW + 31)), (Ok(()), outside));
        assert_eq!((issued_at(i64::MIN), issued_at(i64::MAX)), (outside, outside));
    }

    #[test]
    fn the_access_token_is_the_one_of_the_proof() {
        let client = Client::new();
        let mut bound = claims();
        bound["ath"] = json!(crypto::encode(&crypto::sha256(b"token")));
        assert!(proved(&client, &bound, &request(Some("token"))).is_ok());
        assert!(proved(&client, &bound, &request(None)).is_ok(), "not asked for");
        assert_eq!(proved(&client, &bound, &request(Some("other"))), Err(Refusal::OtherToken));
        assert_eq!(proved(&client, &claims(), &request(Some("token"))), Err(Refusal::OtherToken));
    }

    /// T-24, T-27, T-35: keys, headers and sizes.
    #[test]
    fn t_24_keys_and_headers_are_exact() {
        let (client, other) = (Client::new(), Client::new());
        let signed =
            |header: Value| verify(&client.sign(&header.to_string(), &claims().to_string()), &request(None), now());
        let with = |name: &str, value: Value| {
            let mut changed = header(&client);
            changed[name] = value;
            signed(changed)
        };
        assert!(signed(header(&client)).is_ok());
        assert_eq!(with("jwk", other.jwk()), Err(Refusal::NotGenuine));
        let mut private = client.jwk();
        private["d"] = json!(crypto::encode(&[1; 32]));
        let mut off_curve = client.jwk();
        off_curve["y"] = json!(crypto::encode(&[1; 32]));
        assert_eq!(with("jwk", private), Err(Refusal::Malformed));
        assert_eq!(with("jwk", off_curve), Err(Refusal::NotGenuine));
        assert_eq!(with("typ", json!("JWT")), Err(Refusal::Malformed));
        assert_eq!(with("alg", json!("none")), Err(Refusal::Malformed));
        assert_eq!(signed(json!({ "typ": "dpop+jwt", "alg": "ES256" })), Err(Refusal::Malformed));
        let mut large = claims();
        large["filler"] = json!("x".repeat(PROOF_BYTES_MAX));
        assert_eq!(proved(&client, &large, &request(None)), Err(Refusal::Malformed));
        let good = client.sign(&header(&client).to_string(), &claims().to_string());
        assert_eq!(verify(&format!("{good},{good}"), &request(None), now()), Err(Refusal::Malformed));
    }
}
