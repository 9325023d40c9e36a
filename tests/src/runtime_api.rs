//! The Lambda Runtime API of one environment, as a loopback HTTP server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

const PREFIX: &str = "/2018-06-01/runtime/";

/// One event on its way to a function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Becomes `lambda-runtime-aws-request-id`.
    pub request_id: String,
    /// The event.
    pub payload: Bytes,
    /// Milliseconds since the epoch, on the clock of the function.
    pub deadline_ms: u64,
    /// Becomes `lambda-runtime-trace-id`.
    pub trace_id: String,
}

/// What the function posted for an invocation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A response, complete.
    Response {
        /// Body, with the chunks of a streamed response joined.
        body: Bytes,
        /// Content type the runtime client declared.
        content_type: String,
        /// Whether the client asked for response streaming.
        streaming: bool,
    },
    /// An error in the shape `{errorType, errorMessage, …}`.
    Error(Value),
}

/// A Runtime API server. Dropping it closes the port.
pub struct RuntimeApi {
    address: SocketAddr,
    queue: mpsc::UnboundedSender<Invocation>,
    state: Arc<State>,
    server: JoinHandle<()>,
}

struct State {
    function_arn: String,
    queue: Mutex<mpsc::UnboundedReceiver<Invocation>>,
    pending: std::sync::Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    connections: AtomicU64,
    polls: AtomicU64,
    invocations: AtomicU64,
    first_poll: watch::Sender<Option<Instant>>,
    init_error: watch::Sender<Option<Value>>,
}

impl RuntimeApi {
    /// Listens on a free loopback port.
    pub async fn start(function: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let (queue, receiver) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            function_arn: format!("arn:aws:lambda:eu-west-1:123456789012:function:{function}"),
            queue: Mutex::new(receiver),
            pending: std::sync::Mutex::default(),
            connections: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            invocations: AtomicU64::new(0),
            first_poll: watch::Sender::new(None),
            init_error: watch::Sender::new(None),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, queue, state, server }
    }

    /// `host:port`, the value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Queues an invocation. The receiver yields its outcome; it fails when the API goes away.
    pub fn submit(&self, invocation: Invocation) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.state.pending.lock().unwrap().insert(invocation.request_id.clone(), sender);
        self.queue.send(invocation).expect("the state keeps the receiver");
        receiver
    }

    /// TCP connections accepted from the function.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Requests for the next invocation, answered or still waiting.
    pub fn polls(&self) -> u64 {
        self.state.polls.load(Ordering::SeqCst)
    }

    /// Invocations handed to the function.
    pub fn invocations(&self) -> u64 {
        self.state.invocations.load(Ordering::SeqCst)
    }

    /// When the function first asked for work: the end of its initialisation.
    pub fn first_poll(&self) -> watch::Receiver<Option<Instant>> {
        self.state.first_poll.subscribe()
    }

    /// The report of a failed initialisation.
    pub fn init_error(&self) -> watch::Receiver<Option<Value>> {
        self.state.init_error.subscribe()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::SeqCst);
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.route(request).await) }
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            // The other end may go at any time; its process is watched elsewhere.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl State {
    async fn route(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(rest) = path.strip_prefix(PREFIX) else {
            return refuse(StatusCode::NOT_FOUND, "UnknownPath");
        };
        let segments: Vec<&str> = rest.split('/').collect();
        match (request.method(), segments.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                let outcome = read_response(request).await;
                self.settle(id, outcome)
            }
            (&Method::POST, ["invocation", id, "error"]) => {
                let outcome = Outcome::Error(read_error(request).await);
                self.settle(id, outcome)
            }
            (&Method::POST, ["init", "error"]) => {
                let error = read_error(request).await;
                self.init_error.send_replace(Some(error));
                accepted()
            }
            _ => refuse(StatusCode::NOT_FOUND, "UnknownPath"),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        self.first_poll.send_if_modified(|first| {
            let modified = first.is_none();
            first.get_or_insert_with(Instant::now);
            modified
        });
        let Some(invocation) = self.queue.lock().await.recv().await else {
            return refuse(StatusCode::GONE, "ShuttingDown");
        };
        self.invocations.fetch_add(1, Ordering::SeqCst);
        Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .header("lambda-runtime-aws-request-id", invocation.request_id)
            .header("lambda-runtime-deadline-ms", invocation.deadline_ms)
            .header("lambda-runtime-invoked-function-arn", &self.function_arn)
            .header("lambda-runtime-trace-id", invocation.trace_id)
            .body(Full::new(invocation.payload))
            .expect("the headers are valid")
    }

    fn settle(&self, request_id: &str, outcome: Outcome) -> Response<Full<Bytes>> {
        match self.pending.lock().unwrap().remove(request_id) {
            Some(waiting) => {
                // Nobody waits any more after a timeout.
                let _ = waiting.send(outcome);
                accepted()
            }
            None => refuse(StatusCode::FORBIDDEN, "InvalidRequestID"),
        }
    }
}

async fn read_response(request: Request<Incoming>) -> Outcome {
    let (head, body) = request.into_parts();
    match body.collect().await {
        Ok(collected) => {
            let trailer = collected.trailers().and_then(error_of_trailer);
            trailer.map_or_else(
                || Outcome::Response {
                    content_type: text(&head.headers, "content-type"),
                    streaming: text(&head.headers, "lambda-runtime-function-response-mode") == "streaming",
                    body: collected.to_bytes(),
                },
                Outcome::Error,
            )
        }
        Err(error) => Outcome::Error(json!({
            "errorType": "Runtime.TruncatedResponse",
            "errorMessage": error.to_string(),
        })),
    }
}

/// A streamed response reports an error that came after its first byte in the trailer.
fn error_of_trailer(trailers: &HeaderMap) -> Option<Value> {
    let kind = text(trailers, "lambda-runtime-function-error-type");
    (!kind.is_empty()).then(|| {
        json!({
            "errorType": kind,
            "errorMessage": text(trailers, "lambda-runtime-function-error-body"),
        })
    })
}

async fn read_error(request: Request<Incoming>) -> Value {
    let kind = text(request.headers(), "lambda-runtime-function-error-type");
    let body = request.into_body().collect().await.map(|collected| collected.to_bytes());
    let document = body.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    document.unwrap_or_else(|| json!({ "errorType": kind, "errorMessage": "" }))
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn accepted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(r#"{"status":"OK"}"#));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn refuse(status: StatusCode, kind: &str) -> Response<Full<Bytes>> {
    let body = json!({ "errorType": kind, "errorMessage": kind }).to_string();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
