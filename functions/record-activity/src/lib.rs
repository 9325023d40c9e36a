//! `POST /sessions/{sessionId}/activity`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::{Deserialize, Serialize};
use shared::adapters::http::request::{Incoming, JSON};
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::activity::Activity;
use shared::core::json::{FieldError, StrictObject};
use shared::core::time::Timestamp;
use shared::error::{Error as Refusal, Result};
use shared::limits::ACTIVITIES_MAX;
use shared::service::activity::record_activity;
use shared::service::runtime::Service;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityBody {
    activities: Vec<OneActivity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneActivity {
    name: String,
    at: Option<String>,
    properties: Option<StrictObject>,
}

#[derive(Serialize)]
struct Recorded {
    recorded: usize,
}

/// Records activities of a session: 202, since they are counted within a minute.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, session) = (incoming.inbound()?, incoming.session_id()?);
    let activities = parse(incoming, inbound.now)?;
    let recorded = record_activity(service, &inbound, session, activities).await?;
    Ok(json(StatusCode::ACCEPTED, &Recorded { recorded }))
}

fn parse(incoming: &Incoming, now: Timestamp) -> Result<Vec<Activity>> {
    let body: ActivityBody = incoming.json(JSON)?;
    if !(1..=ACTIVITIES_MAX).contains(&body.activities.len()) {
        return Err(Refusal::field("activities", format!("must be 1 to {ACTIVITIES_MAX}")));
    }
    let (mut activities, mut errors) = (Vec::with_capacity(body.activities.len()), Vec::<FieldError>::new());
    for (place, OneActivity { name, at, properties }) in body.activities.into_iter().enumerate() {
        match Activity::new(place, name, at.as_deref(), properties.map(|object| object.0), now) {
            Ok(activity) => activities.push(activity),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(activities) } else { Err(Refusal::InvalidRequest(errors)) }
}
