//! The AWS endpoint of the functions: Lambda's Invoke API before the fleet, everything else passed on to moto.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::InvokeError;
use crate::fleet::Fleet;
use crate::routes::percent_decode;

/// A server for functions that invoke functions. Dropping it closes the port.
pub struct LambdaEndpoint {
    address: SocketAddr,
    fleet: Arc<OnceLock<Weak<Fleet>>>,
    server: JoinHandle<()>,
}

struct Front {
    /// `host:port` of everything that is not Lambda.
    upstream: String,
    fleet: Arc<OnceLock<Weak<Fleet>>>,
}

impl LambdaEndpoint {
    /// Listens on a free port; requests for other services go to `upstream`, `host:port`.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let fleet = Arc::new(OnceLock::new());
        let front = Arc::new(Front { upstream: upstream.to_owned(), fleet: Arc::clone(&fleet) });
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let front = Arc::clone(&front);
                let service = hyper::service::service_fn(move |request| {
                    let front = Arc::clone(&front);
                    async move { Ok::<_, Infallible>(front.serve(request).await) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                connections.spawn(server.serve_connection(TokioIo::new(stream), service));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, fleet, server }
    }

    /// Names the functions that can be invoked. The fleet's own environments know the address of this endpoint, hence
    /// the second step and the weak reference.
    pub fn attach(&self, fleet: &Arc<Fleet>) {
        self.fleet.set(Arc::downgrade(fleet)).unwrap_or_else(|_| panic!("a fleet is attached once"));
    }

    /// `http://host:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for LambdaEndpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Front {
    async fn serve(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let named = path.strip_prefix("/2015-03-31/functions/").and_then(|rest| rest.strip_suffix("/invocations"));
        match named {
            Some(name) => self.invoke(&function_name(name), request).await,
            None => self.forward(request).await.unwrap_or_else(|error| {
                answer(StatusCode::BAD_GATEWAY, json!({ "message": error.to_string() }).to_string())
            }),
        }
    }

    async fn invoke(&self, function: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(fleet) = self.fleet.get().and_then(Weak::upgrade) else {
            return answer(StatusCode::SERVICE_UNAVAILABLE, "{}".to_owned());
        };
        let later = request.headers().get("x-amz-invocation-type").is_some_and(|kind| kind == "Event");
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let event: Value = serde_json::from_slice(&body).unwrap_or_default();
        if later {
            let function = function.to_owned();
            tokio::spawn(async move { fleet.invoke(&function, &event).await });
            return answer(StatusCode::ACCEPTED, String::new());
        }
        match fleet.invoke(function, &event).await {
            Ok(result) => answer(StatusCode::OK, result.to_string()),
            Err(error) => {
                let document = match error {
                    InvokeError::Function(document) | InvokeError::Init(document) => document,
                    other => json!({ "errorType": "Unhandled", "errorMessage": other.to_string() }),
                };
                let mut response = answer(StatusCode::OK, document.to_string());
                let unhandled = "Unhandled".parse().expect("a header value");
                response.headers_mut().insert("x-amz-function-error", unhandled);
                response
            }
        }
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.upstream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        head.headers.insert(HOST, self.upstream.parse()?);
        let body = Full::new(body.collect().await?.to_bytes());
        let (head, body) = sender.send_request(Request::from_parts(head, body)).await?.into_parts();
        Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    }
}

/// A function may be named by its name or its ARN.
fn function_name(given: &str) -> String {
    let decoded = percent_decode(given);
    let name = decoded.starts_with("arn:").then(|| decoded.split(':').nth(6)).flatten();
    name.unwrap_or(&decoded).to_owned()
}

fn answer(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
