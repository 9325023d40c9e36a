//! Reports, read from roll-ups: the caller's application and no other.

use super::alerts;
use super::authenticate;
use super::inbound::Inbound;
use super::rate;
use super::runtime::Service;
use crate::adapters::postgres::Database;
use crate::adapters::postgres::rollups::{self, Found, Spans};
use crate::core::analytics::grain::{Span, cover};
use crate::core::analytics::query::{Query, Report};
use crate::core::analytics::report::{
    ActivityRow, CountryRow, DeviceRow, DurationRow, PerformanceRow, Rows, SecurityRow, rounded,
};
use crate::core::analytics::{Grain, Metric, Slot};
use crate::core::application::Scope;
use crate::core::time::Timestamp;
use crate::error::Result;
use tokio_postgres::Client;

/// What answers reports.
pub struct Analytics {
    /// Who is calling.
    pub service: Service,
    /// Roll-ups.
    pub database: Database,
}

/// Answers a question about the caller's application.
pub async fn query_analytics(analytics: &Analytics, inbound: &Inbound, query: &Query) -> Result<Rows> {
    rate::watch(&analytics.service, inbound, answer(analytics, inbound, query)).await
}

/// Refuses whoever may not ask, before the question is looked at.
async fn answer(analytics: &Analytics, inbound: &Inbound, query: &Query) -> Result<Rows> {
    let application = authenticate::application(&analytics.service, inbound, Scope::AnalyticsRead).await?;
    let client = analytics.database.client().await?;
    report(&client, &application.application_id, query).await
}

/// The rows of a report about an application.
pub async fn report(client: &Client, application: &str, query: &Query) -> Result<Rows> {
    let times = query.times();
    let covers: Vec<Vec<Span>> = times.iter().map(|slot| cover(slot.start, slot.end, query.finest())).collect();
    let source = Source { client, application, spans: Spans::of(&covers), query, times };
    match query.report {
        Report::Activity => source.activity().await,
        Report::Durations => source.durations().await,
        Report::Geography => source.geography().await,
        Report::Devices => source.devices().await,
        Report::SecurityEvents => source.security().await,
        Report::Performance => source.performance().await,
        Report::Alerts => source.alerts().await,
    }
}

/// Where the rows of one report come from.
struct Source<'a> {
    client: &'a Client,
    application: &'a str,
    spans: Spans,
    query: &'a Query,
    times: Vec<Slot>,
}

impl Source<'_> {
    async fn counts(&self, metrics: &[Metric]) -> Result<Found<i64>> {
        rollups::counts(self.client, self.application, &self.spans, metrics).await
    }

    async fn distinct(&self, metrics: &[Metric]) -> Result<Found<u64>> {
        rollups::distinct(self.client, self.application, &self.spans, metrics).await
    }

    fn start(&self, slot: usize) -> String {
        self.times.get(slot).map(|slot| self.query.zone.show(slot.start)).unwrap_or_default()
    }

    async fn activity(&self) -> Result<Rows> {
        let counts = self.counts(&[Metric::Created, Metric::Ended, Metric::Refreshed, Metric::Activities]).await?;
        let distinct = self.distinct(&[Metric::ActiveUsers, Metric::ActiveSessions]).await?;
        let mut open = self.open_before().await?;
        let mut rows = Vec::with_capacity(self.times.len());
        for slot in 0..self.times.len() {
            let (created, ended) = (sum(&counts, slot, Metric::Created), sum(&counts, slot, Metric::Ended));
            open += created - ended;
            let distinct = |metric: Metric| {
                distinct.get(&(slot, metric.as_str().to_owned(), String::new())).copied().unwrap_or_default()
            };
            rows.push(ActivityRow {
                start: self.start(slot),
                created,
                ended,
                refreshed: sum(&counts, slot, Metric::Refreshed),
                activities: sum(&counts, slot, Metric::Activities),
                active_users: distinct(Metric::ActiveUsers),
                active_sessions: distinct(Metric::ActiveSessions),
                open_sessions: open,
            });
        }
        Ok(Rows::Activity(rows))
    }

    /// Sessions open when the report begins: all that were ever created less all that ended, from whole months and what is
    /// left over.
    async fn open_before(&self) -> Result<i64> {
        let from = self.query.from();
        let month = Grain::Month.floor(from);
        let mut spans = vec![Span { grain: Grain::Month, first: Timestamp::from_millis(0), past: month }];
        spans.extend(cover(month, from, self.query.finest()));
        let metrics = [Metric::Created, Metric::Ended];
        let counts = rollups::counts(self.client, self.application, &Spans::of(&[spans]), &metrics).await?;
        Ok(sum(&counts, 0, Metric::Created) - sum(&counts, 0, Metric::Ended))
    }

    async fn durations(&self) -> Result<Rows> {
        let metric = self.query.by.metric();
        let spreads = rollups::spreads(self.client, self.application, &self.spans, metric).await?;
        let row = |((_, _, key), spread): (&(usize, String, String), &crate::core::analytics::Spread)| DurationRow {
            key: if key.is_empty() { self.application.to_owned() } else { key.clone() },
            count: spread.count(),
            mean_seconds: rounded(spread.mean()),
            p50_seconds: rounded(spread.quantile(0.5)),
            p90_seconds: rounded(spread.quantile(0.9)),
            p95_seconds: rounded(spread.quantile(0.95)),
            p99_seconds: rounded(spread.quantile(0.99)),
        };
        Ok(Rows::Durations(spreads.iter().map(row).collect()))
    }

    async fn geography(&self) -> Result<Rows> {
        let row = |(country, sessions, users)| CountryRow { country, sessions, users };
        Ok(Rows::Geography(self.ranked(Metric::Countries, Metric::CountryUsers).await?.map(row).collect()))
    }

    async fn devices(&self) -> Result<Rows> {
        let row = |(device_type, sessions, users)| DeviceRow { device_type, sessions, users };
        Ok(Rows::Devices(self.ranked(Metric::Devices, Metric::DeviceUsers).await?.map(row).collect()))
    }

    /// Keys with their sessions and users, those with the most sessions first.
    async fn ranked(&self, sessions: Metric, users: Metric) -> Result<impl Iterator<Item = (String, i64, u64)>> {
        let counts = self.counts(&[sessions]).await?;
        let distinct = self.distinct(&[users]).await?;
        let mut ranked: Vec<(String, i64, u64)> = counts
            .into_iter()
            .map(|((slot, _, key), count)| {
                let users = distinct.get(&(slot, users.as_str().to_owned(), key.clone())).copied();
                (key, count, users.unwrap_or_default())
            })
            .collect();
        ranked.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        Ok(ranked.into_iter())
    }

    async fn security(&self) -> Result<Rows> {
        let counts = self.counts(&[Metric::Security]).await?;
        let row = |((slot, _, key), count): ((usize, String, String), i64)| {
            let (event_type, reason) = key.split_once(' ').unwrap_or((&key, ""));
            SecurityRow { start: self.start(slot), event_type: event_type.into(), reason: reason.into(), count }
        };
        Ok(Rows::Security(counts.into_iter().map(row).collect()))
    }

    /// Those of the application, and those of the whole service that tell it what to expect.
    async fn alerts(&self) -> Result<Rows> {
        let from = self.times.first().map_or_else(|| self.query.from(), |slot| slot.start);
        let to = self.times.last().map_or(from, |slot| slot.end);
        alerts::recent(self.client, self.application, from, to).await.map(Rows::Alerts)
    }

    async fn performance(&self) -> Result<Rows> {
        let spreads = rollups::spreads(self.client, self.application, &self.spans, Metric::Handling).await?;
        let row = |((slot, _, operation), spread): ((usize, String, String), crate::core::analytics::Spread)| {
            PerformanceRow {
                start: self.start(slot),
                operation,
                count: spread.count(),
                p50_millis: rounded(spread.quantile(0.5)),
                p95_millis: rounded(spread.quantile(0.95)),
                p99_millis: rounded(spread.quantile(0.99)),
            }
        };
        Ok(Rows::Performance(spreads.into_iter().map(row).collect()))
    }
}

/// A counter of one time, over all its keys.
fn sum(counts: &Found<i64>, slot: usize, metric: Metric) -> i64 {
    let of_metric =
        |((other, name, _), _): &(&(usize, String, String), &i64)| *other == slot && name == metric.as_str();
    let from = (slot, metric.as_str().to_owned(), String::new());
    counts.range(from..).take_while(of_metric).map(|(_, count)| count).sum()
}
