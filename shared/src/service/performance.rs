//! What an environment measures of its own requests, and how it tells: once a minute at most, one entry in an outbox, before
//! an answer. A failure to tell keeps what was measured and touches no answer.

use super::state::State;
use crate::adapters::redis::keys;
use crate::clock;
use crate::core::analytics::sample::{SAMPLE, Samples};
use crate::core::crypto;
use crate::core::id::Bucket;
use crate::core::time::Timestamp;
use crate::limits::{SAMPLE_MILLIS_MAX, SAMPLE_SECONDS};
use crate::random;
use redis::cmd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What has been measured and not been told.
struct Performance {
    state: Arc<State>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    samples: Samples,
    /// An entry under way: it keeps its id, so that one that did arrive is counted once.
    entry: Option<Entry>,
    /// When telling was last tried.
    tried: Option<Timestamp>,
}

#[derive(Clone)]
struct Entry {
    id: String,
    text: String,
}

/// An environment has one Redis and one process, and `serve` surrounds handlers that share nothing else with each other.
static PERFORMANCE: OnceLock<Performance> = OnceLock::new();

/// From here on this environment measures.
pub fn measure(state: Arc<State>) {
    let _ = PERFORMANCE.set(Performance { state, held: Mutex::default() });
}

/// Adds the measurement of a request, and tells what is held when that is due.
pub async fn observe(operation: &'static str, application: &str, status: u16, millis: f64) {
    let Some(performance) = PERFORMANCE.get() else { return };
    let now = clock::now();
    let due = performance.record(now, operation, application, status, millis);
    // A store that has just failed a request is not asked for more.
    if due && status < 500 {
        performance.tell(now).await;
    }
}

impl Performance {
    fn record(&self, now: Timestamp, operation: &'static str, application: &str, status: u16, millis: f64) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.samples.record(now, application, operation, millis, status);
        let since = held.tried.get_or_insert(now);
        now.millis_since(*since) >= (SAMPLE_SECONDS * 1000) as i64
    }

    async fn tell(&self, now: Timestamp) {
        let Some(entry) = self.entry(now) else { return };
        let Ok(bucket) = random::bytes::<2>() else { return };
        let bucket = Bucket::wrapping(u16::from_be_bytes(bucket));
        let mut command = cmd("XADD");
        command
            .arg(keys::outbox(bucket))
            .arg("*")
            .arg("i")
            .arg(&entry.id)
            .arg("t")
            .arg(SAMPLE)
            .arg("y")
            .arg(&entry.text);
        // Boxed: it lies inside the future of every request.
        let sent = Box::pin(self.state.command(&command));
        match tokio::time::timeout(Duration::from_millis(SAMPLE_MILLIS_MAX), sent).await {
            Ok(Ok(_)) => self.held.lock().unwrap_or_else(PoisonError::into_inner).entry = None,
            Ok(Err(error)) => tracing::info!(%error, "samples kept"),
            Err(_) => tracing::info!("samples kept: no time to tell them"),
        }
    }

    /// The entry to send: the one that did not get through, or what is held.
    fn entry(&self, now: Timestamp) -> Option<Entry> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.tried = Some(now);
        if held.entry.is_none() {
            let id = crypto::encode(&random::bytes::<16>().ok()?);
            held.entry = Some(Entry { id, text: held.samples.take() });
        }
        held.entry.clone()
    }
}
