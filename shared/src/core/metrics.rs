//! Metrics in CloudWatch's embedded format: a log line that names those of its members that are metrics.
//!
//! The line of a request or a job is its metrics at the same time, so that nothing is ingested twice. The crates that
//! write this format (`metrique`, `metrics_cloudwatch_embedded`) write lines of their own, beside the log.

use super::time::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// The word of the format.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Count => "Count",
            Unit::Milliseconds => "Milliseconds",
            Unit::Seconds => "Seconds",
        }
    }
}

/// One number of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Its value.
    pub value: i64,
}

impl Measure {
    /// So many things.
    pub fn count(name: &'static str, value: u64) -> Self {
        Measure { name, unit: Unit::Count, value: i64::try_from(value).unwrap_or(i64::MAX) }
    }

    /// So many seconds.
    pub fn seconds(name: &'static str, value: i64) -> Self {
        Measure { name, unit: Unit::Seconds, value }
    }

    /// 1 or 0.
    pub fn whether(name: &'static str, value: bool) -> Self {
        Measure::count(name, u64::from(value))
    }
}

/// What an operation did, in numbers. Never an id, and nothing of a caller.
pub trait Measured {
    /// The numbers.
    fn measures(&self) -> Vec<Measure> {
        Vec::new()
    }
}

/// Where the metrics of an environment belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `Sessions/<stack>`
    pub namespace: String,
    /// The function without the name of the stack.
    pub operation: String,
    /// The stage.
    pub stage: String,
}

/// What an invocation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody waits for it: its numbers count for the whole stage, too.
    Request,
    /// Nobody does.
    Job,
}

/// How an invocation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As asked.
    Done,
    /// Refused: the caller has to change something.
    Refused,
    /// Failed: the service, or what it depends on.
    Failed,
}

impl Ending {
    /// Of an HTTP status.
    pub fn of_status(status: u16) -> Self {
        match status {
            500.. => Ending::Failed,
            400..500 => Ending::Refused,
            _ => Ending::Done,
        }
    }
}

/// An invocation that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation {
    /// What it was.
    pub kind: Kind,
    /// How it went.
    pub ending: Ending,
    /// How long it took, by the clock of the function.
    pub millis: i64,
    /// Whether it is the first of its environment.
    pub cold: bool,
}

impl Invocation {
    fn measures(&self) -> [Measure; 5] {
        [
            Measure { name: "Duration", unit: Unit::Milliseconds, value: self.millis },
            Measure::count("Count", 1),
            Measure::whether("Errors", self.ending == Ending::Failed),
            Measure::whether("Refused", self.ending == Ending::Refused),
            Measure::whether("ColdStart", self.cold),
        ]
    }
}

/// What a line says for people.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Field<'a> {
    /// A word.
    Text(&'a str),
    /// A number.
    Number(u16),
}

/// The line of an invocation. `fields` are for people; only `measures` and what every invocation has become metrics.
/// Dimensions are operation and stage, which are few and known: each pair of values is a metric that is paid for.
///
/// Every request writes one, so it is written as it is made, without a document in between.
pub struct Line<'a> {
    /// Where it belongs.
    pub origin: &'a Origin,
    /// When it is written.
    pub at: Timestamp,
    /// What is over.
    pub invocation: &'a Invocation,
    /// What it did.
    pub measures: &'a [Measure],
    /// What it says beside. A name that the format needs is left out.
    pub fields: &'a [(&'static str, Field<'a>)],
    /// What [`plain_directive`] makes of the origin and the kind.
    pub plain: &'a RawValue,
}

/// The directive of lines without measures of their own, which is always the same and most of a request's line.
pub fn plain_directive(origin: &Origin, kind: Kind) -> Option<Box<RawValue>> {
    let invocation = Invocation { kind, ending: Ending::Done, millis: 0, cold: false };
    serde_json::value::to_raw_value(&directive(origin, kind, invocation.measures().into_iter())).ok()
}

fn directive<I: Iterator<Item = Measure> + Clone>(origin: &Origin, kind: Kind, measures: I) -> Directive<'_, I> {
    let dimensions: &[&[&str]] = match kind {
        Kind::Request => &[&["Operation", "Stage"], &["Stage"]],
        Kind::Job => &[&["Operation", "Stage"]],
    };
    Directive { namespace: &origin.namespace, dimensions, metrics: Named(measures) }
}

/// Names that are the format's own.
const OWN: [&str; 6] = ["timestamp", "level", "message", "Operation", "Stage", "_aws"];

impl Line<'_> {
    fn all(&self) -> impl Iterator<Item = Measure> + Clone {
        self.invocation.measures().into_iter().chain(self.measures.iter().copied())
    }

    fn is_taken(&self, name: &str) -> bool {
        OWN.contains(&name) || self.all().any(|measure| measure.name == name)
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = match self.invocation.kind {
            Kind::Request => "request",
            Kind::Job => "job",
        };
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("timestamp", &self.at)?;
        line.serialize_entry("level", "INFO")?;
        line.serialize_entry("message", message)?;
        for (name, value) in self.fields.iter().filter(|(name, _)| !self.is_taken(name)) {
            line.serialize_entry(name, value)?;
        }
        for measure in self.all() {
            line.serialize_entry(measure.name, &measure.value)?;
        }
        line.serialize_entry("Operation", &self.origin.operation)?;
        line.serialize_entry("Stage", &self.origin.stage)?;
        let timestamp = self.at.millis();
        if self.measures.is_empty() {
            line.serialize_entry("_aws", &Metadata { timestamp, directives: [self.plain] })?;
        } else {
            let directive = directive(self.origin, self.invocation.kind, self.all());
            line.serialize_entry("_aws", &Metadata { timestamp, directives: [directive] })?;
        }
        line.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<D> {
    timestamp: i64,
    #[serde(rename = "CloudWatchMetrics")]
    directives: [D; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase", bound(serialize = ""))]
struct Directive<'a, I: Iterator<Item = Measure> + Clone> {
    namespace: &'a str,
    dimensions: &'a [&'a [&'a str]],
    metrics: Named<I>,
}

/// Which members are metrics.
struct Named<I>(I);

impl<I: Iterator<Item = Measure> + Clone> Serialize for Named<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Metric {
            name: &'static str,
            unit: &'static str,
        }
        serializer.collect_seq(self.0.clone().map(|m| Metric { name: m.name, unit: m.unit.as_str() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn line(invocation: &Invocation, measures: &[Measure], fields: &[(&'static str, Field<'_>)]) -> String {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let plain = plain_directive(&origin(), invocation.kind).expect("JSON");
        serde_json::to_string(&Line { origin: &origin(), at, invocation, measures, fields, plain: &plain })
            .expect("JSON")
    }

    fn origin() -> Origin {
        Origin { namespace: "Sessions/shop".into(), operation: "get-session".into(), stage: "prod".into() }
    }

    /// The whole document, byte for byte.
    #[test]
    fn the_line_of_a_request_is_its_metrics() {
        let invocation = Invocation { kind: Kind::Request, ending: Ending::of_status(503), millis: 12, cold: true };
        let fields = [("request_id", Field::Text("r")), ("status", Field::Number(503))];
        let expected = concat!(
            r#"{"timestamp":"2023-11-14T22:13:20.123Z","level":"INFO","message":"request","request_id":"r","status":503,"#,
            r#""Duration":12,"Count":1,"Errors":1,"Refused":0,"ColdStart":1,"Operation":"get-session","Stage":"prod","#,
            r#""_aws":{"Timestamp":1700000000123,"CloudWatchMetrics":[{"Namespace":"Sessions/shop","#,
            r#""Dimensions":[["Operation","Stage"],["Stage"]],"Metrics":[{"Name":"Duration","Unit":"Milliseconds"},"#,
            r#"{"Name":"Count","Unit":"Count"},{"Name":"Errors","Unit":"Count"},{"Name":"Refused","Unit":"Count"},"#,
            r#"{"Name":"ColdStart","Unit":"Count"}]}]}}"#,
        );
        assert_eq!(line(&invocation, &[], &fields), expected);
    }

    /// Jobs do not count among the requests of the stage.
    #[test]
    fn a_job_adds_what_it_did_under_its_own_name_only() {
        let invocation = Invocation { kind: Kind::Job, ending: Ending::Done, millis: 3, cold: false };
        let measures = [Measure::count("Written", 7), Measure::seconds("OldestWaitingSeconds", 61)];
        let line: Value = serde_json::from_str(&line(&invocation, &measures, &[])).expect("JSON");
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([["Operation", "Stage"]]));
        assert_eq!(directive["Metrics"][5], json!({"Name": "Written", "Unit": "Count"}));
        assert_eq!(directive["Metrics"][6], json!({"Name": "OldestWaitingSeconds", "Unit": "Seconds"}));
        assert_eq!(
            (&line["Written"], &line["OldestWaitingSeconds"], &line["Errors"]),
            (&json!(7), &json!(61), &json!(0))
        );
        assert_eq!(line["message"], "job");
    }

    /// What the format needs can not be overwritten by a field of the same name.
    #[test]
    fn fields_do_not_replace_what_the_format_needs() {
        let invocation = Invocation { kind: Kind::Request, ending: Ending::of_status(404), millis: 1, cold: false };
        let fields = ["_aws", "Operation", "Count", "level"].map(|name| (name, Field::Text("x")));
        let text = line(&invocation, &[], &fields);
        assert!(!text.contains("\"x\""), "{text}");
        let line: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&line["Operation"], &line["Count"], &line["level"]),
            (&json!("get-session"), &json!(1), &json!("INFO"))
        );
        assert_eq!((&line["Refused"], &line["Errors"]), (&json!(1), &json!(0)));
        assert!(line["_aws"]["Timestamp"].is_i64());
    }

    #[test]
    fn statuses_are_done_refused_or_failed() {
        let endings = [200, 304, 400, 499, 500, 503].map(Ending::of_status);
        assert_eq!(
            endings,
            [Ending::Done, Ending::Done, Ending::Refused, Ending::Refused, Ending::Failed, Ending::Failed]
        );
    }
}
