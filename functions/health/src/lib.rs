//! `GET /health`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::json;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;

/// Says that requests reach functions; dependencies have alarms of their own, and outsiders learn nothing of them.
pub async fn handle(request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond()).await
}

async fn respond() -> Result<Response<Body>> {
    Ok(json(StatusCode::OK, &serde_json::json!({ "status": "ok" })))
}
