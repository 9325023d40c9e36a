//! When alerts begin and end: a pure function of thresholds, samples, what is open, and the time.
//!
//! An alert fires as soon as its value reaches the threshold. It is over when the value has stayed below half the
//! threshold for a whole window, so between two firings of a rule lies a window at least. A value that is not known
//! changes nothing.

use super::rate::{Minute, worst};
use super::rules::{Rule, Thresholds};
use crate::core::crypto;
use crate::core::time::Timestamp;
use crate::limits::ALERT_ERRORS_MIN;
use std::collections::{BTreeMap, BTreeSet};

/// An alert that fires, or has fired.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its id.
    pub alert_id: String,
    /// What fired.
    pub rule: Rule,
    /// The application concerned; empty for the stack.
    pub application_id: String,
    /// When it fired.
    pub started_at: Timestamp,
    /// When its value was last at half the threshold or above.
    pub breached_at: Timestamp,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// The highest value so far.
    pub value: f64,
    /// The threshold that it fired at.
    pub threshold: f64,
}

/// What an evaluation changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It fires from now on.
    Fired(Alert),
    /// It fires as before, with another value or a later breach.
    Continued(Alert),
    /// It is over.
    Resolved(Alert),
}

/// Answers of the last minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// All.
    pub count: u64,
    /// With 5xx.
    pub failed: u64,
}

impl Requests {
    /// Per cent that failed. A handful of failures is no rate.
    fn error_percent(self) -> f64 {
        match self.failed >= ALERT_ERRORS_MIN && self.count > 0 {
            true => 100.0 * self.failed as f64 / self.count.max(self.failed) as f64,
            false => 0.0,
        }
    }
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Until when the last evaluation had seen everything.
    pub since: Timestamp,
    /// By rule and application, the minutes that had events.
    pub events: BTreeMap<(Rule, String), Vec<Minute>>,
    /// How far the audit is behind, in seconds, if that is known.
    pub audit_lag_seconds: Option<f64>,
    /// Answers within [`Rule::ErrorRate`]'s window, if they are known.
    pub requests: Option<Requests>,
}

impl Samples {
    fn value(&self, rule: Rule, application_id: &str, now: Timestamp) -> Option<f64> {
        match rule {
            Rule::AuditLag => self.audit_lag_seconds,
            Rule::ErrorRate => self.requests.map(Requests::error_percent),
            Rule::SecurityEventRate | Rule::RefreshReuse | Rule::EvictionBurst => {
                let minutes = self.events.get(&(rule, application_id.to_owned())).map_or(&[][..], Vec::as_slice);
                Some(worst(minutes, rule.window_seconds(), self.since, now) as f64)
            }
        }
    }
}

/// What changes, given the alerts that are open.
pub fn evaluate(thresholds: &Thresholds, samples: &Samples, open: &[Alert], now: Timestamp) -> Vec<Change> {
    let mut scopes: BTreeSet<(Rule, &str)> = BTreeSet::new();
    scopes.extend(samples.events.keys().map(|(rule, application)| (*rule, application.as_str())));
    scopes.extend(Rule::ALL.into_iter().filter(|rule| !rule.counts_events()).map(|rule| (rule, "")));
    scopes.extend(open.iter().map(|alert| (alert.rule, alert.application_id.as_str())));
    let of = |rule, scope| open.iter().find(|alert| alert.rule == rule && alert.application_id == scope);
    let step = |(rule, scope)| {
        let value = samples.value(rule, scope, now)?;
        step(rule, scope, thresholds.of(rule), of(rule, scope), value, now)
    };
    scopes.into_iter().filter_map(step).collect()
}

fn step(
    rule: Rule,
    application_id: &str,
    threshold: f64,
    open: Option<&Alert>,
    value: f64,
    now: Timestamp,
) -> Option<Change> {
    let Some(open) = open else {
        return (value >= threshold).then(|| {
            Change::Fired(Alert {
                alert_id: alert_id(rule, application_id, now),
                rule,
                application_id: application_id.to_owned(),
                started_at: now,
                breached_at: now,
                resolved_at: None,
                value,
                threshold,
            })
        });
    };
    if value >= threshold / 2.0 {
        let breached_at = open.breached_at.max(now);
        return Some(Change::Continued(Alert { breached_at, value: open.value.max(value), ..open.clone() }));
    }
    let quiet_millis = now.millis_since(open.breached_at);
    let quiet = quiet_millis >= i64::try_from(rule.window_seconds() * 1000).unwrap_or(i64::MAX);
    quiet.then(|| Change::Resolved(Alert { resolved_at: Some(now), ..open.clone() }))
}

/// Two evaluations of one instant make the same alert.
fn alert_id(rule: Rule, application_id: &str, now: Timestamp) -> String {
    let at = now.millis().to_be_bytes();
    crypto::encode(&crypto::hash(&[b"alert", rule.as_str().as_bytes(), application_id.as_bytes(), &at])[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a rule that looks at the whole stack does with these values: when it fired and when it was over.
    fn run(values: &[(i64, Option<f64>)]) -> (Vec<i64>, Vec<i64>, Vec<bool>) {
        let thresholds = Thresholds { audit_lag_seconds: 10.0, ..Thresholds::default() };
        let (mut open, mut fired, mut resolved, mut firing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (second, value) in values {
            let now = Timestamp::from_seconds(1_700_000_000 + second);
            let samples = Samples { since: now, audit_lag_seconds: *value, ..Samples::default() };
            for change in evaluate(&thresholds, &samples, &open, now) {
                match change {
                    Change::Fired(alert) => {
                        assert!(open.is_empty(), "fires once");
                        open = vec![alert];
                        fired.push(*second);
                    }
                    Change::Continued(alert) => open = vec![alert],
                    Change::Resolved(alert) => {
                        assert_eq!((alert.resolved_at, open.len()), (Some(now), 1));
                        open.clear();
                        resolved.push(*second);
                    }
                }
            }
            firing.push(!open.is_empty());
        }
        (fired, resolved, firing)
    }

    const WINDOW: i64 = crate::limits::ALERT_AUDIT_LAG_WINDOW_SECONDS as i64;

    #[test]
    fn it_fires_at_the_threshold_and_ends_after_a_quiet_window() {
        let some = |values: &[(i64, f64)]| {
            let values: Vec<_> = values.iter().map(|(second, value)| (*second, Some(*value))).collect();
            let (fired, resolved, _) = run(&values);
            (fired, resolved)
        };
        assert_eq!(some(&[(0, 9.9), (60, 10.0)]), (vec![60], vec![]));
        assert_eq!(some(&[(0, 10.0), (60, 4.0), (WINDOW - 1, 4.0)]), (vec![0], vec![]));
        assert_eq!(some(&[(0, 10.0), (60, 4.0), (WINDOW, 4.0)]), (vec![0], vec![WINDOW]));
        assert_eq!(some(&[(0, 10.0), (60, 5.0), (WINDOW, 4.0)]), (vec![0], vec![]), "half of it is still a breach");
    }

    #[test]
    fn what_is_not_known_changes_nothing() {
        let (fired, resolved, _) = run(&[(0, None), (60, Some(11.0)), (60 + WINDOW, None), (120 + WINDOW, Some(0.0))]);
        assert_eq!((fired, resolved), (vec![60], vec![120 + WINDOW]));
    }

    #[test]
    fn applications_have_alerts_of_their_own_and_the_highest_value_stays() {
        let thresholds = Thresholds { refresh_replays: 3.0, ..Thresholds::default() };
        let now = Timestamp::from_seconds(6000);
        let minutes = |count| vec![Minute { number: 99, count }];
        let mut samples = Samples { since: now, ..Samples::default() };
        samples.events.insert((Rule::RefreshReuse, "shop".into()), minutes(5));
        samples.events.insert((Rule::RefreshReuse, "bank".into()), minutes(2));
        let changes = evaluate(&thresholds, &samples, &[], now);
        let [Change::Fired(alert)] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!((alert.application_id.as_str(), alert.value, alert.threshold), ("shop", 5.0, 3.0));
        let later = Timestamp::from_seconds(6001);
        samples.events.insert((Rule::RefreshReuse, "shop".into()), minutes(4));
        let changes = evaluate(&thresholds, &samples, std::slice::from_ref(alert), later);
        let [Change::Continued(again)] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!((again.alert_id.as_str(), again.value, again.breached_at), (alert.alert_id.as_str(), 5.0, later));
        samples.events.clear();
        let over = Timestamp::from_seconds(6001 + 3600);
        let changes = evaluate(&thresholds, &Samples { since: over, ..samples }, std::slice::from_ref(again), over);
        assert!(matches!(changes.as_slice(), [Change::Resolved(_)]), "no event is no breach: {changes:?}");
    }

    #[test]
    fn a_handful_of_failures_is_no_error_rate() {
        let percent = |count, failed| Requests { count, failed }.error_percent();
        assert_eq!(percent(5, ALERT_ERRORS_MIN - 1), 0.0);
        assert_eq!(percent(1000, 20), 2.0);
        assert_eq!(percent(0, 20), 0.0);
    }

    fn series() -> impl Strategy<Value = Vec<(i64, Option<f64>, f64)>> {
        let sample = (1_i64..WINDOW, proptest::option::weighted(0.9, 0.0..20.0_f64), 0.0..10.0_f64);
        proptest::collection::vec(sample, 1..60).prop_map(|steps| {
            let mut second = 0;
            let step = |(gap, value, more): (i64, Option<f64>, f64)| {
                second += gap;
                (second, value, more)
            };
            steps.into_iter().map(step).collect()
        })
    }

    proptest! {
        /// No flapping: an alert lasts a window at least, and so firings are a window apart.
        #[test]
        fn an_alert_lasts_a_window(series in series()) {
            let values: Vec<_> = series.iter().map(|(second, value, _)| (*second, *value)).collect();
            let (fired, resolved, _) = run(&values);
            for (fired, resolved) in fired.iter().zip(&resolved) {
                prop_assert!(resolved - fired >= WINDOW);
            }
            prop_assert!(fired.windows(2).all(|pair| pair[1] - pair[0] >= WINDOW));
        }

        /// More is never weaker: with higher values an alert fires at every instant at which it fired with lower ones.
        #[test]
        fn more_is_never_weaker(series in series()) {
            let lower: Vec<_> = series.iter().map(|(second, value, _)| (*second, *value)).collect();
            let higher: Vec<_> =
                series.iter().map(|(second, value, more)| (*second, value.map(|value| value + more))).collect();
            let ((_, _, of_lower), (_, _, of_higher)) = (run(&lower), run(&higher));
            for (lower, higher) in of_lower.into_iter().zip(of_higher) {
                prop_assert!(higher || !lower);
            }
        }

        /// More events never give a lower count, in whatever minute they lie.
        #[test]
        fn more_events_never_count_less(
            counts in proptest::collection::vec((0_i64..40, 0_u64..9, 0_u64..9), 0..30),
            since in 0_i64..40,
            ahead in 0_i64..40,
        ) {
            let of = |more: bool| -> Vec<Minute> {
                counts.iter().map(|(number, count, extra)| Minute { number: *number, count: count + if more { *extra } else { 0 } }).collect()
            };
            let (since, now) = (Timestamp::from_seconds(since * 60), Timestamp::from_seconds((since + ahead) * 60));
            prop_assert!(worst(&of(true), 300, since, now) >= worst(&of(false), 300, since, now));
        }
    }
}
