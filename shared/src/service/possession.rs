//! Proofs of possession (RFC 9449): the caller shows that it has the key that its tokens are bound to.
//!
//! A proof is good once. That it was used is remembered in the slot of its session for as long as any environment could
//! take it for a good one: one round trip, which sessions without a key do not make. T-13.

use super::inbound::Inbound;
use super::runtime::Service;
use crate::adapters::redis::scripts;
use crate::core::application::KnownApplication;
use crate::core::crypto;
use crate::core::dpop::{self, Proof};
use crate::core::id::Bucket;
use crate::core::nonce;
use crate::error::{Error, Result};
use crate::random;

/// What a proof has to be made for besides its request.
pub struct Demand<'a> {
    /// Where the session lives.
    pub bucket: Bucket,
    /// Whose policy says whether a nonce is needed; `None` when the application is not known.
    pub application: Option<&'a KnownApplication>,
    /// The access token that comes along, with the thumbprint it is bound to.
    pub access_token: Option<(&'a str, &'a str)>,
}

/// Takes the proof of a request and returns the thumbprint of the key that made it. The answer carries a nonce for the
/// next proof, whatever becomes of this one.
pub async fn prove(service: &Service, inbound: &Inbound, demand: Demand<'_>) -> Result<String> {
    offer_nonce(service, inbound).await?;
    let target = &inbound.target;
    let text = target.proof.as_deref().ok_or(Error::DpopProofInvalid("no proof"))?;
    let request = dpop::Request {
        method: &target.method,
        base: &service.issuer,
        path: &target.path,
        access_token: demand.access_token.map(|(token, _)| token),
    };
    let proof = dpop::verify(text, &request, inbound.now).map_err(|why| Error::DpopProofInvalid(why.as_str()))?;
    if demand.access_token.is_some_and(|(_, bound)| !crypto::equal(bound.as_bytes(), proof.jkt.as_bytes())) {
        return Err(Error::DpopProofInvalid("the proof is by another key"));
    }
    check_nonce(service, inbound, demand.application, &proof).await?;
    use_up(service, demand.bucket, &proof).await?;
    Ok(proof.jkt)
}

/// Lets the answer carry the nonce for the next proof.
pub async fn offer_nonce(service: &Service, inbound: &Inbound) -> Result<()> {
    let key = service.keys.routing().await?;
    inbound.notes.set("dpop-nonce", nonce::issue(key, inbound.now));
    Ok(())
}

/// A nonce that is there has to be good, whether it was asked for or not. T-15.
async fn check_nonce(
    service: &Service,
    inbound: &Inbound,
    application: Option<&KnownApplication>,
    proof: &Proof,
) -> Result<()> {
    let key = service.keys.routing().await?;
    let required = application.is_some_and(|application| application.policy.requires_nonce());
    match &proof.nonce {
        Some(nonce) if nonce::is_good(key, nonce, inbound.now) => Ok(()),
        None if !required => Ok(()),
        Some(_) | None => Err(Error::DpopNonceRequired),
    }
}

/// Uses up the proof; refuses it when somebody was first.
async fn use_up(service: &Service, bucket: Bucket, proof: &Proof) -> Result<()> {
    if first_use(service, bucket, &[proof.jkt.as_bytes(), proof.jti.as_bytes(), proof.htu.as_bytes()]).await? {
        return Ok(());
    }
    tracing::warn!(event = "authn_proof_reuse", "proof of possession presented again");
    Err(Error::DpopProofInvalid("the proof was used before"))
}

/// Marks something that is good once as used, and says whether nobody was first. The mark is of this call, so that a
/// command whose reply was lost may be sent again.
pub async fn first_use(service: &Service, bucket: Bucket, what: &[&[u8]]) -> Result<bool> {
    let key = service.keys.routing().await?;
    let digest = crypto::mac(key, &[&[&b"used proof"[..]], what].concat());
    let mark: [u8; 16] = random::bytes()?;
    let reply = service.state.command(&scripts::use_proof(bucket, &crypto::encode(&digest[..16]), &mark)).await?;
    Ok(scripts::is_first_use(&reply, &mark)?)
}
