//! `GET /openapi.json`

use lambda_http::http::Response;
use lambda_http::http::header::{CONTENT_TYPE, HeaderValue};
use lambda_http::{Body, Error, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::error::Result;

/// The OpenAPI 3.1 document; the tests hold real responses against it.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// Serves the document.
pub async fn handle(request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond()).await
}

async fn respond() -> Result<Response<Body>> {
    let mut response = Response::new(Body::from(DOCUMENT));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Ok(response)
}
