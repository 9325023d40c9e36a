//! `POST /introspect`, RFC 7662

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::form::token_form;
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;
use shared::service::introspect::introspect;
use shared::service::runtime::Service;

/// Says what a token is worth.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::OAuth, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let form = token_form(incoming)?;
    let client = form.client()?;
    let answer = introspect(service, &form.inbound, &form.token, client.as_ref()).await?;
    Ok(json(StatusCode::OK, &answer))
}
