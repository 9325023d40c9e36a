//! Building responses.

use crate::service::device_bound::{COOKIE, COOKIE_ATTRIBUTES, Cookie};
use lambda_http::Body;
use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, SET_COOKIE,
};
use lambda_http::http::{Response, StatusCode};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const HSTS: HeaderName = HeaderName::from_static("strict-transport-security");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A JSON response.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_string(body).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A file of comma-separated values with a header (RFC 4180), for a spreadsheet and not for the browser.
pub fn csv_file(name: &str, text: String) -> Response<Body> {
    const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, CSV);
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// A response without a body.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// With the version as `ETag`.
pub fn with_etag(response: Response<Body>, version: u32) -> Response<Body> {
    with_entity_tag(response, &version.to_string())
}

/// With this text as a strong `ETag`.
pub fn with_entity_tag(mut response: Response<Body>, tag: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// With a `Location`.
pub fn with_location(mut response: Response<Body>, path: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// With the cookie of a device bound session.
pub fn with_cookie(mut response: Response<Body>, cookie: &Cookie) -> Response<Body> {
    let Cookie { value, max_age_seconds } = cookie;
    let text = format!("{COOKIE}={value}; Max-Age={max_age_seconds}; {COOKIE_ATTRIBUTES}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
    response
}

/// That caches may keep for some seconds; everything else is `no-store`.
pub fn cacheable(mut response: Response<Body>, seconds: u32) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(&format!("public, max-age={seconds}")) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}

/// What every response carries.
pub fn complete(response: &mut Response<Body>, request_id: &str) {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(HSTS, HeaderValue::from_static("max-age=63072000; includeSubDomains"));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(request_id)
        && !request_id.is_empty()
    {
        headers.insert(REQUEST_ID, value);
    }
}
