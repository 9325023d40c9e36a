//! What a caller asks of analytics: parsed, bounded, and cut to whole intervals of its time zone.

use super::calendar::{Interval, Slot, Zone};
use super::grain::Grain;
use super::increments::Metric;
use crate::core::json::FieldError;
use crate::core::time::Timestamp;
use crate::limits::{
    ANALYTICS_DAYS_MAX, ANALYTICS_FROM_SECONDS_MIN, ANALYTICS_HOURS_MAX, ANALYTICS_MINUTES_MAX, ANALYTICS_MONTHS_MAX,
    ANALYTICS_WEEKS_MAX,
};

/// The reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Sessions, activities and active users over time.
    Activity,
    /// How long sessions lasted.
    Durations,
    /// Sessions and users by country.
    Geography,
    /// Sessions and users by kind of device.
    Devices,
    /// Security events over time.
    SecurityEvents,
    /// Handling times over time.
    Performance,
    /// Alerts that were open at some time.
    Alerts,
}

impl Report {
    /// Every report.
    pub const ALL: [Report; 7] = [
        Report::Activity,
        Report::Durations,
        Report::Geography,
        Report::Devices,
        Report::SecurityEvents,
        Report::Performance,
        Report::Alerts,
    ];

    /// The word in the path.
    pub fn as_str(self) -> &'static str {
        match self {
            Report::Activity => "activity",
            Report::Durations => "durations",
            Report::Geography => "geography",
            Report::Devices => "devices",
            Report::SecurityEvents => "security-events",
            Report::Performance => "performance",
            Report::Alerts => "alerts",
        }
    }

    /// The report of a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|report| report.as_str() == text)
    }

    /// Whether it has rows per interval; the others tell of the whole time.
    pub fn is_series(self) -> bool {
        matches!(self, Report::Activity | Report::SecurityEvents | Report::Performance)
    }
}

/// What durations are told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// All of the application.
    Application,
    /// Kind of device.
    DeviceType,
    /// Reason of the end.
    EndReason,
}

impl By {
    /// The roll-up that tells.
    pub fn metric(self) -> Metric {
        match self {
            By::Application => Metric::Durations,
            By::DeviceType => Metric::DeviceDurations,
            By::EndReason => Metric::ReasonDurations,
        }
    }
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// Comma-separated values (RFC 4180).
    Csv,
}

/// The parameters as they came.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    /// RFC 3339 or a date.
    pub from: Option<String>,
    /// RFC 3339 or a date.
    pub to: Option<String>,
    /// A word of [`Interval`].
    pub interval: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
    /// `application`, `deviceType` or `endReason`.
    pub by: Option<String>,
    /// `json` or `csv`.
    pub format: Option<String>,
}

/// A question that can be answered.
#[derive(Debug, Clone)]
pub struct Query {
    /// The report.
    pub report: Report,
    /// Spacing of its rows; its time is whole ones.
    pub interval: Interval,
    /// The zone whose clock counts.
    pub zone: Zone,
    /// What durations are told by.
    pub by: By,
    /// How to write it.
    pub format: Format,
    /// The intervals; never empty.
    pub slots: Vec<Slot>,
}

impl Query {
    /// Reads the parameters of a report. `from` is moved back and `to` forward to whole intervals.
    pub fn parse(report: Report, parameters: &Parameters, now: Timestamp) -> Result<Self, FieldError> {
        let interval = match parameters.interval.as_deref() {
            None => Interval::Day,
            Some(word) => Interval::parse(word)
                .ok_or_else(|| FieldError::new("interval", "must be minute, hour, day, week or month"))?,
        };
        if interval == Interval::Minute && !report.is_series() {
            return Err(FieldError::new("interval", "minute is for activity, security-events and performance"));
        }
        let zone = Zone::parse(parameters.time_zone.as_deref().unwrap_or("UTC"))
            .ok_or_else(|| FieldError::new("timeZone", "must be the name of an IANA time zone"))?;
        let by = match (report, parameters.by.as_deref()) {
            (_, None) => By::Application,
            (Report::Durations, Some("application")) => By::Application,
            (Report::Durations, Some("deviceType")) => By::DeviceType,
            (Report::Durations, Some("endReason")) => By::EndReason,
            (Report::Durations, Some(_)) => {
                return Err(FieldError::new("by", "must be application, deviceType or endReason"));
            }
            (_, Some(_)) => return Err(FieldError::new("by", "is for the report about durations")),
        };
        let format = match parameters.format.as_deref() {
            None | Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some(_) => return Err(FieldError::new("format", "must be json or csv")),
        };
        let edge = |name: &str, text: &Option<String>| match text.as_deref() {
            None => Ok(None),
            Some(text) => {
                let instant = zone.date(text).or_else(|| Timestamp::parse(text));
                instant.map(Some).ok_or_else(|| FieldError::new(name, "must be an RFC 3339 instant or a date"))
            }
        };
        let to = edge("to", &parameters.to)?.unwrap_or(now);
        let back = Timestamp::from_millis(to.millis().saturating_sub(usual_seconds(interval) * 1000));
        let from = edge("from", &parameters.from)?.unwrap_or(back);
        if from >= to {
            return Err(FieldError::new("from", "must be before to"));
        }
        if from.seconds() < ANALYTICS_FROM_SECONDS_MIN {
            return Err(FieldError::new("from", "must be 2020 or later"));
        }
        if interval == Interval::Minute && now.millis_since(from) > ANALYTICS_MINUTES_MAX as i64 * 60_000 {
            return Err(FieldError::new("from", "minutes are kept for 48 hours"));
        }
        let (most, told) = bound(interval);
        let slots = zone.slots(interval, from, to, most).filter(|slots| !slots.is_empty());
        let slots = slots.ok_or_else(|| FieldError::new("to", format!("is too far from `from`: {told} at most")))?;
        Ok(Query { report, interval, zone, by, format, slots })
    }

    /// When the first interval begins.
    pub fn from(&self) -> Timestamp {
        self.slots.first().map_or(Timestamp::from_millis(0), |slot| slot.start)
    }

    /// When the last one is over.
    pub fn to(&self) -> Timestamp {
        self.slots.last().map_or(Timestamp::from_millis(0), |slot| slot.end)
    }

    /// The shortest roll-ups that the answer needs.
    pub fn finest(&self) -> Grain {
        match self.interval {
            Interval::Minute => Grain::Minute,
            Interval::Hour | Interval::Day | Interval::Week | Interval::Month => Grain::Quarter,
        }
    }

    /// The times that rows are told for.
    pub fn times(&self) -> Vec<Slot> {
        if self.report.is_series() {
            return self.slots.clone();
        }
        vec![Slot { start: self.from(), end: self.to() }]
    }
}

/// How far a report reaches back when nobody says.
fn usual_seconds(interval: Interval) -> i64 {
    const DAY: i64 = 24 * 3600;
    match interval {
        Interval::Minute => 3600,
        Interval::Hour => DAY,
        Interval::Day => 30 * DAY,
        Interval::Week => 12 * 7 * DAY,
        Interval::Month => 365 * DAY,
    }
}

fn bound(interval: Interval) -> (usize, &'static str) {
    match interval {
        // One more, since both ends are cut to whole minutes.
        Interval::Minute => (ANALYTICS_MINUTES_MAX + 1, "48 hours by the minute"),
        Interval::Hour => (ANALYTICS_HOURS_MAX, "31 days by the hour"),
        Interval::Day => (ANALYTICS_DAYS_MAX, "400 days by the day"),
        Interval::Week => (ANALYTICS_WEEKS_MAX, "260 weeks by the week"),
        Interval::Month => (ANALYTICS_MONTHS_MAX, "60 months by the month"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(report: Report, pairs: &[(&str, &str)]) -> Result<Query, String> {
        let mut parameters = Parameters::default();
        for (name, value) in pairs {
            let field = match *name {
                "from" => &mut parameters.from,
                "to" => &mut parameters.to,
                "interval" => &mut parameters.interval,
                "timeZone" => &mut parameters.time_zone,
                "by" => &mut parameters.by,
                _ => &mut parameters.format,
            };
            *field = Some((*value).to_owned());
        }
        let now = Timestamp::parse("2026-06-15T10:20:30Z").expect("an instant");
        Query::parse(report, &parameters, now).map_err(|error| error.field)
    }

    #[test]
    fn what_is_not_said_is_usual() {
        let query = parse(Report::Activity, &[]).expect("a query");
        assert_eq!((query.interval, query.slots.len(), query.zone.name()), (Interval::Day, 31, "UTC"));
        assert_eq!(query.to().to_string(), "2026-06-16T00:00:00.000Z");
        assert_eq!(parse(Report::Activity, &[("interval", "minute")]).expect("a query").slots.len(), 61);
        assert_eq!(parse(Report::Geography, &[]).expect("a query").times().len(), 1);
    }

    #[test]
    fn dates_are_those_of_the_zone() {
        let vienna = [("from", "2026-03-29"), ("to", "2026-03-30"), ("timeZone", "Europe/Vienna")];
        let query = parse(Report::Devices, &vienna).expect("a query");
        assert_eq!(
            (query.from().to_string(), query.to().to_string()),
            ("2026-03-28T23:00:00.000Z".into(), "2026-03-29T22:00:00.000Z".into())
        );
    }

    #[test]
    fn bad_parameters_are_named() {
        let refused = |report, pairs: &[(&str, &str)]| parse(report, pairs).err().unwrap_or_default();
        for (pairs, field) in [
            (&[("from", "yesterday")][..], "from"),
            (&[("to", "2026-13-01")], "to"),
            (&[("from", "2026-06-02"), ("to", "2026-06-02")], "from"),
            (&[("from", "2019-12-31"), ("to", "2020-01-02")], "from"),
            (&[("from", "2025-01-01")], "to"),
            (&[("from", "2026-05-01"), ("interval", "hour")], "to"),
            (&[("from", "2026-06-12"), ("interval", "minute")], "from"),
            (&[("to", "2026-06-20"), ("from", "2026-06-14"), ("interval", "minute")], "to"),
            (&[("interval", "year")], "interval"),
            (&[("timeZone", "Mars/Olympus")], "timeZone"),
            (&[("by", "deviceType")], "by"),
            (&[("format", "xml")], "format"),
        ] {
            assert_eq!(refused(Report::Activity, pairs), field, "{pairs:?}");
        }
        assert_eq!(refused(Report::Durations, &[("by", "country")]), "by");
        assert_eq!(refused(Report::Durations, &[("interval", "minute")]), "interval");
    }
}
