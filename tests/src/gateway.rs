//! API Gateway HTTP API, payload format 2.0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::clock::Clock;
use crate::fleet::Fleet;
use crate::response::Response;
use crate::routes::{RouteMatch, RouteTable, percent_decode};
use crate::{secrets, settings};

/// What a client sends.
#[derive(Clone, Debug)]
pub struct GatewayRequest {
    /// Method, in capitals.
    pub method: String,
    /// Path, still percent-encoded, with the query if there is one.
    pub path: String,
    /// Headers in the order sent, duplicates and all.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Address of the peer.
    pub source_ip: String,
    /// User agent.
    pub user_agent: String,
}

/// The front door: routes requests to functions.
pub struct Gateway {
    routes: RouteTable,
    fleet: Arc<Fleet>,
    domain: String,
    clock: Option<Clock>,
}

impl Gateway {
    /// A gateway before `fleet`, answering for `domain`. With a clock, events carry its time.
    pub fn new(routes: RouteTable, fleet: Arc<Fleet>, domain: &str, clock: Option<Clock>) -> Self {
        Self { routes, fleet, domain: domain.to_owned(), clock }
    }

    /// The routes.
    pub fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// The environments behind the gateway.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Serves one request, in a given environment of the function if `environment` names one.
    pub async fn send(
        &self,
        request: &GatewayRequest,
        environment: Option<usize>,
        timeout: Option<Duration>,
    ) -> Response {
        let Some(route) = self.routes.find(&request.method, split_query(&request.path).0) else {
            return Response::of_gateway(404, "Not Found");
        };
        let now = self.clock.as_ref().map_or_else(OffsetDateTime::now_utc, Clock::now);
        let event = event(request, &route, &self.domain, now);
        let result = self.fleet.invoke_with(&route.function, &event, environment, timeout).await;
        let response = Response::of_invocation(&route.function, result);
        if let Ok(document) = serde_json::from_slice(&response.body) {
            secrets::register_from(&document);
        }
        response
    }
}

/// The event a function receives for a request.
pub fn event(request: &GatewayRequest, route: &RouteMatch, domain: &str, now: OffsetDateTime) -> Value {
    let (raw_path, query) = split_query(&request.path);
    // HTTP APIs hand over the path decoded, unlike REST APIs and function URLs.
    let path = percent_decode(raw_path);
    let (headers, cookies) = headers(request, domain);
    let time_format = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    let mut event = json!({
        "version": "2.0",
        "routeKey": route.route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "harness",
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": request.user_agent,
            },
            "requestId": STANDARD.encode(rand::random::<[u8; 11]>()),
            "routeKey": route.route_key,
            "stage": "$default",
            "time": now.format(&time_format).expect("a time can be written"),
            "timeEpoch": now.unix_timestamp_nanos() / 1_000_000,
        },
        "isBase64Encoded": false,
    });
    let members = event.as_object_mut().expect("an object");
    if !cookies.is_empty() {
        members.insert("cookies".to_owned(), cookies.into());
    }
    if !query.is_empty() {
        members.insert("queryStringParameters".to_owned(), query_parameters(query));
    }
    if !route.parameters.is_empty() {
        members.insert("pathParameters".to_owned(), json!(route.parameters));
    }
    if !request.body.is_empty() {
        match std::str::from_utf8(&request.body) {
            Ok(text) if is_text(members["headers"]["content-type"].as_str()) => {
                members.insert("body".to_owned(), text.into());
            }
            _ => {
                members.insert("body".to_owned(), STANDARD.encode(&request.body).into());
                members.insert("isBase64Encoded".to_owned(), true.into());
            }
        }
    }
    event
}

/// Turns a streamed response (a JSON prelude, eight zero bytes, the body) into a buffered one.
pub(crate) fn buffered(streamed: &[u8]) -> Value {
    let boundary = streamed.windows(8).position(|window| window == [0; 8]);
    let at = boundary.expect("a streamed response has a prelude");
    let mut document: Value = serde_json::from_slice(&streamed[..at]).expect("the prelude is JSON");
    document["body"] = STANDARD.encode(&streamed[at + 8..]).into();
    document["isBase64Encoded"] = true.into();
    document
}

/// Headers as the event carries them (lower case, duplicates joined, the gateway's own added) and the cookies.
fn headers(request: &GatewayRequest, domain: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let mut headers = BTreeMap::<String, String>::new();
    let mut cookies = Vec::new();
    let sent = request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
    let peer = [
        ("user-agent".to_owned(), request.user_agent.as_str()),
        ("x-forwarded-for".to_owned(), request.source_ip.as_str()),
    ];
    for (name, value) in sent.chain(peer.into_iter().filter(|(_, value)| !value.is_empty())) {
        if name == "cookie" {
            cookies.extend(value.split(';').map(|cookie| cookie.trim().to_owned()));
            continue;
        }
        headers.entry(name).and_modify(|held| *held = format!("{held},{value}")).or_insert_with(|| value.to_owned());
    }
    headers.insert("host".to_owned(), domain.to_owned());
    headers.insert("content-length".to_owned(), request.body.len().to_string());
    headers.insert("x-forwarded-port".to_owned(), "443".to_owned());
    headers.insert("x-forwarded-proto".to_owned(), "https".to_owned());
    let trace = format!("Root=1-{}-{}", settings::random_hex(4), settings::random_hex(12));
    headers.insert("x-amzn-trace-id".to_owned(), trace);
    (headers, cookies)
}

/// The content types whose bodies AWS passes on as text. Everything else arrives in base64: forms, other JSON types and
/// bodies without a type as well.
fn is_text(content_type: Option<&str>) -> bool {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.starts_with("text/") || matches!(essence, "application/json" | "application/xml" | "application/javascript")
}

fn query_parameters(query: &str) -> Value {
    let mut parameters = Map::new();
    for (name, value) in serde_urlencoded::from_str::<Vec<(String, String)>>(query).unwrap_or_default() {
        match parameters.get_mut(&name) {
            Some(Value::String(held)) => *held = format!("{held},{value}"),
            _ => {
                parameters.insert(name, value.into());
            }
        }
    }
    Value::Object(parameters)
}

fn split_query(path: &str) -> (&str, &str) {
    path.split_once('?').unwrap_or((path, ""))
}
