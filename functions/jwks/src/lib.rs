//! `GET /.well-known/jwks.json`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Serialize;
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::{cacheable, json};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::access_token::VerifyingKey;
use shared::error::Result;
use shared::service::key_store::KeyStore;

/// How long verifiers may keep the keys; a new key is published a day before its first use.
const CACHE_SECONDS: u32 = 300;

#[derive(Serialize)]
struct KeySet<'a> {
    keys: &'a [VerifyingKey],
}

/// Publishes the public keys of access tokens (RFC 7517).
pub async fn handle(keys: &KeyStore, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(keys)).await
}

async fn respond(keys: &KeyStore) -> Result<Response<Body>> {
    let keys = keys.verifying_keys().await?;
    Ok(cacheable(json(StatusCode::OK, &KeySet { keys: &keys }), CACHE_SECONDS))
}
