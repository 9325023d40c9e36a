//! `GET` and `PATCH /users/{userId}/state`

use lambda_http::http::{Method, Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::request::{Incoming, MERGE_PATCH};
use shared::adapters::http::response::{empty, json, with_etag};
use shared::adapters::http::serve::{ErrorShape, serve_within, wait_max};
use shared::core::json::StrictObject;
use shared::error::Result;
use shared::limits::{LONG_POLL_REQUEST_MILLIS_MAX, LONG_POLL_SECONDS_MAX};
use shared::service::documents::{Document, Polled, change_document, poll_state, read_document};
use shared::service::runtime::Service;
use shared::service::update::Change;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataBody {
    data: StrictObject,
}

/// Reads, awaits or changes the state of a user.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    let work = respond(service, &incoming);
    serve_within(LONG_POLL_REQUEST_MILLIS_MAX, ErrorShape::Problem, &incoming, work).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    let (inbound, user) = (incoming.inbound()?, incoming.user_id()?);
    if incoming.method() == Method::PATCH {
        incoming.only_query(&[])?;
        let expected = incoming.if_match()?;
        let change = Change::Merge(incoming.json::<DataBody>(MERGE_PATCH)?.data.0);
        let changed = change_document(service, &inbound, &user, &Document::State, expected, change).await?;
        return Ok(with_etag(json(StatusCode::OK, &changed), changed.version));
    }
    incoming.only_query(&["after", "wait"])?;
    let unchanged = |version| with_etag(empty(StatusCode::NOT_MODIFIED), version);
    let found = match poll(incoming)? {
        Some((after, wait)) => match poll_state(service, &inbound, &user, after, wait).await? {
            Polled::Newer(found) => found,
            Polled::Unchanged(version) => return Ok(unchanged(version)),
        },
        None => read_document(service, &inbound, &user, &Document::State).await?,
    };
    Ok(match incoming.has_version(found.version)? {
        true => unchanged(found.version),
        false => with_etag(json(StatusCode::OK, &found), found.version),
    })
}

/// The version to wait beyond, and for how long.
fn poll(incoming: &Incoming) -> Result<Option<(u32, Duration)>> {
    let after = number(incoming, "after", 0, u64::from(u32::MAX))?;
    let wait = number(incoming, "wait", 1, LONG_POLL_SECONDS_MAX)?;
    match (after.map(u32::try_from), wait) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(shared::error::Error::field("wait", "goes with after")),
        (Some(Ok(after)), wait) => {
            let wait = Duration::from_secs(wait.unwrap_or(0));
            Ok(Some((after, wait.min(wait_max(incoming, LONG_POLL_REQUEST_MILLIS_MAX)))))
        }
        (Some(Err(_)), _) => Err(shared::error::Error::field("after", "must be a version")),
    }
}

fn number(incoming: &Incoming, name: &str, min: u64, max: u64) -> Result<Option<u64>> {
    let Some(text) = incoming.query(name)? else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (min..=max).contains(number) && number.to_string() == text);
    number.map(Some).ok_or_else(|| shared::error::Error::field(name, format!("must be {min} to {max}")))
}
