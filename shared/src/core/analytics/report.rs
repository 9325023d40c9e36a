//! The rows of reports, and how they are written.

use crate::core::alerts::Alert;
use crate::core::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// Sessions, activities and active users of one interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityRow {
    /// When it begins, by the clock of the zone.
    pub start: String,
    /// Sessions created.
    pub created: i64,
    /// Sessions ended.
    pub ended: i64,
    /// Refreshes.
    pub refreshed: i64,
    /// Recorded activities.
    pub activities: i64,
    /// Distinct users with an event.
    pub active_users: u64,
    /// Distinct sessions with an event.
    pub active_sessions: u64,
    /// Sessions open at its end.
    pub open_sessions: i64,
}

/// How long sessions lasted that ended in the time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DurationRow {
    /// What they have in common.
    pub key: String,
    /// How many.
    pub count: u64,
    /// Mean.
    pub mean_seconds: f64,
    /// Median.
    pub p50_seconds: f64,
    /// 90th percentile.
    pub p90_seconds: f64,
    /// 95th percentile.
    pub p95_seconds: f64,
    /// 99th percentile.
    pub p99_seconds: f64,
}

/// Sessions created from a country.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CountryRow {
    /// ISO 3166-1 code, or `unknown`.
    pub country: String,
    /// Sessions.
    pub sessions: i64,
    /// Distinct users of them.
    pub users: u64,
}

/// Sessions created on a kind of device.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRow {
    /// The kind, or `unknown`.
    pub device_type: String,
    /// Sessions.
    pub sessions: i64,
    /// Distinct users of them.
    pub users: u64,
}

/// Security events of one interval, type and reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRow {
    /// When the interval begins.
    pub start: String,
    /// Event type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its reason; empty when the type says it all.
    pub reason: String,
    /// How many.
    pub count: i64,
}

/// Handling times of one interval and operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PerformanceRow {
    /// When the interval begins.
    pub start: String,
    /// The operation.
    pub operation: String,
    /// Requests measured.
    pub count: u64,
    /// Median.
    pub p50_millis: f64,
    /// 95th percentile.
    pub p95_millis: f64,
    /// 99th percentile.
    pub p99_millis: f64,
}

/// An alert as reports show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertRow {
    /// Its id.
    pub alert_id: String,
    /// What fired.
    pub rule: &'static str,
    /// `warning` or `critical`.
    pub severity: &'static str,
    /// `firing` or `resolved`.
    pub state: &'static str,
    /// When it fired.
    pub started_at: Timestamp,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// The highest value so far.
    pub value: f64,
    /// From which value on it fired.
    pub threshold: f64,
    /// A sentence for people.
    pub summary: String,
}

impl From<Alert> for AlertRow {
    fn from(alert: Alert) -> Self {
        AlertRow {
            rule: alert.rule.as_str(),
            severity: alert.rule.severity().as_str(),
            state: if alert.resolved_at.is_some() { "resolved" } else { "firing" },
            started_at: alert.started_at,
            resolved_at: alert.resolved_at,
            value: alert.value,
            threshold: alert.threshold,
            summary: alert.rule.summary(alert.value, alert.threshold),
            alert_id: alert.alert_id,
        }
    }
}

/// The rows of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rows {
    /// Of the report `activity`.
    Activity(Vec<ActivityRow>),
    /// Of `durations`.
    Durations(Vec<DurationRow>),
    /// Of `geography`.
    Geography(Vec<CountryRow>),
    /// Of `devices`.
    Devices(Vec<DeviceRow>),
    /// Of `security-events`.
    Security(Vec<SecurityRow>),
    /// Of `performance`.
    Performance(Vec<PerformanceRow>),
    /// Of `alerts`.
    Alerts(Vec<AlertRow>),
}

impl Rows {
    /// The columns, in the order of the contract; there is a header even above no rows.
    fn columns(&self) -> &'static [&'static str] {
        match self {
            Rows::Activity(_) => &[
                "start",
                "created",
                "ended",
                "refreshed",
                "activities",
                "activeUsers",
                "activeSessions",
                "openSessions",
            ],
            Rows::Durations(_) => {
                &["key", "count", "meanSeconds", "p50Seconds", "p90Seconds", "p95Seconds", "p99Seconds"]
            }
            Rows::Geography(_) => &["country", "sessions", "users"],
            Rows::Devices(_) => &["deviceType", "sessions", "users"],
            Rows::Security(_) => &["start", "type", "reason", "count"],
            Rows::Performance(_) => &["start", "operation", "count", "p50Millis", "p95Millis", "p99Millis"],
            Rows::Alerts(_) => {
                &["alertId", "rule", "severity", "state", "startedAt", "resolvedAt", "value", "threshold", "summary"]
            }
        }
    }

    /// Comma-separated values (RFC 4180), which no spreadsheet takes for formulas (ASVS 1.2.10).
    pub fn csv(&self) -> Option<String> {
        let columns = self.columns();
        let rows: Vec<Map<String, Value>> = serde_json::from_value(serde_json::to_value(self).ok()?).ok()?;
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        writer.write_record(columns).ok()?;
        for row in rows {
            let cells = columns.iter().map(|column| match row.get(*column) {
                Some(Value::String(text)) => harmless(text),
                Some(value) => value.to_string(),
                None => String::new(),
            });
            writer.write_record(cells).ok()?;
        }
        String::from_utf8(writer.into_inner().ok()?).ok()
    }
}

/// A text that a spreadsheet shows and does not run: one that would begin a formula gets an apostrophe in front.
fn harmless(text: &str) -> String {
    let dangerous = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0']);
    if dangerous { format!("'{text}") } else { text.to_owned() }
}

/// A number as reports tell it: three digits behind the point.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asvs_1_2_10_files_have_a_header_and_no_formulas() {
        let rows = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\0x", "a,\"b\"", "plain"];
        let rows = rows.map(|country| CountryRow { country: country.into(), sessions: -1, users: 2 });
        let text = Rows::Geography(rows.to_vec()).csv().expect("text");
        assert!(text.starts_with("country,sessions,users\r\n'=1+1,-1,2\r\n'+1,"), "{text}");
        assert!(text.contains("\"a,\"\"b\"\"\",-1,2\r\nplain,-1,2\r\n"), "{text}");
        for line in text.lines().skip(1) {
            let first = line.trim_start_matches('"').chars().next().unwrap_or_default();
            assert!(!"=+-@\t\r\0".contains(first), "{line}");
        }
        assert_eq!(Rows::Devices(Vec::new()).csv().as_deref(), Some("deviceType,sessions,users\r\n"));
    }
}
