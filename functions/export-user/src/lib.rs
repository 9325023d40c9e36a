//! `GET /users/{userId}/export`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve_within};
use shared::core::export::Cursor;
use shared::error::Result;
use shared::limits::WHOLE_PERSON_REQUEST_MILLIS_MAX;
use shared::service::erase::Archive;
use shared::service::export::export_user;
use shared::service::runtime::Service;

/// A page of what is held on a user.
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
    incoming.only_query(&["cursor"])?;
    let (inbound, user) = (incoming.inbound()?, incoming.user_id()?);
    let cursor = match incoming.query("cursor")? {
        None => None,
        Some(text) => Some(
            Cursor::parse(&text)
                .ok_or_else(|| shared::error::Error::field("cursor", "must be one that was given out"))?,
        ),
    };
    Ok(json(StatusCode::OK, &export_user(service, archive, &inbound, &user, cursor).await?))
}
