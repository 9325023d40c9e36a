//! `POST /sessions/{sessionId}/lock`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::fields::Checks;
use shared::adapters::http::request::{Incoming, JSON};
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::lock::LockToken;
use shared::error::Result;
use shared::limits::{LOCK_SECONDS_DEFAULT, LOCK_SECONDS_MAX};
use shared::service::lock::{LockRequest, lock_session};
use shared::service::runtime::Service;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LockBody {
    ttl_seconds: Option<u64>,
    lock_token: Option<String>,
}

/// Locks a session's data: 201, or 200 for a renewal.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, request) = (incoming.inbound()?, parse(incoming)?);
    let status = if request.renews.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok(json(status, &lock_session(service, &inbound, request).await?))
}

fn parse(incoming: &Incoming) -> Result<LockRequest> {
    let session = incoming.session_id()?;
    let body: LockBody = incoming.json(JSON)?;
    let mut checks = Checks::default();
    let ttl_seconds = body.ttl_seconds.unwrap_or(LOCK_SECONDS_DEFAULT);
    if !(1..=LOCK_SECONDS_MAX).contains(&ttl_seconds) {
        checks.refuse("ttlSeconds", format!("must be 1 to {LOCK_SECONDS_MAX}"));
    }
    let renews = body.lock_token.as_deref().and_then(LockToken::parse);
    if body.lock_token.is_some() && renews.is_none() {
        checks.refuse("lockToken", "must be a lock token");
    }
    checks.done()?;
    Ok(LockRequest { session, ttl_seconds, renews })
}
