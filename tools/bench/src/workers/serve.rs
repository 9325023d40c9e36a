//! The handlers of get-session and refresh-session behind plain HTTP in one process, many requests at once: the form in
//! which the service can be compared with a library inside a server.
//!
//! Nothing is left out: the requests take the way of a request from API Gateway, from its headers to the log line.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use integration_tests::request::DEFAULT_SOURCE_IP;
use lambda_http::Body;
use lambda_http::RequestExt;
use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayV2httpRequestContext, ApiGatewayV2httpRequestContextHttpDescription,
};
use lambda_http::request::RequestContext;
use shared::service::runtime::Service;
use tokio::net::TcpListener;

/// Serves on a loopback port until it is killed.
#[tokio::main(flavor = "current_thread")]
pub async fn run(port: u16) {
    shared::telemetry::start();
    let service = Arc::new(super::service().await);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port");
    let numbers = Arc::new(AtomicU64::new(0));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (service, numbers) = (Arc::clone(&service), Arc::clone(&numbers));
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(move |request| {
                let service = Arc::clone(&service);
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                async move { Ok::<_, Infallible>(answer(&service, request, number).await) }
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await;
        });
    }
}

async fn answer(service: &Service, request: Request<Incoming>, number: u64) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let body = body.collect().await.map(|collected| collected.to_bytes()).unwrap_or_default();
    let session = path.split('/').nth(2).unwrap_or_default().to_owned();
    let mut description = ApiGatewayV2httpRequestContextHttpDescription::default();
    description.method = head.method.clone();
    description.path = Some(path.clone());
    description.source_ip = Some(DEFAULT_SOURCE_IP.to_owned());
    let mut context = ApiGatewayV2httpRequestContext::default();
    context.request_id = Some(format!("bench-{number}"));
    context.http = description;
    let body = if body.is_empty() { Body::Empty } else { Body::Text(String::from_utf8_lossy(&body).into_owned()) };
    let refresh = path.ends_with("/refresh");
    let request = lambda_http::Request::from_parts(head, body)
        .with_raw_http_path(path)
        .with_path_parameters(std::collections::HashMap::from([("sessionId".to_owned(), session)]))
        .with_request_context(RequestContext::ApiGatewayV2(context));
    let answered = match refresh {
        true => refresh_session::handle(service, request).await,
        false => get_session::handle(service, request).await,
    };
    let (head, body) = answered.expect("handlers answer every request").into_parts();
    let body = match body {
        Body::Text(text) => Bytes::from(text),
        Body::Binary(bytes) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    Response::from_parts(head, Full::new(body))
}
