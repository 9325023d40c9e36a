//! `GET /users/{userId}/devices`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;
use shared::service::devices::list_devices;
use shared::service::runtime::Service;

/// Lists the devices of a user.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, user) = (incoming.inbound()?, incoming.user_id()?);
    Ok(json(StatusCode::OK, &list_devices(service, &inbound, &user).await?))
}
