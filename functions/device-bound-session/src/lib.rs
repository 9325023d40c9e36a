//! `POST /dbsc/registration` and `POST /dbsc/refresh`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::{json, with_cookie};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::id::SessionId;
use shared::error::{Error as ServiceError, Result};
use shared::service::device_bound::{REGISTRATION_PATH, refresh, register};
use shared::service::runtime::Service;

const PROOF: &str = "secure-session-response";
/// Pages can not send it: its name begins like those that belong to the browser.
const SESSION: &str = "sec-secure-session-id";

/// Binds a session to the key of a browser, or gives its cookie to whoever shows that key.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let inbound = incoming.inbound()?;
    let proof = incoming.item(PROOF)?;
    let answer = if incoming.raw_path() == REGISTRATION_PATH {
        let proof = proof.ok_or(ServiceError::DeviceProofInvalid("no proof"))?;
        register(service, &inbound, proof).await?
    } else {
        let session = incoming.item(SESSION)?.and_then(SessionId::parse);
        refresh(service, &inbound, session.ok_or(ServiceError::DeviceProofInvalid("no session"))?, proof).await?
    };
    let response = json(StatusCode::OK, &answer.configuration);
    Ok(match &answer.cookie {
        Some(cookie) => with_cookie(response, cookie),
        None => response,
    })
}
