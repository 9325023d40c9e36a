//! `DELETE /sessions/user/{userId}`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::empty;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::id::SessionId;
use shared::error::Result;
use shared::limits::SHORT_TEXT_BYTES_MAX;
use shared::service::end::Progress;
use shared::service::end_user::{Which, end_user_sessions};
use shared::service::runtime::Service;

/// Ends all sessions of a user, all but one, or those of a device.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&["except", "deviceId"])?;
    let inbound = incoming.inbound()?;
    let (user, which) = (incoming.user_id()?, which(incoming)?);
    let progress = end_user_sessions(service, &inbound, &user, which).await?;
    Ok(empty(match progress {
        Progress::Done => StatusCode::NO_CONTENT,
        Progress::Accepted => StatusCode::ACCEPTED,
    }))
}

fn which(incoming: &Incoming) -> Result<Which> {
    match (incoming.query("except")?, incoming.query("deviceId")?) {
        (None, None) => Ok(Which::All),
        (Some(_), Some(_)) => Err(shared::error::Error::field("deviceId", "does not go with except")),
        (Some(session), None) => SessionId::parse(&session)
            .map(Which::Except)
            .ok_or_else(|| shared::error::Error::field("except", "must be a session id")),
        (None, Some(device)) if (1..=SHORT_TEXT_BYTES_MAX).contains(&device.len()) => Ok(Which::Device(device)),
        (None, Some(_)) => {
            Err(shared::error::Error::field("deviceId", format!("must be 1 to {SHORT_TEXT_BYTES_MAX} bytes long")))
        }
    }
}
