//! The HTTP client of the AWS SDK: HTTP/1.1 over ring and Amazon's own roots.
//!
//! The client that the SDK brings along speaks HTTP/2 as well and can read the certificates of the system. AWS answers
//! these services in HTTP/1.1 and the roots are compiled in, so both would only make every function larger; what is left
//! is the client that the Lambda runtime carries in any case.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::TrustAnchor;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// A client of the given connect timeout. How long an attempt may take is the SDK's to watch: it drops the request.
///
/// # Errors
/// When the provider lacks a protocol version, which ring does not.
pub fn client(connect_timeout: Duration) -> Result<SharedHttpClient, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(amazon_roots())
        .with_no_client_auth();
    let mut tcp = TcpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    // Plain HTTP is for an endpoint that the environment states; AWS' own are all HTTPS.
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    let pool = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    Ok(SharedHttpClient::new(Https { pool }))
}

/// How the subjects of Amazon's own roots end: with their common name.
const AMAZON_ROOTS: [&str; 5] = [
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
];

/// Amazon's own roots out of the compiled-in Mozilla list: five anchors instead of a hundred and forty, and no file to
/// read. An anchor needs no parsing, which a certificate would at every start.
fn amazon_roots() -> RootCertStore {
    let amazons = |anchor: &&TrustAnchor<'_>| AMAZON_ROOTS.iter().any(|name| anchor.subject.ends_with(name.as_bytes()));
    webpki_roots::TLS_SERVER_ROOTS.iter().filter(amazons).cloned().collect()
}

#[derive(Debug, Clone)]
struct Https {
    pool: Client<HttpsConnector<TcpConnector>, SdkBody>,
}

impl HttpClient for Https {
    /// The settings are those of [`client`] for every operation, so there is one connector and one pool.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Https {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let pool = self.pool.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = pool.request(request).await.map_err(failure)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What broke on the way may be tried again; a request that can not be sent may not.
fn failure(error: Error) -> ConnectorError {
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user) {
            return ConnectorError::user(error.into());
        }
        cause = inner.source();
    }
    ConnectorError::io(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_amazon_root_is_trusted_and_no_other() {
        let roots = amazon_roots().roots;
        let amazons = |text: &str| text.contains("Amazon Root CA") || text.contains("Starfield Services Root");
        let listed = webpki_roots::TLS_SERVER_ROOTS.iter();
        let listed = listed.filter(|anchor| amazons(&String::from_utf8_lossy(&anchor.subject)));
        assert_eq!(roots, listed.cloned().collect::<Vec<_>>());
        assert_eq!(roots.len(), AMAZON_ROOTS.len());
    }
}
