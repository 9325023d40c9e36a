//! Requests to receivers: HTTPS to public addresses, one connection each, no redirects, no proxies.
//!
//! Only `deliver-events` uses it, so no other function carries it. A client library that resolves names by itself could
//! be led to a private address by a name that changes; here the addresses are judged and then connected to.

use crate::core::receiver_url::{Target, is_public};
use crate::limits::{DELIVERY_ANSWER_BYTES_MAX, DELIVERY_ATTEMPT_MILLIS};
use futures_util::future::{Either, select};
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Who sends, for the receiver's log.
const AGENT: &str = "session-service";

/// Sends requests.
#[derive(Clone)]
pub struct Outbound {
    tls: Arc<ClientConfig>,
    allow_loopback: bool,
}

/// One request.
pub struct Message {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(HeaderName, String)>,
    /// The body.
    pub body: String,
}

/// Why there is no answer; words for the log, without names or addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name does not resolve.
    #[error("its name does not resolve")]
    Unresolved,
    /// The name stands for no public address.
    #[error("its name stands for no public address")]
    Private,
    /// No connection.
    #[error("no connection")]
    Unreachable,
    /// No TLS: certificate, name or protocol.
    #[error("its certificate or TLS was not accepted")]
    Untrusted,
    /// The connection broke or what came was not HTTP.
    #[error("no HTTP answer")]
    Broken,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The request can not be written.
    #[error("not a valid request")]
    Invalid,
}

impl Outbound {
    /// `roots` are the authorities to trust.
    ///
    /// # Errors
    /// When the provider lacks a protocol version, which ring does not.
    pub fn new(roots: RootCertStore, allow_loopback: bool) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        Ok(Outbound { tls, allow_loopback })
    }

    /// The compiled-in roots of the public web.
    pub fn public_roots() -> RootCertStore {
        webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
    }

    /// Posts a message and returns the status of the answer. The answer's body is not read.
    ///
    /// # Errors
    /// When there is no answer within [`DELIVERY_ATTEMPT_MILLIS`].
    pub async fn post(&self, target: &Target, message: Message) -> Result<u16, Failure> {
        let limit = Duration::from_millis(DELIVERY_ATTEMPT_MILLIS);
        timeout(limit, self.exchange(target, message)).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn exchange(&self, target: &Target, message: Message) -> Result<u16, Failure> {
        let request = request(target, message).ok_or(Failure::Invalid)?;
        let stream = self.connect(target).await?;
        if !target.secure {
            return send(stream, request).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|_| Failure::Untrusted)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await;
        send(stream.map_err(|_| Failure::Untrusted)?, request).await
    }

    async fn connect(&self, target: &Target) -> Result<TcpStream, Failure> {
        let addresses = lookup_host((target.host.as_str(), target.port)).await.map_err(|_| Failure::Unresolved)?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        if addresses.is_empty() {
            return Err(Failure::Unresolved);
        }
        // One private address among public ones is a trap or a mistake; either way nothing is sent.
        if !addresses.iter().all(|address| self.may_reach(address)) {
            return Err(Failure::Private);
        }
        for address in addresses {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Ok(stream);
            }
        }
        Err(Failure::Unreachable)
    }

    fn may_reach(&self, address: &SocketAddr) -> bool {
        is_public(address.ip()) || (self.allow_loopback && address.ip().is_loopback())
    }
}

fn request(target: &Target, message: Message) -> Option<http::Request<Full<Bytes>>> {
    let mut request = http::Request::post(&target.path)
        .header(HOST, target.host_header())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, message.content_type);
    for (name, value) in message.headers {
        request = request.header(name, HeaderValue::from_str(&value).ok()?);
    }
    request.body(Full::new(Bytes::from(message.body))).ok()
}

async fn send<S>(stream: S, request: http::Request<Full<Bytes>>) -> Result<u16, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    let builder = builder.max_buf_size(DELIVERY_ANSWER_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Broken)?;
    let exchange = pin!(sender.send_request(request));
    let connection = pin!(connection);
    // The connection runs as long as the exchange and not a moment longer: nothing is spawned.
    let answer = match select(exchange, connection).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, exchange)) => exchange.await,
    };
    answer.map(|answer| answer.status().as_u16()).map_err(|_| Failure::Broken)
}
