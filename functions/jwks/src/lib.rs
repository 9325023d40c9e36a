//! `GET /.well-known/jwks.json` and `GET /.well-known/oauth-authorization-server`

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request};
use serde::Serialize;
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::{cacheable, json};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::access_token::VerifyingKey;
use shared::core::server_metadata::ServerMetadata;
use shared::error::Result;
use shared::service::key_store::KeyStore;

/// How long both documents may be kept; a new key is published a day before its first use.
const CACHE_SECONDS: u32 = 300;
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// What this function publishes.
pub struct Published {
    /// The public keys.
    pub keys: KeyStore,
    /// The issuer of tokens.
    pub issuer: String,
}

#[derive(Serialize)]
struct KeySet<'a> {
    keys: &'a [VerifyingKey],
}

/// Publishes the public keys of access tokens (RFC 7517) and what OAuth clients need to know (RFC 8414).
pub async fn handle(published: &Published, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    if incoming.raw_path() == METADATA {
        let metadata = json(StatusCode::OK, &ServerMetadata::of(&published.issuer));
        return serve(ErrorShape::Problem, &incoming, async { Ok(cacheable(metadata, CACHE_SECONDS)) }).await;
    }
    serve(ErrorShape::Problem, &incoming, respond(&published.keys)).await
}

async fn respond(keys: &KeyStore) -> Result<Response<Body>> {
    let keys = keys.verifying_keys().await?;
    Ok(cacheable(json(StatusCode::OK, &KeySet { keys: &keys }), CACHE_SECONDS))
}
