use std::time::{Duration, Instant};

/// Pause between two looks. It bounds the load of polling; nothing depends on its length.
const INTERVAL: Duration = Duration::from_millis(5);

/// Polls `probe` until it gives a value. Panics, naming `what`, after 20 seconds.
pub async fn eventually<T, F, P>(what: &str, probe: P) -> T
where
    F: Future<Output = Option<T>>,
    P: FnMut() -> F,
{
    eventually_within(what, Duration::from_secs(20), probe).await
}

/// [`eventually`] with a bound of its own.
pub async fn eventually_within<T, F, P>(what: &str, bound: Duration, mut probe: P) -> T
where
    F: Future<Output = Option<T>>,
    P: FnMut() -> F,
{
    let start = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}
