//! `POST /sessions/{sessionId}/step-up`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::fields::{Checks, ClientBody};
use shared::adapters::http::request::{Incoming, JSON};
use shared::adapters::http::response::{json, with_etag};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::context::ClientContext;
use shared::core::step_up::Assertion;
use shared::core::time::Timestamp;
use shared::error::{Error as ServiceError, Result};
use shared::service::runtime::Service;
use shared::service::step_up::step_up_session;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StepUpBody {
    acr: Option<String>,
    amr: Option<Vec<String>>,
    auth_time: String,
    idle_timeout_seconds: Option<u64>,
    absolute_timeout_seconds: Option<u64>,
    client: Option<ClientBody>,
}

/// Records a re-authentication.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let inbound = incoming.inbound()?;
    let (assertion, client) = parse(incoming, inbound.now)?;
    let stepped = step_up_session(service, &inbound, incoming.session_id()?, &assertion, client.as_ref()).await?;
    Ok(with_etag(json(StatusCode::OK, &stepped), stepped.session.version()))
}

fn parse(incoming: &Incoming, now: Timestamp) -> Result<(Assertion, Option<ClientContext>)> {
    let body: StepUpBody = incoming.json(JSON)?;
    let mut checks = Checks::default();
    let auth_time = checks.auth_time("authTime", Some(&body.auth_time), now);
    let acr = checks.short_text("acr", body.acr);
    let amr = body.amr.map(|amr| checks.methods("amr", amr));
    let client = body.client.map(|client| checks.client(Some(client)));
    checks.done()?;
    let assertion = Assertion {
        acr,
        amr,
        auth_time: auth_time.ok_or_else(|| ServiceError::field("authTime", "is required"))?,
        idle_timeout_seconds: body.idle_timeout_seconds,
        absolute_timeout_seconds: body.absolute_timeout_seconds,
    };
    Ok((assertion, client))
}
