//! Alerts: look, decide, write what changed, and hand over what has to be told.
//!
//! What fired is in the database before anybody is told, and marked as told after it has been handed over, so a run
//! that dies on the way is made up for by the next one. The id of a notice is that of the alert and of what happened to
//! it: handed over twice, it is delivered once.

use super::receivers::Receivers;
use crate::adapters::postgres::alerts::{self as table, Evaluation};
use crate::adapters::postgres::rollups;
use crate::core::alerts::{Alert, Change, Requests, Rule, Samples, Thresholds, evaluate};
use crate::core::analytics::report::AlertRow;
use crate::core::metrics::{Measure, Measured};
use crate::core::notice::Notice;
use crate::core::time::Timestamp;
use crate::error::Result;
use crate::limits::{ALERT_KEEP_SECONDS, ALERT_LOOK_BACK_SECONDS, ALERTS_RECENT_MAX};
use serde::Serialize;
use tokio_postgres::{Client, GenericClient};

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluated {
    /// Alerts that began.
    pub fired: u64,
    /// Alerts that are over.
    pub resolved: u64,
    /// Alerts that fire after it.
    pub firing: u64,
    /// Deliveries handed over; the rest had been already.
    pub handed_over: u64,
    /// How far the audit is behind, in seconds.
    pub audit_lag_seconds: i64,
}

impl Measured for Evaluated {
    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::count("AlertsFired", self.fired),
            Measure::count("AlertsResolved", self.resolved),
            Measure::count("AlertsFiring", self.firing),
            Measure::count("HandedOver", self.handed_over),
            Measure::seconds("AuditLagSeconds", self.audit_lag_seconds),
        ]
    }
}

/// The answers of the error rate's window, as environments have told them; `None` when there were none.
pub async fn answers(client: &impl GenericClient, now: Timestamp) -> Result<Option<Requests>> {
    let from = now.minus_seconds(Rule::ErrorRate.window_seconds());
    let told = rollups::error_rate(client, from, now).await?;
    Ok(told.map(|(share, count)| {
        let count = u64::try_from(count).unwrap_or(0);
        Requests { count, failed: (share * count as f64).round() as u64 }
    }))
}

/// Evaluates every rule and tells who wants to know. `requests` are the [`answers`] of the last minutes; without
/// them the error rate is left to the alarms of the stack.
pub async fn watch(
    client: &mut Client,
    receivers: &Receivers,
    thresholds: &Thresholds,
    requests: Option<Requests>,
    now: Timestamp,
) -> Result<Evaluated> {
    let mut evaluated = decide(client, thresholds, requests, now).await?;
    for untold in table::untold(client).await? {
        let notices = notices(&untold);
        evaluated.handed_over += receivers.announce(&notices).await?;
        table::told(client, &untold).await?;
    }
    Ok(evaluated)
}

async fn decide(
    client: &mut Client,
    thresholds: &Thresholds,
    requests: Option<Requests>,
    now: Timestamp,
) -> Result<Evaluated> {
    let evaluation = Evaluation::begin(client).await?;
    let earliest = now.minus_seconds(ALERT_LOOK_BACK_SECONDS);
    let since = evaluation.since.clamp(earliest, now);
    let longest = Rule::ALL.into_iter().map(Rule::window_seconds).max().unwrap_or(0);
    let events = evaluation.events(since.minus_seconds(longest)).await?;
    let written_through = evaluation.written_through().await?;
    let audit_lag_millis = written_through.map(|through| now.millis_since(through));
    let audit_lag_seconds = audit_lag_millis.map(|millis| millis as f64 / 1000.0);
    let open = evaluation.open().await?;
    let samples = Samples { since, events, audit_lag_seconds, requests };
    let changes = evaluate(thresholds, &samples, &open, now);
    let count = |wanted: fn(&Change) -> bool| changes.iter().filter(|change| wanted(change)).count() as u64;
    let fired = count(|change| matches!(change, Change::Fired(_)));
    let resolved = count(|change| matches!(change, Change::Resolved(_)));
    let through = written_through.map_or(now, |through| through.clamp(earliest, now)).max(since);
    evaluation.finish(&changes, through, now.minus_seconds(ALERT_KEEP_SECONDS)).await?;
    for change in &changes {
        log(change);
    }
    Ok(Evaluated {
        fired,
        resolved,
        firing: open.len() as u64 + fired - resolved,
        handed_over: 0,
        audit_lag_seconds: audit_lag_millis.unwrap_or(0) / 1000,
    })
}

fn log(change: &Change) {
    let (word, alert) = match change {
        Change::Continued(_) => return,
        Change::Fired(alert) => ("alert fired", alert),
        Change::Resolved(alert) => ("alert resolved", alert),
    };
    let Alert { alert_id, application_id, value, threshold, .. } = alert;
    tracing::warn!(alert_id, rule = alert.rule.as_str(), application_id, value, threshold, "{word}");
}

fn notices(untold: &table::Untold) -> Vec<Notice> {
    let alert = &untold.alert;
    let fired = untold.fired.then(|| Notice::alert_fired(alert));
    let resolved = untold.resolved.then(|| Notice::alert_resolved(alert));
    fired.into_iter().chain(resolved).collect()
}

/// Alerts that fired at some time from `from` until before `to`, as an application may see them: its own, and those
/// about the service as a whole. The newest first.
pub async fn recent(
    client: &impl GenericClient,
    application_id: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<AlertRow>> {
    let alerts = table::recent(client, application_id, from, to, ALERTS_RECENT_MAX).await?;
    Ok(alerts.into_iter().map(AlertRow::from).collect())
}
