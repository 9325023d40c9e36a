//! `GET /sessions/user/{userId}`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;
use shared::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use shared::service::list::{decode_cursor, list_user_sessions};
use shared::service::runtime::Service;

/// Lists a user's live sessions, newest first.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&["cursor", "limit"])?;
    let inbound = incoming.inbound()?;
    let user = incoming.user_id()?;
    let cursor = incoming.query("cursor")?.map(|text| {
        decode_cursor(&text).ok_or_else(|| shared::error::Error::field("cursor", "must come from a previous page"))
    });
    let page_size = page_size(incoming)?;
    let page = list_user_sessions(service, &inbound, &user, cursor.transpose()?, page_size).await?;
    Ok(json(StatusCode::OK, &page))
}

fn page_size(incoming: &Incoming) -> Result<usize> {
    let Some(text) = incoming.query("limit")? else { return Ok(PAGE_SIZE_DEFAULT) };
    let size = text.parse().ok().filter(|size| (1..=PAGE_SIZE_MAX).contains(size) && size.to_string() == text);
    size.ok_or_else(|| shared::error::Error::field("limit", format!("must be 1 to {PAGE_SIZE_MAX}")))
}
