//! Metrics in CloudWatch's embedded format: a log line that names those of its members that are metrics.
//!
//! The line of a request or a job is its metrics at the same time, so that nothing is ingested twice. The crates that
//! write this format (`metrique`, `metrics_cloudwatch_embedded`) write lines of their own, beside the log.

use super::time::Timestamp;
use serde_json::{Map, Value, json};

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

/// The line of an invocation. `fields` are for people; only `measures` and what every invocation has become metrics.
/// Dimensions are operation and stage, which are few and known: each pair of values is a metric that is paid for.
pub fn line(
    origin: &Origin,
    at: Timestamp,
    invocation: &Invocation,
    measures: &[Measure],
    mut fields: Map<String, Value>,
) -> Value {
    let own = invocation.measures();
    let all = || own.iter().chain(measures);
    let named: Vec<Value> = all().map(|m| json!({"Name": m.name, "Unit": m.unit.as_str()})).collect();
    let dimensions = match invocation.kind {
        Kind::Request => json!([["Operation", "Stage"], ["Stage"]]),
        Kind::Job => json!([["Operation", "Stage"]]),
    };
    let message = match invocation.kind {
        Kind::Request => "request",
        Kind::Job => "job",
    };
    fields.extend(all().map(|measure| (measure.name.to_owned(), measure.value.into())));
    let members = json!({
        "timestamp": at,
        "level": "INFO",
        "message": message,
        "Operation": origin.operation,
        "Stage": origin.stage,
        "_aws": {
            "Timestamp": at.millis(),
            "CloudWatchMetrics": [{"Namespace": origin.namespace, "Dimensions": dimensions, "Metrics": named}],
        },
    });
    if let Value::Object(members) = members {
        fields.extend(members);
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { namespace: "Sessions/shop".into(), operation: "get-session".into(), stage: "prod".into() }
    }

    /// The whole document, byte for byte.
    #[test]
    fn the_line_of_a_request_is_its_metrics() {
        let invocation = Invocation { kind: Kind::Request, ending: Ending::of_status(503), millis: 12, cold: true };
        let mut fields = Map::new();
        fields.insert("request_id".into(), "r".into());
        fields.insert("status".into(), 503.into());
        let line = line(&origin(), Timestamp::from_millis(1_700_000_000_123), &invocation, &[], fields);
        let expected = concat!(
            r#"{"ColdStart":1,"Count":1,"Duration":12,"Errors":1,"Operation":"get-session","Refused":0,"Stage":"prod","#,
            r#""_aws":{"CloudWatchMetrics":[{"Dimensions":[["Operation","Stage"],["Stage"]],"Metrics":["#,
            r#"{"Name":"Duration","Unit":"Milliseconds"},{"Name":"Count","Unit":"Count"},{"Name":"Errors","Unit":"Count"},"#,
            r#"{"Name":"Refused","Unit":"Count"},{"Name":"ColdStart","Unit":"Count"}],"Namespace":"Sessions/shop"}],"#,
            r#""Timestamp":1700000000123},"level":"INFO","message":"request","request_id":"r","status":503,"#,
            r#""timestamp":"2023-11-14T22:13:20.123Z"}"#,
        );
        assert_eq!(line.to_string(), expected);
    }

    /// Jobs do not count among the requests of the stage.
    #[test]
    fn a_job_adds_what_it_did_under_its_own_name_only() {
        let invocation = Invocation { kind: Kind::Job, ending: Ending::Done, millis: 3, cold: false };
        let measures = [Measure::count("Written", 7), Measure::seconds("OldestWaitingSeconds", 61)];
        let line = line(&origin(), Timestamp::from_millis(5), &invocation, &measures, Map::new());
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
        let mut fields = Map::new();
        for name in ["_aws", "Operation", "Count", "level"] {
            fields.insert(name.into(), "x".into());
        }
        let line = line(&origin(), Timestamp::from_millis(5), &invocation, &[], fields);
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
