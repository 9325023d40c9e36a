//! `GET`, `PUT` and `PATCH /users/{userId}/devices/{deviceId}/data`

use lambda_http::http::{Method, Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::request::{Incoming, JSON, MERGE_PATCH};
use shared::adapters::http::response::{empty, json, with_etag};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::json::StrictObject;
use shared::error::Result;
use shared::service::documents::{Document, change_document, read_document};
use shared::service::runtime::Service;
use shared::service::update::Change;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataBody {
    data: StrictObject,
}

/// Reads or changes the data of a device.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, user) = (incoming.inbound()?, incoming.user_id()?);
    let document = Document::Device(incoming.device_id()?);
    if incoming.method() == Method::GET {
        let found = read_document(service, &inbound, &user, &document).await?;
        return Ok(match incoming.has_version(found.version)? {
            true => with_etag(empty(StatusCode::NOT_MODIFIED), found.version),
            false => with_etag(json(StatusCode::OK, &found), found.version),
        });
    }
    let expected = incoming.if_match()?;
    let change = match *incoming.method() == Method::PATCH {
        true => Change::Merge(incoming.json::<DataBody>(MERGE_PATCH)?.data.0),
        false => Change::Replace(incoming.json::<DataBody>(JSON)?.data.0),
    };
    let changed = change_document(service, &inbound, &user, &document, expected, change).await?;
    Ok(with_etag(json(StatusCode::OK, &changed), changed.version))
}
