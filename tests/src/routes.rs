//! Which function a request belongs to, by the rules of API Gateway HTTP APIs.

use std::collections::BTreeMap;

use crate::template::Template;

/// The routes of an API.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
}

#[derive(Clone, Debug)]
struct Route {
    method: String,
    path: String,
    function: String,
}

/// A route chosen for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// The function that serves it.
    pub function: String,
    /// `GET /sessions/{sessionId}` or `$default`.
    pub route_key: String,
    /// Path parameters, percent-decoded.
    pub parameters: BTreeMap<String, String>,
}

impl RouteTable {
    /// The routes of a template.
    pub fn from_template(template: &Template) -> Self {
        let mut table = Self::default();
        for function in template.functions() {
            for (method, path) in function.http_events() {
                table.add(method, path, &function.name());
            }
        }
        table
    }

    /// Adds one route.
    pub fn add(&mut self, method: &str, path: &str, function: &str) {
        self.routes.push(Route {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            function: function.to_owned(),
        });
    }

    /// Every route as `(method, path, function)`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.routes.iter().map(|route| (route.method.as_str(), route.path.as_str(), route.function.as_str()))
    }

    /// The most specific route for a request: static segments win over parameters, parameters over a greedy one,
    /// a named method over `ANY`, anything over `$default`.
    pub fn find(&self, method: &str, raw_path: &str) -> Option<RouteMatch> {
        let candidates = self.routes.iter().filter(|route| route.method == method || takes_any(&route.method));
        candidates
            .filter_map(|route| {
                let (rank, parameters) = route.matches(raw_path)?;
                Some(((rank, takes_any(&route.method)), route, parameters))
            })
            .min_by(|(left, ..), (right, ..)| left.cmp(right))
            .map(|(_, route, parameters)| RouteMatch {
                function: route.function.clone(),
                route_key: match route.path.as_str() {
                    "$default" => "$default".to_owned(),
                    path => format!("{} {path}", route.method.replace('*', "ANY")),
                },
                parameters,
            })
    }
}

impl Route {
    /// Rank per segment (0 static, 1 parameter, 2 greedy) and the parameters.
    fn matches(&self, raw_path: &str) -> Option<(Vec<u8>, BTreeMap<String, String>)> {
        if self.path == "$default" {
            return Some((vec![3], BTreeMap::new()));
        }
        let given: Vec<&str> = raw_path.trim_start_matches('/').split('/').collect();
        let pattern: Vec<&str> = self.path.trim_start_matches('/').split('/').collect();
        let (mut rank, mut parameters) = (Vec::new(), BTreeMap::new());
        for (at, part) in pattern.iter().enumerate() {
            let segment = *given.get(at)?;
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            match name.map(|name| (name, name.strip_suffix('+'))) {
                None if *part == segment => rank.push(0),
                None => return None,
                Some((_, Some(greedy))) => {
                    rank.push(2);
                    parameters.insert(greedy.to_owned(), percent_decode(&given[at..].join("/")));
                    return Some((rank, parameters));
                }
                Some((name, None)) if !segment.is_empty() => {
                    rank.push(1);
                    parameters.insert(name.to_owned(), percent_decode(segment));
                }
                Some(_) => return None,
            }
        }
        (given.len() == pattern.len()).then_some((rank, parameters))
    }
}

fn takes_any(method: &str) -> bool {
    matches!(method, "ANY" | "*")
}

/// Decodes `%XX`. Anything else, a stray percent sign included, stays as it is.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.filter(|_| bytes[at] == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes a text as one path segment.
pub fn percent_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
