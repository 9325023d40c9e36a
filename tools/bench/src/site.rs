//! What sections share: the deployment that is measured, its sessions, and events for its functions.
//!
//! | variable | meaning |
//! |---|---|
//! | `TEST_…` | the services, and the folder of the functions: stripped release code of what is measured |
//! | `BENCH_SYMBOLS` | folder of the same functions with their symbols, for profiles |
//! | `BENCH_TOWER_SESSIONS`, `BENCH_EXPRESS` | the server program of one rival, the folder of the other |
//! | `BENCH_AUDIT` | the program that measures the drain of the audit |

use std::path::PathBuf;
use std::time::Duration;

use integration_tests::application::SessionTokens;
use integration_tests::environment::{Environment, EnvironmentSpec};
use integration_tests::gateway::{self, GatewayRequest};
use integration_tests::request::{DEFAULT_SOURCE_IP, DEFAULT_USER_AGENT};
use integration_tests::{Stack, StackBuilder, Value, json, settings};
use redis::aio::MultiplexedConnection;
use time::OffsetDateTime;

/// Seed of everything that is random.
pub const SEED: u64 = 20_261_128;

/// The floor of functions.
pub const HELLO: &str = "bench-hello";

/// A variable that the script sets.
pub fn variable(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `make bench`")).into()
}

/// A stack with one environment per function. An invocation may take long: a section has a limit of its own.
pub async fn stack(shape: impl FnOnce(StackBuilder) -> StackBuilder) -> Stack {
    shape(Stack::builder().with_environments(1)).start().await
}

/// What a session holds: 120 bytes of JSON.
pub fn data() -> Value {
    let data = json!({
        "cart": ["sku-104233", "sku-77"],
        "csrf": "k3J0c2Vzc2lvbi1iZW5jaG1hcmstdG9rZW4x",
        "locale": "en-GB",
        "theme": "dark",
        "step": 3
    });
    debug_assert!(data.to_string().len().abs_diff(120) < 16);
    data
}

/// What an application states of the client.
pub fn client() -> Value {
    json!({ "ip": DEFAULT_SOURCE_IP, "userAgent": "shop-app/4.2 (Android 16)" })
}

/// A new session of the usual shape.
pub async fn session(stack: &Stack, user: &str) -> SessionTokens {
    let body = json!({ "userId": user, "data": data(), "client": client() });
    SessionTokens::from_created(&stack.app.create_session(body).await)
}

/// The event of a request by the application.
pub fn event(stack: &Stack, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Value {
    let mut headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.push(("authorization".to_owned(), format!("Bearer {}", stack.app.key)));
    if body.is_some() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let request = GatewayRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        source_ip: DEFAULT_SOURCE_IP.to_owned(),
        user_agent: DEFAULT_USER_AGENT.to_owned(),
    };
    let route = stack.gateway.routes().find(method, path).expect("a route");
    gateway::event(&request, &route, "sessions.test", OffsetDateTime::now_utc())
}

/// The event that reads a session.
pub fn read_event(stack: &Stack, session_id: &str) -> Value {
    event(stack, "GET", &format!("/sessions/{session_id}"), None, &[])
}

/// The event that refreshes a session.
pub fn refresh_event(stack: &Stack, session_id: &str, token: &str) -> Value {
    let body = json!({ "refreshToken": token, "client": client() });
    event(stack, "POST", &format!("/sessions/{session_id}/refresh"), Some(&body), &[])
}

/// The specification of a function in the stack; of the floor, which knows no store, as well.
pub fn specification(stack: &Stack, function: &str) -> EnvironmentSpec {
    let mut spec = match function {
        // The allocator of the floor is set as that of every function.
        HELLO => {
            let variables = vec![("MIMALLOC_ALLOW_THP".to_owned(), "0".to_owned())];
            EnvironmentSpec { variables, ..EnvironmentSpec::new(HELLO) }
        }
        function => stack.fleet.specification(function, 0),
    };
    spec.timeout = Duration::from_secs(300);
    spec
}

/// A warm environment of a function.
pub async fn environment(stack: &Stack, function: &str) -> Environment {
    let environment = Environment::spawn(specification(stack, function)).await;
    environment.ready().await.unwrap_or_else(|error| panic!("{function}: {error}"));
    environment
}

/// Invokes and holds the response to a status. The floor answers anything with 200.
pub async fn invoke(environment: &Environment, event: &Value, status: u64) -> Value {
    let response = environment.invoke(event).await.unwrap_or_else(|error| panic!("an invocation: {error}"));
    assert_eq!(response["statusCode"].as_u64(), Some(status), "{response}");
    response
}

/// The JSON body of a response.
pub fn body(response: &Value) -> Value {
    serde_json::from_str(response["body"].as_str().expect("a text body")).expect("JSON")
}

/// The process of a Redis.
pub async fn redis_pid(connection: &mut MultiplexedConnection) -> u32 {
    let info: redis::InfoDict = redis::cmd("INFO").arg("server").query_async(connection).await.expect("INFO");
    info.get("process_id").expect("a process id")
}

/// A number of `INFO memory`.
pub async fn redis_memory(connection: &mut MultiplexedConnection, name: &str) -> f64 {
    let info: redis::InfoDict = redis::cmd("INFO").arg("memory").query_async(connection).await.expect("INFO");
    info.get(name).unwrap_or_else(|| panic!("no {name}"))
}

/// Microseconds inside a command so far, and its calls, by `INFO commandstats`.
pub async fn command_time(connection: &mut MultiplexedConnection, command: &str) -> (f64, f64) {
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(connection).await.expect("INFO");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:"))).unwrap_or_default();
    let number = |name: &str| {
        let part = line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        part.and_then(|text| text.parse::<f64>().ok()).unwrap_or_default()
    };
    (number("usec"), number("calls"))
}

/// Calls of a command so far.
pub async fn command_calls(connection: &mut MultiplexedConnection, command: &str) -> f64 {
    command_time(connection, command).await.1
}

/// A file in a folder of this section.
pub fn scratch() -> &'static std::path::Path {
    settings::log_dir()
}
