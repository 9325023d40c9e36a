//! `DELETE /sessions/{sessionId}`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::empty;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;
use shared::service::end::{Progress, end_session};
use shared::service::runtime::Service;

/// Ends a session: 204, or 202 while Redis is away.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let inbound = incoming.inbound()?;
    let progress = end_session(service, &inbound, incoming.session_id()?).await?;
    Ok(empty(match progress {
        Progress::Done => StatusCode::NO_CONTENT,
        Progress::Accepted => StatusCode::ACCEPTED,
    }))
}
