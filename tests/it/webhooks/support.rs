use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use integration_tests::stack::StackBuilder;
use integration_tests::{Application, Stack, Value, json, settings};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What a receiver got.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }
}

/// What a receiver answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    Redirect(String),
    /// As 200, once the test lets it.
    Held,
}

struct Shared {
    received: Mutex<Vec<Received>>,
    answer: Mutex<Answer>,
    gate: Semaphore,
}

/// An HTTP server on loopback that remembers what it got. Dropping it takes it off the line.
pub struct Hook {
    port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Hook {
    pub async fn start() -> Self {
        Self::start_on(settings::free_port()).await
    }

    pub async fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let answer = Mutex::new(Answer::Status(200));
        let shared = Arc::new(Shared { received: Mutex::default(), answer, gate: Semaphore::new(0) });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { port, shared, server }
    }

    pub fn url(&self) -> String {
        url(self.port)
    }

    pub fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// Lets this many held answers go.
    pub fn release(&self, count: usize) {
        self.shared.gate.add_permits(count);
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// `webhook-id` of everything received, in order of arrival.
    pub fn ids(&self) -> Vec<String> {
        self.received().iter().map(|message| message.header("webhook-id").to_owned()).collect()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/hooks?token=query-canary-7319")
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = hyper::service::service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(receive(&shared, request).await) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn receive(shared: &Shared, request: hyper::Request<Incoming>) -> hyper::Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned())).collect();
    let body = String::from_utf8(body.collect().await.expect("a body").to_bytes().to_vec()).expect("UTF-8");
    let received = Received { method: head.method.to_string(), path: head.uri.to_string(), headers, body };
    shared.received.lock().unwrap().push(received);
    let answer = shared.answer.lock().unwrap().clone();
    let mut response = hyper::Response::new(Full::from("answer"));
    match answer {
        Answer::Status(status) => *response.status_mut() = status.try_into().expect("a status"),
        Answer::Redirect(location) => {
            *response.status_mut() = hyper::StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert("location", location.parse().expect("a location"));
        }
        Answer::Held => shared.gate.acquire().await.expect("an open gate").forget(),
    }
    response
}

/// A stack whose receivers may be on this machine, with a database.
pub fn builder() -> StackBuilder {
    Stack::builder().with_database().with_variable("WEBHOOK_ALLOW_LOOPBACK", "true")
}

/// Registers a receiver and returns the answer.
pub async fn add_receiver(stack: &Stack, application: &Application, receiver: Value) -> Value {
    let command = json!({"action": "add-receiver", "applicationId": application.id, "receiver": receiver});
    stack.invoke("manage-applications", &command).await.unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// Registers a webhook that hears of the ends of sessions, and returns its secret.
pub async fn add_webhook(stack: &Stack, id: &str, url: &str) -> String {
    let receiver = json!({"receiverId": id, "url": url, "kind": "webhook", "events": ["session.ended"]});
    let added = add_receiver(stack, &stack.app, receiver).await;
    added["receiverSecret"].as_str().expect("a secret").to_owned()
}

/// Starts and ends this many sessions; returns their ids.
pub async fn end_sessions(stack: &Stack, count: usize) -> Vec<String> {
    let mut sessions = Vec::new();
    for number in 0..count {
        let session = stack.app.start_session(&format!("user-{number}")).await.session_id;
        // A busy machine may time out once; ending again is the same end.
        if stack.app.delete(&session).await.status != 204 {
            stack.app.delete(&session).await.expect(204);
        }
        sessions.push(session);
    }
    sessions
}

/// Every item of the deliveries table.
pub async fn deliveries(stack: &Stack) -> Vec<std::collections::HashMap<String, AttributeValue>> {
    let table = &stack.aws.tables.deliveries;
    let scan = stack.aws.dynamodb.scan().table_name(table).consistent_read(true).send().await.expect("Scan succeeds");
    scan.items().to_vec()
}

/// How many deliveries are in a state.
pub async fn count_in(stack: &Stack, state: &str) -> usize {
    let items = deliveries(stack).await;
    items.iter().filter(|item| item["state"].as_s().is_ok_and(|found| found == state)).count()
}

/// Entries of all outboxes.
pub async fn queued(stack: &Stack) -> usize {
    stack.redis_keys().await.iter().filter(|key| key.kind == "stream").map(|key| key.content.len()).sum()
}
