//! Access tokens: RFC 9068 JWTs, ES256, 300 seconds.

use super::attributes::Attributes;
use super::crypto;
use super::id::SessionId;
use super::jwt_provider;
use super::public_key;
use super::time::Timestamp;
use crate::limits::{ACCESS_TOKEN_BYTES_MAX, ACCESS_TOKEN_SECONDS, CLOCK_LEEWAY_SECONDS};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::KeyPair;
use serde::{Deserialize, Serialize};

const TYPE: &str = "at+jwt";

/// The claims. Types are exact: a string, a float or a missing value where a number belongs is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The service's public URL.
    pub iss: String,
    /// The user, as the application named it.
    pub sub: String,
    /// The application.
    pub aud: String,
    /// The application (RFC 9068 requires both).
    pub client_id: String,
    /// The session.
    pub sid: String,
    /// Issued at, seconds.
    pub iat: i64,
    /// Expires at, seconds.
    pub exp: i64,
    /// Unique to the token.
    pub jti: String,
    /// Authentication context class.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acr: Option<String>,
    /// Authentication methods.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub amr: Vec<String>,
    /// When the user authenticated, seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth_time: Option<i64>,
    /// The key that the token is bound to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cnf: Option<Confirmation>,
}

/// A token that is worth something only together with a key (RFC 7800).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Confirmation {
    /// Thumbprint of the key that has to make a proof for each request (RFC 9449 §6.1).
    #[serde(rename = "jkt")]
    Proof(String),
    /// Thumbprint of the browser's key that the token's cookie was given out for. Such a token is good as that cookie
    /// and in no other place.
    #[serde(rename = "dbsc")]
    Cookie(String),
}

/// What binds the tokens of a session.
pub fn confirmation(attributes: &Attributes) -> Option<Confirmation> {
    let thumbprint = attributes.jkt.clone()?;
    Some(match attributes.device_key {
        None => Confirmation::Proof(thumbprint),
        Some(_) => Confirmation::Cookie(thumbprint),
    })
}

/// The claims of a session's next access token. It never outlives the session's absolute end.
pub fn claims(
    issuer: &str,
    session: SessionId,
    attributes: &Attributes,
    absolute_expires_at: Timestamp,
    now: Timestamp,
    random: [u8; 16],
) -> Claims {
    Claims {
        iss: issuer.to_owned(),
        sub: attributes.user_id.clone(),
        aud: attributes.application_id.clone(),
        client_id: attributes.application_id.clone(),
        sid: session.to_string(),
        iat: now.seconds(),
        exp: now.plus_seconds(ACCESS_TOKEN_SECONDS).min(absolute_expires_at).seconds(),
        jti: crypto::encode(&random),
        acr: attributes.acr.clone(),
        amr: attributes.amr.clone(),
        auth_time: attributes.auth_time.map(Timestamp::seconds),
        cnf: confirmation(attributes),
    }
}

/// A private signing key, ready for use.
pub struct SigningKey {
    kid: String,
    key: EncodingKey,
}

impl SigningKey {
    /// Reads a PKCS#8 P-256 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        jwt_provider::install();
        let verifying = VerifyingKey::from_pkcs8(pkcs8)?;
        Some(SigningKey { kid: verifying.kid, key: EncodingKey::from_ec_der(pkcs8) })
    }

    /// Signs claims. `None` only when the key is unusable.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        self.sign_as(TYPE, claims)
    }

    /// Signs the claims of a token of another type (RFC 8725 §3.11: the type keeps kinds of tokens apart).
    pub fn sign_as(&self, token_type: &str, claims: &impl Serialize) -> Option<String> {
        let header =
            Header { typ: Some(token_type.into()), kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.key).ok()
    }
}

/// A public key as JWKS publishes it (RFC 7517), with exactly one algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyingKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    kty: String,
    crv: String,
    alg: String,
    #[serde(rename = "use")]
    key_use: String,
    x: String,
    y: String,
}

impl VerifyingKey {
    /// The public half of a PKCS#8 P-256 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = jwt_provider::key_pair(pkcs8)?;
        let point: &[u8; 65] = pair.public_key().as_ref().try_into().ok()?;
        let (x, y) = (crypto::encode(&point[1..33]), crypto::encode(&point[33..]));
        Some(VerifyingKey {
            kid: public_key::thumbprint(&x, &y),
            kty: "EC".into(),
            crv: "P-256".into(),
            alg: "ES256".into(),
            key_use: "sig".into(),
            x,
            y,
        })
    }
}

/// A token was not accepted. The caller hears only that; the reason is for the security log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a compact JWS of an acceptable size, or a header we do not take.
    #[error("malformed")]
    Malformed,
    /// No published key has this `kid`.
    #[error("unknown key")]
    UnknownKey,
    /// The signature or the claims' types are wrong.
    #[error("not genuine")]
    NotGenuine,
    /// Issued by or for somebody else.
    #[error("wrong issuer or audience")]
    WrongParty,
    /// Past its `exp` or before its `iat`, leeway included.
    #[error("out of time")]
    OutOfTime,
}

/// Verifies a token against the published keys and returns its claims. `aud` must equal `client_id`; whether that
/// application is served, and whether the session lives, is for the caller to ask.
pub fn verify(token: &str, keys: &[VerifyingKey], issuer: &str, now: Timestamp) -> Result<Claims, Refusal> {
    let claims = verify_at_any_time(token, keys, issuer)?;
    check(&claims, issuer, now)?;
    Ok(claims)
}

/// As [`verify`], but an expired token is good too: for revoking it, not for using it.
pub fn verify_at_any_time(token: &str, keys: &[VerifyingKey], issuer: &str) -> Result<Claims, Refusal> {
    jwt_provider::install();
    if token.len() > ACCESS_TOKEN_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    if !acceptable(&header) {
        return Err(Refusal::Malformed);
    }
    let key = keys.iter().find(|key| Some(&key.kid) == header.kid.as_ref()).ok_or(Refusal::UnknownKey)?;
    let decoding = DecodingKey::from_ec_components(&key.x, &key.y).map_err(|_| Refusal::UnknownKey)?;
    let claims =
        jsonwebtoken::decode::<Claims>(token, &decoding, &signature_only()).map_err(|_| Refusal::NotGenuine)?.claims;
    check_parties(&claims, issuer)?;
    Ok(claims)
}

fn check_parties(claims: &Claims, issuer: &str) -> Result<(), Refusal> {
    if claims.iss != issuer || claims.aud != claims.client_id || claims.sub.is_empty() {
        return Err(Refusal::WrongParty);
    }
    Ok(())
}

/// Checks what a valid signature does not: parties and time. Also run on claims remembered from an earlier request.
pub fn check(claims: &Claims, issuer: &str, now: Timestamp) -> Result<(), Refusal> {
    check_parties(claims, issuer)?;
    let leeway = i64::try_from(CLOCK_LEEWAY_SECONDS).unwrap_or(0);
    if now.seconds() >= claims.exp.saturating_add(leeway) || claims.iat > now.seconds().saturating_add(leeway) {
        return Err(Refusal::OutOfTime);
    }
    Ok(())
}

/// RFC 8725: one algorithm, explicit typing, and no header that could bring or name a key.
fn acceptable(header: &Header) -> bool {
    header.alg == Algorithm::ES256
        && header.typ.as_deref() == Some(TYPE)
        && header.kid.as_ref().is_some_and(|kid| (1..=64).contains(&kid.len()))
        && header.jku.is_none()
        && header.jwk.is_none()
        && header.x5u.is_none()
        && header.x5c.is_none()
        && header.x5t.is_none()
        && header.x5t_s256.is_none()
        && header.cty.is_none()
        && header.crit.is_none()
        && header.enc.is_none()
        && header.zip.is_none()
}

/// `jsonwebtoken` reads the system clock for `exp`; time is judged by [`check`] with the caller's `now` instead.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::Bucket;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    const ISSUER: &str = "https://sessions.example";

    fn pkcs8() -> Vec<u8> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .expect("a key")
            .as_ref()
            .to_vec()
    }

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_700_000_000)
    }

    fn some_claims() -> Claims {
        let session = SessionId::from_parts(Bucket::new(1).expect("in range"), [1; 16]);
        let attributes = Attributes { user_id: "alice".into(), application_id: "demo".into(), ..Attributes::default() };
        claims(ISSUER, session, &attributes, now().plus_seconds(1000), now(), [7; 16])
    }

    #[test]
    fn a_genuine_token_is_accepted_until_its_time_is_over() {
        let pkcs8 = pkcs8();
        let keys = [VerifyingKey::from_pkcs8(&pkcs8).expect("public half")];
        let claims = some_claims();
        let token = SigningKey::from_pkcs8(&pkcs8).expect("key").sign(&claims).expect("token");
        let at = |seconds| verify(&token, &keys, ISSUER, now().plus_seconds(seconds));
        assert_eq!(at(0), Ok(claims.clone()));
        assert_eq!(at(ACCESS_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS - 1), Ok(claims));
        assert_eq!(at(ACCESS_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS), Err(Refusal::OutOfTime));
        assert_eq!(verify(&token, &keys, "https://other.example", now()), Err(Refusal::WrongParty));
        assert_eq!(verify(&token, &[], ISSUER, now()), Err(Refusal::UnknownKey));
        let early = Timestamp::from_seconds(now().seconds() - 31);
        assert_eq!(verify(&token, &keys, ISSUER, early), Err(Refusal::OutOfTime));
    }

    #[test]
    fn a_token_never_outlives_its_session() {
        let session = SessionId::from_parts(Bucket::new(1).expect("in range"), [1; 16]);
        let claims = claims(ISSUER, session, &Attributes::default(), now().plus_seconds(9), now(), [0; 16]);
        assert_eq!(claims.exp, now().seconds() + 9);
    }

    /// Whatever a session may be created with, its own token is taken back. A quotation mark doubles in JSON.
    #[test]
    fn the_longest_token_we_issue_is_accepted() {
        use crate::core::id::UserId;
        use crate::limits::{AMR_ENTRIES_MAX, SHORT_TEXT_BYTES_MAX};
        let text = "\"".repeat(SHORT_TEXT_BYTES_MAX);
        let attributes = Attributes {
            user_id: "\"".repeat(UserId::BYTES_MAX),
            application_id: "a".repeat(32),
            acr: Some(text.clone()),
            amr: vec![text; AMR_ENTRIES_MAX],
            auth_time: Some(now()),
            jkt: Some("A".repeat(43)),
            ..Attributes::default()
        };
        let issuer = format!("https://{}.example", "sessions".repeat(30));
        let session = SessionId::from_parts(Bucket::new(1).expect("in range"), [1; 16]);
        let claims = claims(&issuer, session, &attributes, Timestamp::MAX, now(), [0; 16]);
        let pkcs8 = pkcs8();
        let keys = [VerifyingKey::from_pkcs8(&pkcs8).expect("public half")];
        let token = SigningKey::from_pkcs8(&pkcs8).expect("key").sign(&claims).expect("token");
        assert!(token.len() > 4096, "{}", token.len());
        assert_eq!(verify(&token, &keys, &issuer, now()), Ok(claims));
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let pkcs8 = pkcs8();
        let keys = [VerifyingKey::from_pkcs8(&pkcs8).expect("public half")];
        let token = SigningKey::from_pkcs8(&pkcs8).expect("key").sign(&some_claims()).expect("token");
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ascii");
            assert!(verify(&changed, &keys, ISSUER, now()).is_err(), "byte {index}");
        }
        for other in
            [format!("{token}="), format!("{token}."), token.replacen('.', "..", 1), "a.b.c".into(), String::new()]
        {
            assert!(verify(&other, &keys, ISSUER, now()).is_err(), "{other}");
        }
    }

    /// RFC 8725 §2: algorithm confusion, key injection, wrong type, duplicate members, claim types.
    #[test]
    fn forged_headers_and_claims_are_refused() {
        let pkcs8 = pkcs8();
        let verifying = VerifyingKey::from_pkcs8(&pkcs8).expect("public half");
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new()).expect("pair");
        let signed = |header: &str, payload: &str| {
            let message = format!("{}.{}", crypto::encode(header.as_bytes()), crypto::encode(payload.as_bytes()));
            let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).expect("signature");
            format!("{message}.{}", crypto::encode(signature.as_ref()))
        };
        let kid = &verifying.kid;
        let good_header = format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}"}}"#);
        let good = serde_json::to_string(&some_claims()).expect("json");
        let keys = [verifying.clone()];
        assert!(verify(&signed(&good_header, &good), &keys, ISSUER, now()).is_ok());
        for header in [
            format!(r#"{{"typ":"at+jwt","alg":"none","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"HS256","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"JWT","alg":"ES256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#),
            r#"{"typ":"at+jwt","alg":"ES256"}"#.to_string(),
            r#"{"typ":"at+jwt","alg":"ES256","kid":"../../x"}"#.to_string(),
            format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}","jku":"https://x"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}","x5u":"https://x"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}","crit":["b64"]}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}","zip":"DEF"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"ES256","alg":"ES256","kid":"{kid}"}}"#),
        ] {
            assert!(verify(&signed(&header, &good), &keys, ISSUER, now()).is_err(), "{header}");
        }
        let claim = |name: &str, value: serde_json::Value| {
            let mut claims: serde_json::Value = serde_json::from_str(&good).expect("json");
            claims[name] = value;
            claims.to_string()
        };
        for payload in [
            claim("exp", "never".into()),
            claim("exp", 1.5.into()),
            claim("exp", serde_json::Value::Null),
            claim("iat", serde_json::json!("1")),
            claim("aud", serde_json::json!(["demo"])),
            claim("aud", "other".into()),
            claim("sub", 123.into()),
            claim("sub", "".into()),
            claim("iss", format!("{ISSUER}/").into()),
            good.replacen("\"sub\"", "\"sub\":\"mallory\",\"sub\"", 1),
            "{}".into(),
        ] {
            assert!(verify(&signed(&good_header, &payload), &keys, ISSUER, now()).is_err(), "{payload}");
        }
    }
}
