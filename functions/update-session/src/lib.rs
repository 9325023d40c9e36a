//! `PUT /sessions/{sessionId}` and `PATCH /sessions/{sessionId}`

use lambda_http::http::{Method, Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::request::{Incoming, JSON, MERGE_PATCH};
use shared::adapters::http::response::{json, with_etag};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::json::StrictObject;
use shared::error::Result;
use shared::service::runtime::Service;
use shared::service::update::{Change, update_session};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBody {
    data: StrictObject,
}

/// Replaces or patches the data of a session.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, session, expected) = (incoming.inbound()?, incoming.session_id()?, incoming.if_match()?);
    let lock = incoming.session_lock()?;
    let updated = update_session(service, &inbound, session, expected, parse(incoming)?, lock).await?;
    Ok(with_etag(json(StatusCode::OK, &updated), updated.version()))
}

fn parse(incoming: &Incoming) -> Result<Change> {
    if incoming.method() == Method::PATCH {
        Ok(Change::Merge(incoming.json::<UpdateBody>(MERGE_PATCH)?.data.0))
    } else {
        Ok(Change::Replace(incoming.json::<UpdateBody>(JSON)?.data.0))
    }
}
