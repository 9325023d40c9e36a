//! What an environment measures of its own requests, on its way into the roll-ups.

use super::grain::Grain;
use super::spread::Spread;
use crate::core::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The type of a sample in an outbox. It is no event of the audit.
pub const SAMPLE: &str = "service.sample";

/// Classes of answers: good, refused, failed.
pub const ANSWERS: [&str; 3] = ["2xx", "4xx", "5xx"];

/// Applications and operations that one environment tells apart at a time; what comes on top of them is told of the service
/// as a whole.
const PARTIES_MAX: usize = 64;

/// The measurements of one minute, application and operation.
#[derive(Clone)]
pub struct Sample {
    /// The minute.
    pub minute: Timestamp,
    /// The application that called; empty when it was not known.
    pub application: String,
    /// A word of [`super::operation::operation`].
    pub operation: String,
    /// How long handling took, in milliseconds.
    pub millis: Spread,
    /// Answers of each class of [`ANSWERS`].
    pub answers: [u32; 3],
}

/// Measurements that have not been sent yet.
#[derive(Default)]
pub struct Samples(BTreeMap<(Timestamp, String, &'static str), (Spread, [u32; 3])>);

#[derive(Serialize, Deserialize)]
struct Stored {
    minute: i64,
    application: String,
    operation: String,
    millis: String,
    answers: [u32; 3],
}

impl Samples {
    /// Adds the measurement of a request.
    pub fn record(&mut self, now: Timestamp, application: &str, operation: &'static str, millis: f64, status: u16) {
        let minute = Grain::Minute.floor(now);
        let known = (minute, application.to_owned(), operation);
        let key = match self.0.len() < PARTIES_MAX || self.0.contains_key(&known) {
            true => known,
            // One row per operation at most: what is left of the time is the first minute that is held.
            false => (self.oldest().unwrap_or(minute), String::new(), operation),
        };
        let (spread, answers) = self.0.entry(key).or_default();
        spread.insert(millis);
        let class = match status {
            500.. => 2,
            400.. => 1,
            _ => 0,
        };
        answers[class] = answers[class].saturating_add(1);
    }

    /// The first minute that is held.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.0.keys().next().map(|(minute, _, _)| *minute)
    }

    /// Everything as text, and nothing is held any more.
    pub fn take(&mut self) -> String {
        let samples = std::mem::take(&mut self.0).into_iter();
        let stored: Vec<Stored> = samples
            .map(|((minute, application, operation), (spread, answers))| Stored {
                minute: minute.millis(),
                application,
                operation: operation.to_owned(),
                millis: STANDARD_NO_PAD.encode(spread.stored()),
                answers,
            })
            .collect();
        serde_json::to_string(&stored).unwrap_or_default()
    }
}

/// Reads what [`Samples::take`] wrote.
pub fn parse(text: &str) -> Option<Vec<Sample>> {
    let stored: Vec<Stored> = serde_json::from_str(text).ok()?;
    let sample = |stored: Stored| {
        let plain = |text: &str| text.len() <= 64 && text.bytes().all(|c| c.is_ascii_graphic());
        let mut millis = Spread::default();
        let read = millis.merge(&STANDARD_NO_PAD.decode(&stored.millis).ok()?);
        (read && plain(&stored.application) && plain(&stored.operation)).then_some(Sample {
            minute: Timestamp::from_millis(stored.minute),
            application: stored.application,
            operation: stored.operation,
            millis,
            answers: stored.answers,
        })
    };
    stored.into_iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_read_back_and_are_told_once() {
        let mut samples = Samples::default();
        let at = Timestamp::from_millis(1_700_000_012_345);
        assert_eq!(samples.oldest(), None);
        for (millis, status) in [(3.0, 200), (5.0, 404), (9.0, 503)] {
            samples.record(at, "demo", "lookup", millis, status);
        }
        let read = parse(&samples.take()).expect("samples");
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].minute, read[0].answers), (Timestamp::from_millis(1_699_999_980_000), [1, 1, 1]));
        assert!((read[0].millis.mean() - 17.0 / 3.0).abs() < 1e-9);
        assert_eq!((samples.oldest(), samples.take().as_str()), (None, "[]"));
        assert!(parse("{}").is_none() && parse("[{}]").is_none());
    }

    #[test]
    fn many_parties_do_not_grow_what_is_held() {
        let mut samples = Samples::default();
        for number in 0..500_u32 {
            samples.record(Timestamp::from_millis(0), &format!("app-{number}"), "lookup", 1.0, 200);
        }
        let read = parse(&samples.take()).expect("samples");
        assert_eq!(read.len(), PARTIES_MAX + 1);
        assert_eq!(read.iter().map(|sample| sample.millis.count()).sum::<u64>(), 500);
    }
}
