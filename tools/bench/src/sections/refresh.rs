//! Refreshes per CPU-second: the function and Redis together, with replay detection, events for the audit, and a signature
//! per refresh. In the form of a server, many at once, and in the form of a Lambda function, one at a time.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use integration_tests::application::SessionTokens;
use integration_tests::{Stack, eventually, json, settings};
use tokio::process::Child;

use super::Notebook;
use crate::http_load::Connection;
use crate::measurement::{Bound, Measurement, Table, number};
use crate::process::Meter;
use crate::{site, workers};

/// Requests that are under way at once.
pub const CONNECTIONS: usize = 16;

/// Measures both forms, in turns.
pub async fn run(notebook: &mut Notebook) {
    let stack = site::stack(|stack| stack).await;
    let redis = site::redis_pid(&mut stack.redis().connection().await).await;
    let server = Server::start(&stack).await;
    let function = site::environment(&stack, "refresh-session").await;
    let mut held = Vec::new();
    for number in 0..CONNECTIONS {
        held.push(site::session(&stack, &format!("rotating-{number}")).await);
    }
    let mut own = site::session(&stack, "alone").await;
    let (rounds, of_server, of_function) = notebook.size((5, 22_000, 2_000), (2, 320, 20));
    rotate(&server, &stack, &mut held, CONNECTIONS * 4).await;

    let (mut rates, mut lambda_rates, mut stores) = (vec![], vec![], vec![]);
    let mut table = Table::new(
        "Processor time per refresh, in microseconds",
        &["round", "server", "Redis beside the server", "function", "Redis beside the function"],
    );
    for round in 1..=rounds {
        let meter = Meter::start(&[server.pid, redis]);
        rotate(&server, &stack, &mut held, of_server).await;
        let by_server: Vec<f64> = meter.read().iter().map(|time| time.as_secs_f64() * 1e6 / of_server as f64).collect();
        rates.push(1e6 / by_server.iter().sum::<f64>());
        stores.push(by_server[1]);
        let meter = Meter::start(&[function.pid(), redis]);
        for _ in 0..of_function {
            let event = site::refresh_event(&stack, &own.session_id, &own.refresh_token);
            let answer = site::body(&site::invoke(&function, &event, 200).await);
            own.refresh_token = answer["refreshToken"].as_str().expect("a token").to_owned();
        }
        let by_function: Vec<f64> =
            meter.read().iter().map(|time| time.as_secs_f64() * 1e6 / f64::from(of_function)).collect();
        lambda_rates.push(1e6 / by_function.iter().sum::<f64>());
        table.row([round.to_string()].into_iter().chain(by_server.into_iter().chain(by_function).map(number)));
    }
    let total = rounds * of_server;
    let figure = Measurement::of("refreshes per CPU-second, service and Redis", "/s", &rates);
    let note = format!(
        "server form over HTTP, {CONNECTIONS} at once, {} refreshes; every token used once",
        number(total as f64)
    );
    notebook.measure(figure.must(Bound::AtLeast(3000.0)).reach(Bound::AtLeast(6000.0)).note(note));
    let figure = Measurement::of("the same in Lambda form", "/s", &lambda_rates);
    notebook.measure(figure.note("one at a time: each pays for the Runtime API and for waking both processes"));
    let note = format!("{CONNECTIONS} at once");
    notebook.measure(Measurement::of("processor time of Redis per refresh", "µs", &stores).note(note));
    notebook.table(table);
}

/// Refreshes every session in turn over its own connection, `count` times in all.
async fn rotate(server: &Server, stack: &Stack, held: &mut [SessionTokens], count: usize) {
    let (port, credential) = (server.port, format!("Bearer {}", stack.app.key));
    let each = count / held.len();
    let chains = held.iter_mut().map(async |session| {
        let mut connection = Connection::open(port).await.expect("the server listens");
        let path = format!("/sessions/{}/refresh", session.session_id);
        let headers = [("authorization", credential.as_str()), ("content-type", "application/json")];
        for _ in 0..each {
            let body = json!({ "refreshToken": session.refresh_token, "client": site::client() }).to_string();
            let answer = connection.send(Method::POST, &path, &headers, body.as_bytes()).await;
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            let answer: integration_tests::Value = serde_json::from_slice(&answer.body).expect("JSON");
            session.refresh_token = answer["refreshToken"].as_str().expect("a token").to_owned();
        }
    });
    futures::future::join_all(chains).await;
}

/// The service in the form of a server.
pub struct Server {
    /// Its port.
    pub port: u16,
    /// Its process.
    pub pid: u32,
    _child: Arc<Child>,
}

impl Server {
    /// The service itself.
    pub async fn start(stack: &Stack) -> Self {
        let port = settings::free_port();
        Self::of(workers::command(stack, &["serve".to_owned(), port.to_string()]), port).await
    }

    /// Any command that will listen on a port.
    pub async fn of(mut command: tokio::process::Command, port: u16) -> Self {
        let log = site::scratch().join(format!("server-{port}.log"));
        let output = std::fs::File::create(&log).expect("a log");
        command.stdout(output.try_clone().expect("the log")).stderr(output).kill_on_drop(true);
        let mut child = command.spawn().expect("the server starts");
        let pid = child.id().expect("it runs");
        let waiting = eventually("the server listens", || async { Connection::open(port).await.map(drop) });
        let ended = async {
            let status = child.wait().await;
            panic!("the server ended: {status:?}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("the server does not listen"),
            () = waiting => {}
            () = ended => {}
        }
        Server { port, pid, _child: Arc::new(child) }
    }
}
