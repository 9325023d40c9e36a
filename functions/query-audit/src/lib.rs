//! `GET /audit/events`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error as LambdaError, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve_within};
use shared::core::audit::EVENT_TYPES;
use shared::core::id::{SessionId, UserId};
use shared::core::time::Timestamp;
use shared::error::{Error, Result};
use shared::limits::{AUDIT_PAGE_DEFAULT, AUDIT_PAGE_MAX, AUDIT_REQUEST_MILLIS_MAX};
use shared::service::query_audit::{AuditReader, Question, query_audit};

/// Reads a page of the caller's audit.
pub async fn handle(reader: &AuditReader, request: Request) -> std::result::Result<Response<Body>, LambdaError> {
    let incoming = Incoming::new(request);
    serve_within(AUDIT_REQUEST_MILLIS_MAX, ErrorShape::Problem, &incoming, respond(reader, &incoming)).await
}

async fn respond(reader: &AuditReader, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&["userId", "sessionId", "type", "from", "to", "limit", "cursor"])?;
    let inbound = incoming.inbound()?;
    let question = question(incoming)?;
    Ok(json(StatusCode::OK, &query_audit(reader, &inbound, question).await?))
}

fn question(incoming: &Incoming) -> Result<Question> {
    let user = incoming.query("userId")?;
    let session = incoming.query("sessionId")?;
    let question = Question {
        user: user.map(|text| UserId::parse(&text).map_err(|detail| Error::field("userId", detail))).transpose()?,
        session: session
            .map(|text| SessionId::parse(&text).ok_or_else(|| Error::field("sessionId", "must be a session id")))
            .transpose()?,
        types: types(incoming)?,
        from: instant(incoming, "from")?,
        to: instant(incoming, "to")?,
        cursor: incoming.query("cursor")?,
        limit: limit(incoming)?,
    };
    match (question.from, question.to) {
        (Some(from), Some(to)) if from >= to => Err(Error::field("to", "must be after from")),
        _ => Ok(question),
    }
}

/// A list of types, separated by commas.
fn types(incoming: &Incoming) -> Result<Vec<String>> {
    let Some(text) = incoming.query("type")? else { return Ok(Vec::new()) };
    let mut types: Vec<String> = text.split(',').map(str::to_owned).collect();
    if !types.iter().all(|kind| EVENT_TYPES.contains(&kind.as_str())) {
        return Err(Error::field("type", "must be event types, separated by commas"));
    }
    types.sort();
    types.dedup();
    Ok(types)
}

fn instant(incoming: &Incoming, name: &'static str) -> Result<Option<Timestamp>> {
    let text = incoming.query(name)?;
    text.map(|text| Timestamp::parse(&text).ok_or_else(|| Error::field(name, "must be an RFC 3339 time"))).transpose()
}

fn limit(incoming: &Incoming) -> Result<usize> {
    let Some(text) = incoming.query("limit")? else { return Ok(AUDIT_PAGE_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=AUDIT_PAGE_MAX).contains(limit) && limit.to_string() == text);
    limit.ok_or_else(|| Error::field("limit", format!("must be 1 to {AUDIT_PAGE_MAX}")))
}
