//! `POST /sessions`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Deserialize;
use shared::adapters::http::fields::{Checks, ClientBody};
use shared::adapters::http::request::{Incoming, JSON};
use shared::adapters::http::response::{json, with_etag, with_location};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::crypto;
use shared::core::id::UserId;
use shared::core::json::StrictObject;
use shared::core::public_key::is_thumbprint;
use shared::core::time::Timestamp;
use shared::error::Result;
use shared::limits::{BODY_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, LEGACY_SESSION_BYTES_MAX};
use shared::service::create::{CreateSession, DeviceInput, Once, create_session};
use shared::service::runtime::Service;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateBody {
    user_id: String,
    device: Option<DeviceBody>,
    client: Option<ClientBody>,
    data: Option<StrictObject>,
    idle_timeout_seconds: Option<u64>,
    absolute_timeout_seconds: Option<u64>,
    acr: Option<String>,
    amr: Option<Vec<String>>,
    auth_time: Option<String>,
    dpop_jkt: Option<String>,
    legacy_session: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeviceBody {
    device_id: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    device_type: Option<String>,
    place: Option<String>,
}

/// Creates a session.
pub async fn handle(service: &Service, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(service, &incoming)).await
}

async fn respond(service: &Service, incoming: &Incoming) -> Result<Response<Body>> {
    let inbound = incoming.inbound()?;
    let command = parse(incoming, inbound.now)?;
    let created = create_session(service, &inbound, command).await?;
    let location = format!("/sessions/{}", created.session.session_id());
    let version = created.session.version();
    Ok(with_etag(with_location(json(StatusCode::CREATED, &created), &location), version))
}

fn parse(incoming: &Incoming, now: Timestamp) -> Result<CreateSession> {
    incoming.only_query(&[])?;
    let body: CreateBody = incoming.json(JSON)?;
    let mut checks = Checks::default();
    let user_id = UserId::parse(&body.user_id).map_err(|detail| checks.refuse("userId", detail)).ok();
    let device = body.device.unwrap_or_default();
    let device = DeviceInput {
        device_id: checks.short_text("device.deviceId", device.device_id),
        name: checks.short_text("device.name", device.name),
        device_type: checks.device_type("device.type", device.device_type),
        place: checks.short_text("device.place", device.place),
    };
    let client = checks.client(body.client);
    let amr = checks.methods("amr", body.amr.unwrap_or_default());
    let auth_time = checks.auth_time("authTime", body.auth_time.as_deref(), now);
    if body.dpop_jkt.as_deref().is_some_and(|jkt| !is_thumbprint(jkt)) {
        checks.refuse("dpopJkt", "must be the RFC 7638 thumbprint of a key: 43 characters of base64url");
    }
    let acr = checks.short_text("acr", body.acr);
    let idempotency_key = checks.text(
        "Idempotency-Key",
        incoming.header("idempotency-key")?.map(str::to_owned),
        IDEMPOTENCY_KEY_BYTES_MAX,
    );
    let legacy_session = checks.visible("legacySession", body.legacy_session, LEGACY_SESSION_BYTES_MAX);
    if idempotency_key.is_some() && legacy_session.is_some() {
        checks.refuse("legacySession", "takes the place of an Idempotency-Key; send one of them");
    }
    checks.done()?;
    let once = match (idempotency_key, legacy_session) {
        (_, Some(id)) => Some(Once::LegacySession(id)),
        (Some(key), None) => Some(Once::IdempotencyKey(key, crypto::sha256(incoming.body(JSON, BODY_BYTES_MAX)?))),
        (None, None) => None,
    };
    Ok(CreateSession {
        user_id: user_id.ok_or_else(|| shared::error::Error::field("userId", "is required"))?,
        device,
        client,
        data: body.data.map(|data| data.0).unwrap_or_default(),
        idle_timeout_seconds: body.idle_timeout_seconds,
        absolute_timeout_seconds: body.absolute_timeout_seconds,
        acr,
        amr,
        auth_time,
        dpop_jkt: body.dpop_jkt,
        once,
    })
}
