//! `GET /analytics/{report}`

use lambda_http::http::Response;
use lambda_http::{Body, Error, Request};
use serde::Serialize;
use shared::adapters::http::request::Incoming;
use shared::adapters::http::response::{csv_file, json};
use shared::adapters::http::serve::{ErrorShape, serve};
use shared::core::analytics::query::{Format, Parameters, Query, Report};
use shared::core::analytics::report::Rows;
use shared::core::time::Timestamp;
use shared::error::{Error as Refusal, Result};
use shared::service::analytics::{Analytics, query_analytics};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    report: &'static str,
    from: String,
    to: String,
    interval: &'static str,
    time_zone: &'a str,
    rows: Rows,
}

/// Answers a report.
pub async fn handle(analytics: &Analytics, request: Request) -> std::result::Result<Response<Body>, Error> {
    let incoming = Incoming::new(request);
    serve(ErrorShape::Problem, &incoming, respond(analytics, &incoming)).await
}

async fn respond(analytics: &Analytics, incoming: &Incoming) -> Result<Response<Body>> {
    incoming.only_query(&["from", "to", "interval", "timeZone", "by", "format"])?;
    let inbound = incoming.inbound()?;
    let query = parse(incoming, inbound.now)?;
    let rows = query_analytics(analytics, &inbound, &query).await?;
    let Query { report, interval, zone, .. } = &query;
    let report = report.as_str();
    match query.format {
        Format::Csv => {
            let text = rows.csv().ok_or_else(|| Refusal::Internal("rows that are no table".into()))?;
            Ok(csv_file(report, text))
        }
        Format::Json => {
            let (from, to) = (zone.show(query.from()), zone.show(query.to()));
            let answer = Answer { report, from, to, interval: interval.as_str(), time_zone: zone.name(), rows };
            Ok(json(lambda_http::http::StatusCode::OK, &answer))
        }
    }
}

fn parse(incoming: &Incoming, now: Timestamp) -> Result<Query> {
    let report = incoming.report().as_deref().and_then(Report::parse).ok_or(Refusal::NotFound)?;
    let parameters = Parameters {
        from: incoming.query("from")?,
        to: incoming.query("to")?,
        interval: incoming.query("interval")?,
        time_zone: incoming.query("timeZone")?,
        by: incoming.query("by")?,
        format: incoming.query("format")?,
    };
    Query::parse(report, &parameters, now).map_err(|error| Refusal::InvalidRequest(vec![error]))
}
