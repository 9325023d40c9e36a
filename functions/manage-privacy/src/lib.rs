//! `GET` and `PUT /users/{userId}/privacy`

use lambda_http::http::header::IF_MATCH;
use lambda_http::http::{Method, Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::request::{Incoming, JSON};
use shared::adapters::http::response::{json, with_etag};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::privacy::Privacy;
use shared::error::Result;
use shared::service::end::Progress;
use shared::service::privacy::{get_privacy, put_privacy};
use shared::service::runtime::Service;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PrivacyBody {
    activity_tracking: bool,
    location: bool,
    fingerprinting: bool,
    sharing: bool,
    legal_hold: Option<bool>,
}

/// Shows or replaces the privacy settings of a user.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&[])?;
    let (inbound, user) = (incoming.inbound()?, incoming.user_id()?);
    if incoming.method() == Method::PUT {
        let expected = match incoming.header(&IF_MATCH)? {
            None => None,
            Some(_) => Some(incoming.if_match()?),
        };
        let body: PrivacyBody = incoming.json(JSON)?;
        let wanted = Privacy::new(body.activity_tracking, body.location, body.fingerprinting, body.sharing);
        let (view, progress) = put_privacy(service, &inbound, &user, wanted, body.legal_hold, expected).await?;
        let status = match progress {
            Progress::Done => StatusCode::OK,
            Progress::Accepted => StatusCode::ACCEPTED,
        };
        return Ok(with_etag(json(status, &view), view.version));
    }
    let view = get_privacy(service, &inbound, &user).await?;
    Ok(with_etag(json(StatusCode::OK, &view), view.version))
}
