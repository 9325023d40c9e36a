//! Latency under load that does not wait: requests are due at a constant rate, whatever became of the ones before, and
//! latency counts from when they were due. The rates go from a quarter of what two environments can serve to twice that.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use integration_tests::Value;
use integration_tests::environment::Environment;
use tokio::sync::Mutex;
use tokio::task::LocalSet;

use super::Notebook;
use super::read::latencies;
use crate::measurement::{Line, Measurement, Plot, Table, number, quantile_of};
use crate::site;

const SHARES: [f64; 6] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0];
const ENVIRONMENTS: usize = 2;

/// Measures get-session and hello.
pub async fn run(notebook: &mut Notebook) {
    let stack = site::stack(|stack| stack).await;
    let session = site::session(&stack, "ada").await;
    let event = site::read_event(&stack, &session.session_id);
    let seconds = notebook.size(4.0, 0.4);
    let mut table = Table::new(
        "Latency from the intended start, in milliseconds (the timer of the harness adds up to one)",
        &["function", "of capacity", "requests per second", "p50", "p99", "highest"],
    );
    let mut lines = Vec::new();
    for function in [site::HELLO, "get-session"] {
        let mut environments = Vec::new();
        for _ in 0..ENVIRONMENTS {
            environments.push(Rc::new(site::environment(&stack, function).await));
        }
        let capacity = capacity(&environments, &event, notebook.size(1500, 100)).await;
        if function != site::HELLO {
            let note = format!("closed loop, {ENVIRONMENTS} environments, harness and Redis on the same cores");
            notebook.measure(Measurement::new("capacity the rates are shares of", "/s", capacity).note(note));
        }
        let (mut middle, mut tail) = (Vec::new(), Vec::new());
        for share in SHARES {
            let rate = capacity * share;
            let found = open(&environments, &event, rate, (rate * seconds) as u32).await;
            let at = |rank: f64| quantile_of(&found, rank);
            let cells = [number(at(0.5)), number(at(0.99)), number(at(1.0))];
            table.row([function.to_owned(), format!("{share}"), number(rate)].into_iter().chain(cells));
            middle.push((share, at(0.5)));
            tail.push((share, at(0.99)));
        }
        lines.push(Line { name: format!("{function}, p50"), points: middle });
        lines.push(Line { name: format!("{function}, p99"), points: tail });
    }
    notebook.table(table);
    notebook.plot(Plot {
        file: "open-loop".into(),
        title: "Latency under open load, from the intended start".into(),
        x: "share of capacity".into(),
        y: "ms".into(),
        logarithmic: true,
        lines,
    });
}

async fn capacity(environments: &[Rc<Environment>], event: &Value, each: usize) -> f64 {
    let begun = Instant::now();
    futures::future::join_all(environments.iter().map(|environment| latencies(environment, event, each))).await;
    (each * environments.len()) as f64 / begun.elapsed().as_secs_f64()
}

/// Milliseconds of each request. A request takes the first environment that is free, in the order of arrival.
async fn open(environments: &[Rc<Environment>], event: &Value, rate: f64, count: u32) -> Vec<f64> {
    let (give, take) = tokio::sync::mpsc::unbounded_channel();
    environments.iter().for_each(|environment| give.send(Rc::clone(environment)).expect("it is open"));
    let (take, event) = (Rc::new(Mutex::new(take)), Rc::new(event.clone()));
    let found = Rc::new(RefCell::new(Vec::new()));
    let tasks = LocalSet::new();
    let begun = Instant::now();
    for number in 0..count {
        let due = begun + Duration::from_secs_f64(f64::from(number) / rate);
        let (give, take) = (give.clone(), Rc::clone(&take));
        let (event, found) = (Rc::clone(&event), Rc::clone(&found));
        tasks.spawn_local(async move {
            tokio::time::sleep_until(due.into()).await;
            let environment = take.lock().await.recv().await.expect("an environment");
            site::invoke(&environment, &event, 200).await;
            found.borrow_mut().push(due.elapsed().as_secs_f64() * 1e3);
            let _ = give.send(environment);
        });
    }
    tasks.await;
    found.take()
}
