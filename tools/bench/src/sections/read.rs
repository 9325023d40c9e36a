//! How long a warm read takes beyond a function that does nothing, in units of a bare GET over the same client library; and
//! what it costs in processor time.

use std::time::Instant;

use integration_tests::environment::Environment;
use integration_tests::{Stack, Value};
use shared::adapters::redis::keys;
use shared::core::id::SessionId;

use super::Notebook;
use crate::measurement::{Bound, Line, Measurement, Plot, Table, median, number, quantile_of};
use crate::process::Meter;
use crate::site;

/// Measures hello, get-session, and a bare GET and MGET, in turns.
pub async fn run(notebook: &mut Notebook) {
    let stack = site::stack(|stack| stack).await;
    let session = site::session(&stack, "ada").await;
    let hello = site::environment(&stack, site::HELLO).await;
    let get = site::environment(&stack, "get-session").await;
    let event = site::read_event(&stack, &session.session_id);
    let id = SessionId::parse(&session.session_id).expect("an id");
    let bare = Bare::connect(stack.redis().url(), keys::session(&id));
    let (rounds, batch) = notebook.size((15, 400), (3, 40));
    for environment in [&hello, &get] {
        latencies(environment, &event, batch).await;
    }

    let (mut hellos, mut gets, mut bares, mut ratios, mut tails) = (vec![], vec![], vec![], vec![], vec![]);
    let mut table = Table::new(
        "Median latency by round, in microseconds",
        &["round", "hello", "get-session", "bare GET", "(get − hello) / GET"],
    );
    for round in 1..=rounds {
        let hello = latencies(&hello, &event, batch).await;
        let get = latencies(&get, &event, batch).await;
        let floor = bare.run(batch);
        let (p50, hello50, floor50) = (median(&get), median(&hello), median(&floor));
        let ratio = (p50 - hello50) / floor50;
        table.row([round.to_string(), number(hello50), number(p50), number(floor50), number(ratio)]);
        tails.push(quantile_of(&get, 0.99) / quantile_of(&hello, 0.99));
        hellos.push(hello50);
        gets.push(p50);
        bares.push(floor50);
        ratios.push(ratio);
    }
    let figure = Measurement::of("warm read: p50(get) − p50(hello), in bare GETs", "× GET", &ratios);
    let figure = figure.must(Bound::AtMost(1.5)).reach(Bound::AtMost(1.25));
    let figure = figure.floor("hello, µs", &hellos).floor("bare GET, µs", &bares);
    notebook.measure(figure.note("the median of the rounds' ratios"));
    notebook.measure(Measurement::of("warm read: p50", "µs", &gets));
    notebook.measure(Measurement::of("warm read: p99(get) / p99(hello)", "×", &tails).reach(Bound::AtMost(2.0)));
    let line = |name: &str, points: &[f64]| Line {
        name: name.to_owned(),
        points: points.iter().enumerate().map(|(round, value)| (round as f64 + 1.0, *value)).collect(),
    };
    notebook.table(table);
    notebook.plot(Plot {
        file: "read".into(),
        title: "Warm read: median latency by round".into(),
        x: "round".into(),
        y: "µs".into(),
        logarithmic: false,
        lines: vec![line("get-session", &gets), line("hello", &hellos), line("bare GET", &bares)],
    });
    // Nor may a runtime be dropped there.
    std::thread::spawn(move || drop(bare)).join().expect("the thread");
    processor_time(notebook, &stack, &hello, &get, &event).await;
}

/// Processor time per request, client and server apart.
async fn processor_time(notebook: &mut Notebook, stack: &Stack, hello: &Environment, get: &Environment, event: &Value) {
    let redis = site::redis_pid(&mut stack.redis().connection().await).await;
    let (rounds, batch) = notebook.size((7, 1500), (2, 50));
    let (mut hellos, mut gets, mut stores) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        let meter = Meter::start(&[hello.pid()]);
        latencies(hello, event, batch).await;
        hellos.push(meter.micros() / batch as f64);
        let meter = Meter::start(&[get.pid(), redis]);
        latencies(get, event, batch).await;
        let spent: Vec<f64> = meter.read().iter().map(|time| time.as_secs_f64() * 1e6 / batch as f64).collect();
        gets.push(spent[0]);
        stores.push(spent[1]);
    }
    let figure = Measurement::of("warm read: processor time of the function", "µs", &gets);
    notebook.measure(figure.reach(Bound::AtMost(500.0)).floor("hello, µs", &hellos));
    notebook.measure(
        Measurement::of("warm read: processor time of Redis", "µs", &stores).note("one client, not pipelined"),
    );
}

/// Microseconds of each of so many invocations, one after another.
pub async fn latencies(environment: &Environment, event: &Value, count: usize) -> Vec<f64> {
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        let response = environment.invoke(event).await.unwrap_or_else(|error| panic!("an invocation: {error}"));
        found.push(begun.elapsed().as_secs_f64() * 1e6);
        assert_eq!(response["statusCode"].as_u64(), Some(200), "{response}");
    }
    found
}

/// A bare GET of the record, on a thread and a runtime of its own, as a function has them.
struct Bare {
    runtime: tokio::runtime::Runtime,
    connection: redis::aio::MultiplexedConnection,
    key: String,
}

impl Bare {
    fn connect(url: String, key: String) -> std::sync::Arc<Self> {
        // A runtime can not be entered from within another one.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let client = redis::Client::open(url).expect("a URL");
            let connection = runtime.block_on(client.get_multiplexed_async_connection()).expect("Redis answers");
            std::sync::Arc::new(Bare { runtime, connection, key })
        });
        thread.join().expect("the thread")
    }

    fn run(self: &std::sync::Arc<Self>, count: usize) -> Vec<f64> {
        let own = std::sync::Arc::clone(self);
        let thread = std::thread::spawn(move || {
            own.runtime.block_on(async {
                let (mut connection, mut found) = (own.connection.clone(), Vec::with_capacity(count));
                for _ in 0..count {
                    let begun = Instant::now();
                    let value: Vec<u8> =
                        redis::cmd("GET").arg(&own.key).query_async(&mut connection).await.expect("GET");
                    found.push(begun.elapsed().as_secs_f64() * 1e6);
                    assert!(value.len() > 100);
                }
                found
            })
        });
        thread.join().expect("the thread")
    }
}
