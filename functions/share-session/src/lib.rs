//! `POST /sessions/{sessionId}/share` and `DELETE /sessions/{sessionId}/share`

use lambda_http::http::{Method, Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::fields::Checks;
use shared::adapters::http::request::{Incoming, JSON};
use shared::adapters::http::response::{empty, json};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::family::{SHAREABLE, SharedScopes};
use shared::core::id::ApplicationId;
use shared::error::{Error as ServiceError, Result};
use shared::service::end::Progress;
use shared::service::runtime::Service;
use shared::service::share::{ShareSession, share_session, withdraw_share};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ShareBody {
    application_id: String,
    scopes: Option<Vec<String>>,
}

/// Shares a session with a related application, or withdraws the share.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    if incoming.method() == Method::DELETE {
        return withdraw(service, incoming).await;
    }
    incoming.only_query(&[])?;
    let inbound = incoming.inbound()?;
    let request = parse(incoming)?;
    let shared = share_session(service, &inbound, incoming.session_id()?, request).await?;
    Ok(json(StatusCode::CREATED, &shared))
}

async fn withdraw(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&["applicationId"])?;
    let inbound = incoming.inbound()?;
    let application_id = incoming.query("applicationId")?.as_deref().and_then(ApplicationId::parse);
    let application_id = application_id.ok_or_else(|| ServiceError::field("applicationId", GRAMMAR))?;
    Ok(empty(match withdraw_share(service, &inbound, incoming.session_id()?, &application_id).await? {
        Progress::Done => StatusCode::NO_CONTENT,
        Progress::Accepted => StatusCode::ACCEPTED,
    }))
}

const GRAMMAR: &str = "must be an application id";

fn parse(incoming: &Incoming) -> Result<ShareSession> {
    let body: ShareBody = incoming.json(JSON)?;
    let mut checks = Checks::default();
    let application_id = ApplicationId::parse(&body.application_id);
    if application_id.is_none() {
        checks.refuse("applicationId", GRAMMAR);
    }
    let mut scopes = SharedScopes::all();
    if let Some(words) = body.scopes {
        let known = |word: &String| SHAREABLE.into_iter().find(|scope| scope.as_str() == word);
        if words.is_empty() || words.len() > SHAREABLE.len() || words.iter().any(|word| known(word).is_none()) {
            checks.refuse("scopes", format!("must name some of {}", SHAREABLE.map(|scope| scope.as_str()).join(", ")));
        }
        scopes = SharedScopes::of(words.iter().filter_map(known));
    }
    checks.done()?;
    let application_id = application_id.ok_or_else(|| ServiceError::field("applicationId", GRAMMAR))?;
    Ok(ShareSession { application_id, scopes })
}
