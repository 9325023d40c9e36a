//! Stops everything after a given number of requests, so that a process can be killed between any two of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Lets a number of requests be done, and then holds every line that it was set to. Clones are one fuse.
#[derive(Clone, Default)]
pub struct Fuse(Arc<State>);

#[derive(Default)]
struct State {
    passed: AtomicU64,
    /// How many requests are done, of all lines together; without a number all are.
    limit: watch::Sender<Option<u64>>,
    blown: watch::Sender<bool>,
}

/// What becomes of a request.
pub(super) enum Burnt {
    /// It is forwarded and answered.
    Passes,
    /// It is forwarded; its answer blows the fuse and does not arrive.
    IsTheLast,
    /// It is never forwarded, and its connection is closed once the fuse is taken out.
    ComesTooLate,
}

impl Fuse {
    /// Counts from zero; after `limit` requests nothing goes on until [`disarm`](Self::disarm).
    pub fn arm(&self, limit: u64) {
        self.0.passed.store(0, Ordering::SeqCst);
        self.0.blown.send_replace(false);
        self.0.limit.send_replace(Some(limit));
    }

    /// Lets everything pass and closes the connections that were held. Counts from zero.
    pub fn disarm(&self) {
        self.0.passed.store(0, Ordering::SeqCst);
        self.0.limit.send_replace(None);
    }

    /// Requests since it was armed or disarmed.
    pub fn passed(&self) -> u64 {
        self.0.passed.load(Ordering::SeqCst)
    }

    /// Waits until the last request has been done, or the first one beyond has come.
    pub async fn blown(&self) {
        let _ = self.0.blown.subscribe().wait_for(|blown| *blown).await;
    }

    pub(super) async fn burn(&self) -> Burnt {
        let number = self.0.passed.fetch_add(1, Ordering::SeqCst) + 1;
        match *self.0.limit.borrow() {
            Some(limit) if number == limit => return Burnt::IsTheLast,
            Some(limit) if number > limit => {}
            _ => return Burnt::Passes,
        }
        self.blow().await;
        Burnt::ComesTooLate
    }

    /// Blows it and waits until it is taken out.
    pub(super) async fn blow(&self) {
        self.0.blown.send_replace(true);
        let _ = self.0.limit.subscribe().wait_for(Option::is_none).await;
    }
}
