//! `GET /audit/verify`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error as LambdaError, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve_within, wait_max};
use shared::clock;
use shared::core::audit_anchor::CHAINS;
use shared::core::time::Timestamp;
use shared::error::{Error, Result};
use shared::limits::{AUDIT_REQUEST_MILLIS_MAX, VERIFY_MILLIS};
use shared::service::verify_audit::{AuditVerifier, Progress, verify_audit};

/// Verifies the audit, as far as one call gets.
pub async fn handle(verifier: &AuditVerifier, request: Request) -> std::result::Result<Response<Body>, LambdaError> {
    let incoming = Incoming::new(request);
    serve_within(AUDIT_REQUEST_MILLIS_MAX, ErrorShape::Problem, &incoming, respond(verifier, &incoming)).await
}

async fn respond(verifier: &AuditVerifier, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&["chain", "cursor"])?;
    let inbound = incoming.inbound()?;
    let chain = chain(incoming)?;
    let progress = match incoming.query("cursor")? {
        None => None,
        Some(text) => {
            let of_chain = |progress: &Progress| chain.is_none_or(|chain| chain == progress.chain());
            let progress = Progress::decode(&text).filter(of_chain);
            Some(progress.ok_or_else(|| Error::field("cursor", "must come from a call with the same chain"))?)
        }
    };
    let millis = wait_max(incoming, AUDIT_REQUEST_MILLIS_MAX).as_millis().min(u128::from(VERIFY_MILLIS));
    let until = Timestamp::from_millis(clock::now().millis() + i64::try_from(millis).unwrap_or(0));
    Ok(json(StatusCode::OK, &Box::pin(verify_audit(verifier, &inbound, chain, progress, until)).await?))
}

fn chain(incoming: &Incoming) -> Result<Option<i16>> {
    let Some(text) = incoming.query("chain")? else { return Ok(None) };
    let number: Option<usize> = text.parse().ok().filter(|number: &usize| number.to_string() == text);
    let chain = number.filter(|number| *number < CHAINS).and_then(|number| i16::try_from(number).ok());
    chain.map(Some).ok_or_else(|| Error::field("chain", format!("must be 0 to {}", CHAINS - 1)))
}
