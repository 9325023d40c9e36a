//! What surrounds every handler: deadline, panic net, error table, measurement, headers, one log line.

use super::problem::{oauth_problem, problem, row, token_problem};
use super::request::Incoming;
use super::response::complete;
use crate::clock;
use crate::core::analytics::operation::operation;
use crate::core::metrics::{Ending, Field, Invocation, Kind, Measure};
use crate::core::refusal::Denial;
use crate::core::time::Timestamp;
use crate::error::{Dependency, Error, Result};
use crate::limits::{DEADLINE_RESERVE_MILLIS, LONG_POLL_RESERVE_MILLIS, REQUEST_MILLIS_MAX};
use crate::service::inbound::Notes;
use crate::service::performance;
use crate::service::refusals::{self, Refusal};
use crate::telemetry;
use futures_util::FutureExt;
use lambda_http::Body;
use lambda_http::http::Response;
use lambda_http::http::header::HeaderValue;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// How errors are shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorShape {
    /// RFC 9457.
    Problem,
    /// RFC 6749 §5.2, at introspection and revocation.
    OAuth,
    /// RFC 6749 §5.2 at the token endpoint, where the token in question is the grant.
    Token,
}

/// Runs a handler's work. The answer is always a response: an `Err` would surface as the gateway's own opaque 5xx.
pub async fn serve(
    shape: ErrorShape,
    incoming: &Incoming,
    work: impl Future<Output = Result<Response<Body>>>,
) -> std::result::Result<Response<Body>, lambda_http::Error> {
    serve_within(REQUEST_MILLIS_MAX, shape, incoming, work).await
}

/// [`serve`] for work that may take `millis_max`, if the function's deadline leaves it as much.
pub async fn serve_within(
    millis_max: u64,
    shape: ErrorShape,
    incoming: &Incoming,
    work: impl Future<Output = Result<Response<Body>>>,
) -> std::result::Result<Response<Body>, lambda_http::Error> {
    let (started, measured) = (clock::now(), Instant::now());
    let budget = Duration::from_millis(budget_millis(started.millis(), incoming.deadline_millis(), millis_max));
    // Boxed: a handler's future is kilobytes, and every layer around it would move them.
    let guarded = AssertUnwindSafe(tokio::time::timeout(budget, Box::pin(work))).catch_unwind();
    let outcome = match guarded.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Error::unavailable(Dependency::Redis, "no time left")),
        Err(_) => Err(Error::Internal("a handler panicked".into())),
    };
    let operation = operation(incoming.method().as_str(), incoming.raw_path());
    let mut untold = 0;
    let mut response = match outcome {
        Ok(response) => response,
        Err(error) => {
            log_error(&error, &incoming.request_id);
            let left = budget.saturating_sub(measured.elapsed());
            untold = u64::from(!tell(&error, operation.unwrap_or_default(), incoming, left).await);
            match shape {
                ErrorShape::Problem => problem(&error),
                ErrorShape::OAuth => oauth_problem(&error),
                ErrorShape::Token => token_problem(&error),
            }
        }
    };
    if let Some(operation) = operation {
        let millis = measured.elapsed().as_secs_f64() * 1000.0;
        let status = response.status().as_u16();
        performance::observe(operation, &incoming.notes.known().application, status, millis).await;
    }
    note(&mut response, &incoming.notes);
    complete(&mut response, &incoming.request_id);
    report(incoming, response.status().as_u16(), started, untold);
    Ok(response)
}

/// Tells the audit when an error denies something to the caller. Returns whether it knows what it has to. What becomes of that
/// changes nothing in the answer.
async fn tell(error: &Error, operation: &'static str, incoming: &Incoming, within: Duration) -> bool {
    let row = row(error);
    if row.denial == Denial::Nothing {
        return true;
    }
    let quota = match error {
        Error::RateLimited { quota, .. } => Some(*quota),
        _ => None,
    };
    let refusal = Refusal {
        denial: row.denial,
        code: row.code,
        quota,
        operation,
        notes: &incoming.notes,
        address: incoming.client().address,
        session: incoming.session_id().ok(),
        request_id: &incoming.request_id,
    };
    refusals::tell(&refusal, within).await
}

/// The line of the request, which is its metrics as well.
fn report(incoming: &Incoming, status: u16, started: Timestamp, untold: u64) {
    let invocation = Invocation {
        kind: Kind::Request,
        ending: Ending::of_status(status),
        millis: clock::now().millis_since(started),
        cold: telemetry::cold_start(),
    };
    let fields = [
        ("request_id", Field::Text(&incoming.request_id)),
        ("method", Field::Text(incoming.method().as_str())),
        ("status", Field::Number(status)),
    ];
    let untold = Some(Measure::count("RefusalsUntold", untold)).filter(|_| untold > 0);
    telemetry::invocation(&invocation, untold.as_slice(), &fields);
}

/// What operations wanted the answer to carry.
fn note(response: &mut Response<Body>, notes: &Notes) {
    for (name, value) in notes.all() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}

fn log_error(error: &Error, request_id: &str) {
    match error {
        Error::Internal(_) => tracing::error!(request_id, %error, "failed"),
        Error::Unavailable { .. } => tracing::warn!(request_id, %error, "dependency away"),
        // Field errors may quote names that callers made up; the code is enough.
        Error::InvalidRequest(errors) => tracing::info!(request_id, count = errors.len(), "invalid request"),
        _ => tracing::info!(request_id, %error, "refused"),
    }
}

/// The longest that a request may wait for something to happen: what [`serve_within`] leaves it, less what it takes to
/// answer after that.
pub fn wait_max(incoming: &Incoming, millis_max: u64) -> Duration {
    let left = budget_millis(clock::now().millis(), incoming.deadline_millis(), millis_max);
    Duration::from_millis(left.saturating_sub(LONG_POLL_RESERVE_MILLIS))
}

/// What is left to work in: the function's deadline less what it takes to answer, at most `millis_max`. A deadline
/// that is already over when work begins is not believed (local emulators send one from 1970).
fn budget_millis(now_millis: i64, deadline_millis: Option<u64>, millis_max: u64) -> u64 {
    let now = u64::try_from(now_millis).unwrap_or(0);
    match deadline_millis {
        Some(deadline) if deadline > now => (deadline - now).saturating_sub(DEADLINE_RESERVE_MILLIS).min(millis_max),
        Some(_) | None => millis_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LONG_POLL_REQUEST_MILLIS_MAX;

    #[test]
    fn the_budget_keeps_time_to_answer() {
        let budget = |deadline| budget_millis(1_000_000, deadline, REQUEST_MILLIS_MAX);
        assert_eq!(budget(Some(1_003_000)), 2700);
        assert_eq!(budget(Some(1_000_100)), 0);
        assert_eq!(budget(Some(1_060_000)), REQUEST_MILLIS_MAX);
        assert_eq!(budget(Some(600_000)), REQUEST_MILLIS_MAX);
        assert_eq!(budget(None), REQUEST_MILLIS_MAX);
        assert_eq!(budget_millis(1_000_000, Some(1_060_000), LONG_POLL_REQUEST_MILLIS_MAX), 26_000);
        assert_eq!(budget_millis(1_000_000, Some(1_010_000), LONG_POLL_REQUEST_MILLIS_MAX), 9700);
    }

    fn incoming() -> Incoming {
        Incoming::new(lambda_http::http::Request::new(Body::Empty))
    }

    #[tokio::test]
    async fn a_panic_is_a_500_without_its_text_and_the_next_request_is_served() {
        async fn failing() -> Result<Response<Body>> {
            panic!("with a secret")
        }
        let response = serve(ErrorShape::Problem, &incoming(), failing()).await.expect("a response");
        assert_eq!(response.status().as_u16(), 500);
        let Body::Text(body) = response.into_body() else { panic!("a text body") };
        assert!(body.contains("internal_error") && !body.contains("secret"), "{body}");
        let next = serve(ErrorShape::Problem, &incoming(), async { Ok(Response::new(Body::Empty)) }).await;
        assert_eq!(next.expect("a response").status().as_u16(), 200);
    }

    #[tokio::test]
    async fn an_outage_is_a_503_in_both_shapes() {
        for shape in [ErrorShape::Problem, ErrorShape::OAuth, ErrorShape::Token] {
            let away = async { Err(Error::unavailable(Dependency::Kms, "with a secret")) };
            let response = serve(shape, &incoming(), away).await.expect("a response");
            assert_eq!(response.status().as_u16(), 503);
            assert_eq!(response.headers()["retry-after"], "1");
            assert_eq!(response.headers()["cache-control"], "no-store");
        }
    }
}
