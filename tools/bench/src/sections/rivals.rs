//! Reads of sessions by libraries that people use, on the same Redis, of the same data, at their default and at their best
//! settings; beside them the service in the form of a server and as a Lambda function. Processor time per read, the server's
//! and Redis', in turns.

use hyper::Method;
use hyper::header::SET_COOKIE;
use integration_tests::environment::Environment;
use integration_tests::{Stack, Value, settings};
use tokio::process::Command;

use super::Notebook;
use super::read::latencies;
use super::refresh::{CONNECTIONS, Server};
use crate::http_load::Connection;
use crate::measurement::{Bound, Measurement, Spread, Table, median, number};
use crate::process::Meter;
use crate::site;

/// Something that reads sessions.
struct Subject {
    name: &'static str,
    reader: Reader,
    server: Vec<f64>,
    redis: Vec<f64>,
}

enum Reader {
    /// Over HTTP, with a path and a header per connection.
    Http { server: Server, requests: Vec<(String, &'static str, String)> },
    /// A Lambda function with its event.
    Function { environment: Box<Environment>, event: Value },
}

const EXPRESS: [&str; 2] = ["express-session, default", "express-session, best"];
const TOWER: [&str; 2] = ["tower-sessions, default", "tower-sessions, best"];
const SERVER: &str = "this service as a server";
const LAMBDA: &str = "this service as a Lambda function";

/// Measures all of them.
pub async fn run(notebook: &mut Notebook) {
    let stack = site::stack(|stack| stack).await;
    let redis = site::redis_pid(&mut stack.redis().connection().await).await;
    let mut subjects = subjects(&stack).await;
    let (rounds, reads) = notebook.size((5, 3_200), (2, 160));
    for round in 0..=rounds {
        for subject in &mut subjects {
            let pid = match &subject.reader {
                Reader::Http { server, .. } => server.pid,
                Reader::Function { environment, .. } => environment.pid(),
            };
            let meter = Meter::start(&[pid, redis]);
            read(&subject.reader, reads).await;
            let spent: Vec<f64> = meter.read().iter().map(|time| time.as_secs_f64() * 1e6 / reads as f64).collect();
            // The first round only warms: compilers of the rivals' runtimes have not seen the code yet.
            if round > 0 {
                subject.server.push(spent[0]);
                subject.redis.push(spent[1]);
            }
        }
    }
    report(notebook, &subjects);
}

fn report(notebook: &mut Notebook, subjects: &[Subject]) {
    let mut table = Table::new(
        "Processor time per read, in microseconds",
        &["", "server", "Redis", "both: median (lowest – highest)", "reads per CPU-second"],
    );
    for subject in subjects {
        let both = Spread::of(&subject.both());
        let shown = format!("{} ({} – {})", number(both.median), number(both.min), number(both.max));
        let (server, redis) = (number(median(&subject.server)), number(median(&subject.redis)));
        table.row([subject.name.to_owned(), server, redis, shown, number(1e6 / both.median)]);
    }
    let of = |name: &str| subjects.iter().find(|subject| subject.name == name).expect("a subject").both();
    let ratio = |rival: &str, ours: &str| -> Vec<f64> {
        of(rival).iter().zip(of(ours)).map(|(theirs, ours)| theirs / ours).collect()
    };
    for rival in EXPRESS {
        let figure =
            Measurement::of(format!("reads per CPU-second in Lambda form, over {rival}"), "×", &ratio(rival, LAMBDA));
        let figure = figure.must(Bound::AtLeast(1.3)).reach(Bound::AtLeast(1.6));
        notebook.measure(figure.floor("rival, µs per read", &of(rival)));
    }
    for rival in EXPRESS.into_iter().chain(TOWER) {
        let figure =
            Measurement::of(format!("reads per CPU-second as a server, over {rival}"), "×", &ratio(rival, SERVER));
        notebook.measure(figure.floor("rival, µs per read", &of(rival)));
    }
    notebook.table(table);
}

impl Subject {
    fn both(&self) -> Vec<f64> {
        self.server.iter().zip(&self.redis).map(|(server, redis)| server + redis).collect()
    }
}

async fn subjects(stack: &Stack) -> Vec<Subject> {
    let url = stack.redis().url();
    let mut found = Vec::new();
    let mut add = |name, reader| found.push(Subject { name, reader, server: Vec::new(), redis: Vec::new() });
    for (name, mode) in EXPRESS.into_iter().zip(["default", "best"]) {
        let port = settings::free_port();
        let mut command = Command::new("node");
        command.arg("server.mjs").args([mode, &url, &port.to_string()]);
        command.current_dir(site::variable("BENCH_EXPRESS")).env("NODE_ENV", "production");
        add(name, rival(Server::of(command, port).await).await);
    }
    for (name, mode) in TOWER.into_iter().zip(["default", "best"]) {
        let port = settings::free_port();
        let mut command = Command::new(site::variable("BENCH_TOWER_SESSIONS"));
        command.args([mode, &url, &port.to_string()]);
        add(name, rival(Server::of(command, port).await).await);
    }
    let server = Server::start(stack).await;
    let mut requests = Vec::new();
    for number in 0..CONNECTIONS {
        let session = site::session(stack, &format!("read-{number}")).await;
        let path = format!("/sessions/{}", session.session_id);
        requests.push((path, "authorization", format!("Bearer {}", stack.app.key)));
    }
    add(SERVER, Reader::Http { server, requests });
    let session = site::session(stack, "read-alone").await;
    let event = site::read_event(stack, &session.session_id);
    for (name, function) in [(LAMBDA, "get-session"), ("a Lambda function that does nothing", site::HELLO)] {
        let environment = Box::new(site::environment(stack, function).await);
        add(name, Reader::Function { environment, event: event.clone() });
    }
    found
}

/// Begins a session per connection; the cookie names it.
async fn rival(server: Server) -> Reader {
    let mut requests = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.port).await.expect("it listens");
        let headers = [("content-type", "application/json")];
        let answer = connection.send(Method::POST, "/", &headers, site::data().to_string().as_bytes()).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        let cookie = answer.headers[SET_COOKIE].to_str().expect("a cookie").split(';').next().unwrap_or_default();
        requests.push(("/".to_owned(), "cookie", cookie.to_owned()));
    }
    Reader::Http { server, requests }
}

async fn read(reader: &Reader, count: usize) {
    match reader {
        Reader::Function { environment, event } => {
            latencies(environment, event, count).await;
        }
        Reader::Http { server, requests } => {
            let chains = requests.iter().map(async |(path, header, value)| {
                let mut connection = Connection::open(server.port).await.expect("it listens");
                for _ in 0..count / requests.len() {
                    let answer = connection.send(Method::GET, path, &[(header, value)], b"").await;
                    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                    assert!(answer.body.len() > 80, "{}", String::from_utf8_lossy(&answer.body));
                }
            });
            futures::future::join_all(chains).await;
        }
    }
}
