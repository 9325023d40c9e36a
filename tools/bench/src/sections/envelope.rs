//! The share of a processor that Lambda gives to 128 MB: 7.2 % in periods of 20 ms. Warm reads at a fixed rate run inside
//! it after the start, which Lambda does not throttle this way; the pessimistic figure throttles the start as well.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use integration_tests::environment::{Environment, EnvironmentSpec};
use integration_tests::{Stack, Value, settings};

use super::Notebook;
use crate::measurement::{Bound, Measurement, Table, number, quantile_of};
use crate::site;
use crate::throttle::{SHARE_128_MB, Throttle};

/// Runs get-session and hello in the envelope.
pub async fn run(notebook: &mut Notebook) {
    if let Err(why) = Throttle::create(SHARE_128_MB) {
        notebook
            .table(Table::new(&format!("Not measured: this machine lets nobody limit a processor ({why})"), &["-"]));
        return;
    }
    let stack = site::stack(|stack| stack).await;
    let session = site::session(&stack, "ada").await;
    let event = site::read_event(&stack, &session.session_id);
    let seconds = notebook.size(10, 2);
    let mut table = Table::new(
        "Warm, at a constant rate, latency from the intended start, in milliseconds (the timer of the harness adds up to one)",
        &["function", "rate", "requests", "p50", "p95", "highest", "throttled periods per 100 requests"],
    );
    for rate in [20, 50] {
        for function in [site::HELLO, "get-session"] {
            let environment = site::environment(&stack, function).await;
            site::invoke(&environment, &event, 200).await;
            let throttle = Throttle::create(SHARE_128_MB).unwrap_or_else(|error| panic!("no envelope: {error}"));
            throttle.admit(environment.pid());
            let before = throttle.throttled();
            let latencies = at_rate(&environment, &event, rate, seconds * rate).await;
            let throttled = (throttle.throttled() - before) as f64 * 100.0 / latencies.len() as f64;
            let at = |rank: f64| number(quantile_of(&latencies, rank));
            let count = latencies.len().to_string();
            let rate_text = format!("{rate}/s");
            table.row([function.to_owned(), rate_text, count, at(0.5), at(0.95), at(1.0), number(throttled)]);
            if function == "get-session" {
                let name = format!("128 MB: throttled per 100 warm reads at {rate}/s");
                let figure = Measurement::new(name, "%", throttled).note(throttle.means());
                notebook.measure(match rate {
                    20 => figure.must(Bound::AtMost(5.0)),
                    _ => figure.reach(Bound::AtMost(0.0)),
                });
            }
            environment.kill9().await;
        }
    }
    notebook.table(table);

    let (mut readies, mut firsts, mut hellos) = (vec![], vec![], vec![]);
    for _ in 0..notebook.size(9, 2) {
        let (ready, _) = throttled_start(&stack, site::HELLO, &event).await;
        hellos.push(ready);
        let (ready, first) = throttled_start(&stack, "get-session", &event).await;
        readies.push(ready);
        firsts.push(first);
    }
    let figure = Measurement::of("128 MB: start of get-session inside the limit", "ms", &readies);
    notebook.measure(figure.floor("hello, ms", &hellos).note("Lambda gives the start more"));
    let figure = Measurement::of("128 MB: first read after the start", "ms", &firsts);
    notebook.measure(figure.must(Bound::AtMost(100.0)).reach(Bound::AtMost(40.0)));
}

/// Milliseconds of each invocation at a constant rate, from when it was due. One environment: what is late waits.
async fn at_rate(environment: &Environment, event: &Value, rate: u32, count: u32) -> Vec<f64> {
    let begun = Instant::now();
    let mut latencies = Vec::new();
    for number in 0..count {
        let due = begun + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
        tokio::time::sleep_until(due.into()).await;
        site::invoke(environment, event, 200).await;
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
    }
    latencies
}

/// Milliseconds until a process that starts in the envelope is ready, and of its first answer.
async fn throttled_start(stack: &Stack, function: &str, event: &Value) -> (f64, f64) {
    let throttle = Throttle::create(SHARE_128_MB).unwrap_or_else(|error| panic!("no envelope: {error}"));
    let spec = site::specification(stack, function);
    let wrapper = site::scratch().join(format!("throttled-{}.sh", settings::random_hex(6)));
    let (entrance, binary) = (throttle.entrance(), spec.binary.clone());
    let script = format!("#!/bin/sh\necho $$ > {}\nexec {}\n", entrance.display(), binary.display());
    std::fs::write(&wrapper, script).expect("a wrapper");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("it may be run");
    let environment = Environment::spawn(EnvironmentSpec { binary: wrapper, ..spec }).await;
    let ready = environment.ready().await.expect("it starts").as_secs_f64() * 1e3;
    let begun = Instant::now();
    site::invoke(&environment, event, 200).await;
    let first = begun.elapsed().as_secs_f64() * 1e3;
    environment.kill9().await;
    (ready, first)
}
