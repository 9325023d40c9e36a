//! Real HTTP before the gateway, for clients that are programs of their own.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue, SET_COOKIE};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::gateway::{Gateway, GatewayRequest};

/// A loopback port that listens. Requests wait until [`HttpFront::serve`] passes them on.
pub struct HttpFront {
    listener: TcpListener,
}

impl HttpFront {
    /// Takes a free port.
    pub async fn bind() -> Self {
        HttpFront { listener: TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port") }
    }

    /// The base URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("a bound address"))
    }

    /// Passes requests to the gateway for as long as the test runs.
    pub fn serve(self, gateway: Arc<Gateway>) {
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                let gateway = Arc::clone(&gateway);
                let service = hyper::service::service_fn(move |request| {
                    let gateway = Arc::clone(&gateway);
                    async move { Ok::<_, Infallible>(pass_on(&gateway, request).await) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
    }
}

async fn pass_on(gateway: &Gateway, request: hyper::Request<Incoming>) -> hyper::Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let header = |name: &HeaderName, value: &HeaderValue| {
        (name.to_string(), value.to_str().expect("headers of the clients are ASCII").to_owned())
    };
    let headers: Vec<_> = head.headers.iter().map(|(name, value)| header(name, value)).collect();
    let agent = headers.iter().find(|(name, _)| name == "user-agent").map(|(_, value)| value.clone());
    let message = GatewayRequest {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: headers.into_iter().filter(|(name, _)| name != "user-agent").collect(),
        body: body.collect().await.expect("a body").to_bytes().to_vec(),
        source_ip: "127.0.0.1".to_owned(),
        user_agent: agent.unwrap_or_default(),
    };
    let response = gateway.send(&message, None, None).await;
    let mut answer = hyper::Response::new(Full::from(response.body));
    *answer.status_mut() = response.status.try_into().expect("a status code");
    for (name, value) in response.headers {
        answer.headers_mut().insert(HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
    }
    for cookie in response.cookies {
        answer.headers_mut().append(SET_COOKIE, cookie.parse().expect("a value"));
    }
    answer
}
