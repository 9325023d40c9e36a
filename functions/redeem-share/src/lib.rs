//! `POST /sessions/redeem`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::fields::{Checks, ClientBody};
use shared::adapters::http::request::{Incoming, JSON};
use shared::adapters::http::response::{json, with_etag, with_location};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;
use shared::service::redeem::redeem_share;
use shared::service::runtime::Service;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RedeemBody {
    code: String,
    client: Option<ClientBody>,
}

/// Redeems a code that shares a session.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let inbound = incoming.inbound()?;
    let body: RedeemBody = incoming.json(JSON)?;
    let mut checks = Checks::default();
    let client = checks.client(body.client);
    checks.done()?;
    let redeemed = redeem_share(service, &inbound, &body.code, client).await?;
    let location = format!("/sessions/{}", redeemed.session.session_id());
    let version = redeemed.session.version();
    Ok(with_etag(with_location(json(StatusCode::CREATED, &redeemed), &location), version))
}
