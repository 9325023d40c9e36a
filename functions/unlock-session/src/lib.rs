//! `DELETE /sessions/{sessionId}/lock`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::{Incoming, SESSION_LOCK};
use shared::adapters::http::response::empty;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::{Error as Failure, Result};
use shared::service::lock::unlock_session;
use shared::service::runtime::Service;

/// Releases a session's lock for the owner of its token: 204.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, session) = (incoming.inbound()?, incoming.session_id()?);
    let token = incoming.session_lock()?.ok_or_else(|| Failure::field(SESSION_LOCK, "is required"))?;
    unlock_session(service, &inbound, session, token).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
