//! The least that a function behind API Gateway can be: the same runtime, versions and profile as every function of the
//! service, and no work. A package of its own, because features of other dependencies would be compiled into it.

use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::http::{HeaderValue, Response};
use lambda_http::{Body, Error, Request, run, service_fn};

async fn hello(_request: Request) -> Result<Response<Body>, Error> {
    let mut response = Response::new(Body::from(r#"{"message":"hello"}"#));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(hello)).await
}
