//! What OAuth clients need to know of this service (RFC 8414).

use serde::Serialize;

/// How clients authenticate.
const CLIENT_AUTHENTICATION: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// The document behind `/.well-known/oauth-authorization-server`. There is no authorization endpoint: people sign in
/// with the application, and sessions begin at `POST /sessions`.
#[derive(Debug, Serialize)]
pub struct ServerMetadata {
    issuer: String,
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    jwks_uri: String,
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    dpop_signing_alg_values_supported: [&'static str; 1],
}

impl ServerMetadata {
    /// The metadata of the service at a public URL.
    pub fn of(issuer: &str) -> Self {
        let [basic, post] = CLIENT_AUTHENTICATION;
        ServerMetadata {
            issuer: issuer.to_owned(),
            token_endpoint: format!("{issuer}/token"),
            introspection_endpoint: format!("{issuer}/introspect"),
            revocation_endpoint: format!("{issuer}/revoke"),
            jwks_uri: format!("{issuer}/.well-known/jwks.json"),
            response_types_supported: [],
            grant_types_supported: ["refresh_token"],
            token_endpoint_auth_methods_supported: ["none", basic, post],
            introspection_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            dpop_signing_alg_values_supported: ["ES256"],
        }
    }
}
