//! `DELETE /users/{userId}`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve_within, wait_max};
use shared::clock;
use shared::error::Result;
use shared::limits::WHOLE_PERSON_REQUEST_MILLIS_MAX;
use shared::service::erase::{Archive, erase_user};
use shared::service::runtime::Service;

/// Erases a user, or goes on with that.
pub async fn handle(
    service: &Service,
    archive: &Archive,
    request: Request,
) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    let work = respond(service, archive, &incoming);
    serve_within(WHOLE_PERSON_REQUEST_MILLIS_MAX, ErrorShape::Problem, &incoming, work).await
}

async fn respond(service: &Service, archive: &Archive, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, user) = (incoming.inbound()?, incoming.user_id()?);
    let until = clock::now().plus_seconds(wait_max(incoming, WHOLE_PERSON_REQUEST_MILLIS_MAX).as_secs());
    let erasure = erase_user(service, archive, &inbound, &user, until).await?;
    Ok(json(if erasure.is_complete() { StatusCode::OK } else { StatusCode::ACCEPTED }, &erasure))
}
