//! The loop of a function behind API Gateway.

use lambda_http::http::Response;
use lambda_http::{Body, Error, Request, service_fn};

/// Answers requests until the environment ends. A handler's future is kilobytes; the layers of the runtime get a pointer to it.
///
/// # Errors
/// When the runtime's own API is away.
pub async fn run<H, W>(handler: H) -> Result<(), Error>
where
    H: Fn(Request) -> W,
    W: Future<Output = Result<Response<Body>, Error>> + Send,
{
    lambda_http::run(service_fn(|request| Box::pin(handler(request)))).await
}
