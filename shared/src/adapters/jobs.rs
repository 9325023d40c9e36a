//! What scheduled and operator-invoked functions share: their events, deadlines, metrics and errors.
//!
//! A job returns `Err` when it failed, so that Lambda retries it and alarms see it.

use crate::clock;
use crate::core::id::{BUCKETS, Bucket};
use crate::core::json::FieldError;
use crate::core::metrics::{Ending, Invocation, Kind, Measure, Measured};
use crate::core::time::Timestamp;
use crate::error::Error;
use crate::telemetry;
use futures_util::FutureExt;
use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;
use std::panic::AssertUnwindSafe;

/// The buckets a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketRange {
    /// The first bucket.
    pub first: Bucket,
    /// The last bucket, included.
    pub last: Bucket,
    /// Whether the event named the range.
    pub stated: bool,
}

impl BucketRange {
    /// Reads `detail.firstBucket` and `detail.lastBucket` of a scheduled event; without them the run is for all.
    pub fn from_event(event: &Value) -> Result<Self, Error> {
        let detail = &event["detail"];
        let bucket = |name: &str, default: u16| match &detail[name] {
            Value::Null => Ok((Bucket::new(default), false)),
            value => {
                let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
                let bucket = number.and_then(Bucket::new);
                bucket
                    .map(|bucket| (Some(bucket), true))
                    .ok_or_else(|| Error::field(format!("detail.{name}"), format!("must be 0 to {}", BUCKETS - 1)))
            }
        };
        match (bucket("firstBucket", 0)?, bucket("lastBucket", BUCKETS - 1)?) {
            ((Some(first), a), (Some(last), b)) if first <= last => Ok(BucketRange { first, last, stated: a || b }),
            _ => Err(Error::field("detail.firstBucket", "must not be above detail.lastBucket")),
        }
    }

    /// The range in `parts` pieces of nearly equal size.
    pub fn split(self, parts: u16) -> Vec<(Bucket, Bucket)> {
        let buckets: Vec<Bucket> = Bucket::range(self.first, self.last).collect();
        let size = buckets.len().div_ceil(usize::from(parts.max(1))).max(1);
        buckets.chunks(size).filter_map(|chunk| Some((*chunk.first()?, *chunk.last()?))).collect()
    }
}

/// A switch of the event's detail; absent means off.
pub fn flag(event: &Value, name: &str) -> Result<bool, Error> {
    match &event["detail"][name] {
        Value::Null => Ok(false),
        Value::Bool(on) => Ok(*on),
        _ => Err(Error::field(format!("detail.{name}"), "must be true or false")),
    }
}

/// How long a job keeps back of its deadline.
const RESERVE_SECONDS: u64 = 5;
/// How long a job works when the deadline makes no sense (local emulators send one from 1970).
const WORK_SECONDS: u64 = 45;

/// Until when a job may begin further work.
pub fn work_until(context: &Context) -> Timestamp {
    let now = clock::now();
    let deadline = Timestamp::from_millis(i64::try_from(context.deadline).unwrap_or(i64::MAX));
    if deadline <= now {
        return now.plus_seconds(WORK_SECONDS);
    }
    Timestamp::from_millis(deadline.millis() - i64::try_from(RESERVE_SECONDS * 1000).unwrap_or(0)).max(now)
}

/// A job that failed, and what it had measured before.
#[derive(Debug)]
pub struct Failure {
    error: Error,
    measures: Vec<Measure>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, measures: Vec::new() }
    }
}

impl Failure {
    /// A failure that tells what was measured all the same.
    pub fn after(error: Error, measures: Vec<Measure>) -> Self {
        Failure { error, measures }
    }
}

/// Surrounds every job: panic net, the error as Lambda reports it, and one line with the metrics of the run.
pub async fn serve<T: Measured>(
    work: impl Future<Output = std::result::Result<T, Failure>>,
) -> std::result::Result<T, Diagnostic> {
    let started = clock::now();
    // Boxed, since a future of futures as deep as a job's is more than the compiler lays out.
    let outcome = AssertUnwindSafe(Box::pin(work)).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_| Err(Error::Internal("a job panicked".into()).into()));
    let (ending, measures) = match &outcome {
        Ok(done) => (Ending::Done, done.measures()),
        Err(Failure { error: Error::InvalidRequest(_) | Error::NotFound | Error::SessionChanged, measures }) => {
            (Ending::Refused, measures.clone())
        }
        Err(failure) => (Ending::Failed, failure.measures.clone()),
    };
    let millis = clock::now().millis_since(started);
    let invocation = Invocation { kind: Kind::Job, ending, millis, cold: telemetry::cold_start() };
    telemetry::invocation(&invocation, &measures, &[]);
    outcome.map_err(|failure| diagnostic(failure.error))
}

/// The error of a job as Lambda reports it: a stable type for alarms, and what to mend for operators.
fn diagnostic(error: Error) -> Diagnostic {
    let (error_type, error_message) = match &error {
        Error::InvalidRequest(fields) => ("InvalidRequest", sentences(fields)),
        Error::NotFound => ("NotFound", "there is no such resource".to_owned()),
        Error::SessionChanged => ("Conflict", "changed meanwhile; try again".to_owned()),
        Error::Unavailable { dependency, .. } => ("DependencyUnavailable", format!("{dependency:?} is away")),
        _ => ("Failed", "see the log".to_owned()),
    };
    tracing::error!(%error, error_type, "job failed");
    Diagnostic { error_type: error_type.into(), error_message }
}

fn sentences(fields: &[FieldError]) -> String {
    fields.iter().map(|error| format!("{} {}", error.field, error.detail)).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ranges_are_read_and_split() {
        let all = BucketRange::from_event(&json!({"detail": {}})).expect("all");
        assert_eq!((all.first.number(), all.last.number(), all.stated), (0, 4095, false));
        let pieces = all.split(3);
        assert_eq!(pieces.len(), 3);
        assert_eq!((pieces[0].0.number(), pieces[2].1.number()), (0, 4095));
        assert!(pieces.windows(2).all(|pair| pair[0].1.number() + 1 == pair[1].0.number()));
        let some = BucketRange::from_event(&json!({"detail": {"firstBucket": 5, "lastBucket": 5}})).expect("one");
        assert_eq!(some.split(4), vec![(some.first, some.last)]);
        for bad in
            [json!({"firstBucket": 4096}), json!({"firstBucket": "1"}), json!({"firstBucket": 2, "lastBucket": 1})]
        {
            assert!(BucketRange::from_event(&json!({ "detail": bad })).is_err());
        }
    }
}
