//! The faults, by what they break.

use std::sync::Arc;

use integration_tests::stack::scheduled_event;
use integration_tests::{Stack, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub mod clocks;
pub mod cluster;
pub mod dynamodb;
pub mod functions;
pub mod jobs;
pub mod kills;
pub mod kms;
pub mod postgres;
pub mod redis;
pub mod restores;
pub mod surroundings;

/// An HTTP answer for a proxy to give in place of AWS.
pub fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A job that runs again and again beside the load, as its schedule lets it.
pub struct Repeated {
    stop: watch::Sender<bool>,
    task: JoinHandle<(u64, u64)>,
}

impl Repeated {
    /// Starts it in the environment with this index.
    pub fn start(stack: &Arc<Stack>, function: &'static str, environment: usize, detail: Value) -> Self {
        let (stop, stack) = (watch::Sender::new(false), Arc::clone(stack));
        let ending = stop.subscribe();
        let task = tokio::spawn(async move {
            let (mut done, mut failed) = (0, 0);
            while !*ending.borrow() {
                match stack.fleet.invoke_on(function, environment, &scheduled_event(detail.clone())).await {
                    Ok(_) => done += 1,
                    Err(_) => failed += 1,
                }
            }
            (done, failed)
        });
        Self { stop, task }
    }

    /// Ends it; how many runs succeeded and failed.
    pub async fn stop(self) -> (u64, u64) {
        self.stop.send_replace(true);
        self.task.await.expect("the job's task ends")
    }
}

/// `{"firstBucket": 0, "lastBucket": 4095}`
pub fn everything() -> Value {
    integration_tests::json!({ "firstBucket": 0, "lastBucket": 4095 })
}
