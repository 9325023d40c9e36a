//! `GET`, `PATCH` and `DELETE /users/{userId}/devices/{deviceId}`

use lambda_http::http::{Method, Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::fields::Checks;
use shared::adapters::http::request::{Incoming, MERGE_PATCH};
use shared::adapters::http::response::{empty, json};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;
use shared::service::devices::{DeviceChange, change_device, get_device, remove_device};
use shared::service::end::Progress;
use shared::service::runtime::Service;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeviceBody {
    name: Option<String>,
    place: Option<String>,
    trust: Option<String>,
    session_id: Option<String>,
}

/// Shows, changes or removes a device.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, user, device_id) = (incoming.inbound()?, incoming.user_id()?, incoming.device_id()?);
    if incoming.method() == Method::PATCH {
        let change = parse(incoming)?;
        let changed = change_device(service, &inbound, &user, &device_id, change).await?;
        return Ok(changed.map_or_else(|| empty(StatusCode::ACCEPTED), |device| json(StatusCode::OK, &device)));
    }
    if incoming.method() == Method::DELETE {
        return Ok(empty(match remove_device(service, &inbound, &user, &device_id).await? {
            Progress::Done => StatusCode::NO_CONTENT,
            Progress::Accepted => StatusCode::ACCEPTED,
        }));
    }
    Ok(json(StatusCode::OK, &get_device(service, &inbound, &user, &device_id).await?))
}

fn parse(incoming: &Incoming) -> Result<DeviceChange> {
    let body: DeviceBody = incoming.json(MERGE_PATCH)?;
    let mut checks = Checks::default();
    let change = DeviceChange {
        name: checks.short_text("name", body.name),
        place: checks.short_text("place", body.place),
        trust: checks.trust_level("trust", body.trust),
        proving_session: checks.session_id("sessionId", body.session_id),
    };
    checks.done()?;
    if change.name.is_none() && change.place.is_none() && change.trust.is_none() {
        return Err(shared::error::Error::field("body", "must have a name, a place or a trust"));
    }
    Ok(change)
}
