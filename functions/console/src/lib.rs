//! `GET /console`, `GET /account` and `GET /console/{asset}`, `GET /account/{asset}`

use lambda_http::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY};
use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error as LambdaError, Request};
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::{empty, with_entity_tag};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::crypto;
use shared::error::{Error, Result};
use std::borrow::Cow;

/// What differs between deployments.
pub struct Pages {
    /// Origins whose pages may embed `/account` and hand it an access token; none by default.
    pub parent_origins: Vec<String>,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml; charset=utf-8";

/// Where the allowed parents stand in the page.
const PARENT_ORIGINS: &str = "{parentOrigins}";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Everything that the pages load, under the folder of either.
const ASSETS: [(&str, &str, &str); 20] = [
    ("account.css", STYLE, include_str!("../assets/account.css")),
    ("account.js", SCRIPT, include_str!("../assets/account.js")),
    ("alerts.js", SCRIPT, include_str!("../assets/alerts.js")),
    ("api.js", SCRIPT, include_str!("../assets/api.js")),
    ("audit.js", SCRIPT, include_str!("../assets/audit.js")),
    ("base.css", STYLE, include_str!("../assets/base.css")),
    ("charts.js", SCRIPT, include_str!("../assets/charts.js")),
    ("console.css", STYLE, include_str!("../assets/console.css")),
    ("console.js", SCRIPT, include_str!("../assets/console.js")),
    ("dom.js", SCRIPT, include_str!("../assets/dom.js")),
    ("format.js", SCRIPT, include_str!("../assets/format.js")),
    ("icon.svg", ICON, include_str!("../assets/icon.svg")),
    ("monitor.js", SCRIPT, include_str!("../assets/monitor.js")),
    ("privacy.js", SCRIPT, include_str!("../assets/privacy.js")),
    ("search.js", SCRIPT, include_str!("../assets/search.js")),
    ("security.js", SCRIPT, include_str!("../assets/security.js")),
    ("story.js", SCRIPT, include_str!("../assets/story.js")),
    ("uplot.css", STYLE, include_str!(concat!(env!("OUT_DIR"), "/node_modules/uplot/dist/uPlot.min.css"))),
    ("uplot.js", SCRIPT, include_str!(concat!(env!("OUT_DIR"), "/node_modules/uplot/dist/uPlot.iife.min.js"))),
    ("words.js", SCRIPT, include_str!("../assets/words.js")),
];

/// Serves the pages of operators and of session holders: constants, which hold no data and ask no store.
pub async fn handle(pages: &Pages, request: Request) -> std::result::Result<Response<Body>, LambdaError> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(pages, &incoming)).await
}

async fn respond(pages: &Pages, incoming: &Incoming) -> Result<Response<Body>> {
    // A credential in a query would stand in logs and histories, so none is taken.
    incoming.only_query(&[])?;
    match incoming.raw_path() {
        "/console" => page(incoming, Cow::Borrowed(include_str!("../assets/console.html")), "'none'"),
        "/account" => {
            let origins = pages.parent_origins.join(" ");
            let html = include_str!("../assets/account.html").replace(PARENT_ORIGINS, &origins);
            page(incoming, Cow::Owned(html), if origins.is_empty() { "'none'" } else { &origins })
        }
        path => {
            let name = path.strip_prefix("/console/").or_else(|| path.strip_prefix("/account/"));
            let asset = ASSETS.iter().find(|(asset, ..)| Some(*asset) == name);
            let (_, content_type, text) = asset.ok_or(Error::NotFound)?;
            content(incoming, content_type, Cow::Borrowed(text))
        }
    }
}

/// A page: it runs and shows what this function serves and nothing else, asks this host alone, and texts never become
/// markup (trusted types).
fn page(incoming: &Incoming, html: Cow<'static, str>, frame_ancestors: &str) -> Result<Response<Body>> {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors {frame_ancestors}; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let policy = HeaderValue::from_str(&policy).map_err(|error| Error::Internal(error.to_string()))?;
    let mut response = content(incoming, HTML, html)?;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// A text under the digest of its bytes; 304 to whoever has it.
fn content(incoming: &Incoming, content_type: &'static str, text: Cow<'static, str>) -> Result<Response<Body>> {
    let digest = crypto::encode(&crypto::sha256(text.as_bytes())[..16]);
    if incoming.has_entity_tag(&digest)? {
        return Ok(with_entity_tag(empty(StatusCode::NOT_MODIFIED), &digest));
    }
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(with_entity_tag(response, &digest))
}
