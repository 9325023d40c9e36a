//! `GET /sessions/{sessionId}`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::{json, with_etag};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;
use shared::service::get::get_session;
use shared::service::runtime::Service;

/// Reads a session and slides its idle timeout.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let session = get_session(service, &incoming.inbound()?, incoming.session_id()?).await?;
    Ok(with_etag(json(StatusCode::OK, &session), session.version()))
}
