//! `POST /sessions/{sessionId}/refresh`, and `POST /token` for standard OAuth clients

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::fields::{Checks, ClientBody};
use shared::adapters::http::form::grant_form;
use shared::adapters::http::request::{Incoming, JSON};
use shared::adapters::http::response::{json, with_etag};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::{Error as ServiceError, Result};
use shared::service::refresh::{RefreshRequest, refresh_session};
use shared::service::runtime::Service;
use shared::service::token::grant;

const TOKEN_ENDPOINT: &str = "/token";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefreshBody {
    refresh_token: String,
    client: Option<ClientBody>,
}

/// Exchanges a refresh token for the next pair.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    if incoming.raw_path() == TOKEN_ENDPOINT {
        return serve(ErrorShape::Token, &incoming, respond_to_client(service, &incoming)).await;
    }
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond_to_client(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let form = grant_form(incoming)?;
    Ok(json(StatusCode::OK, &grant(service, &form.inbound, form.request).await?))
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let inbound = incoming.inbound()?;
    let refreshed = refresh_session(service, &inbound, parse(incoming)?).await?;
    Ok(with_etag(json(StatusCode::OK, &refreshed), refreshed.session.version()))
}

fn parse(incoming: &Incoming) -> Result<RefreshRequest> {
    let body: RefreshBody = incoming.json(JSON)?;
    let mut checks = Checks::default();
    let stated = body.client.map(|client| checks.client(Some(client)));
    checks.done()?;
    Ok(RefreshRequest {
        // A token of this path can not be genuine: the answer is that to any token that belongs elsewhere.
        session: incoming.session_id().map_err(|_| ServiceError::RefreshTokenInvalid)?,
        refresh_token: body.refresh_token,
        stated,
    })
}
