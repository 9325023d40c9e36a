//! The rules: what each looks at, over how long, and from which value on it fires.

use crate::core::end_reason::EndReason;
use crate::limits::{
    ALERT_AUDIT_LAG_SECONDS_DEFAULT, ALERT_AUDIT_LAG_WINDOW_SECONDS, ALERT_ERROR_PERCENT_DEFAULT,
    ALERT_ERROR_WINDOW_SECONDS, ALERT_EVICTION_WINDOW_SECONDS, ALERT_EVICTIONS_DEFAULT, ALERT_REFRESH_REPLAYS_DEFAULT,
    ALERT_REFRESH_WINDOW_SECONDS, ALERT_SECURITY_EVENTS_DEFAULT, ALERT_SECURITY_WINDOW_SECONDS,
};

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Refused, doubtful or probing requests of one application.
    SecurityEventRate,
    /// Refresh tokens of one application that came back: thefts, or a client that mixes up its tokens.
    RefreshReuse,
    /// Sessions of one application that made room for newer ones.
    EvictionBurst,
    /// How old the oldest event is that the audit does not hold yet.
    AuditLag,
    /// Answers with 5xx among all answers.
    ErrorRate,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// The events that count for [`Rule::SecurityEventRate`]. A replay counts for its own rule as well.
const SECURITY_EVENTS: [&str; 6] = [
    "refresh.replayed",
    "security.probing",
    "session.binding_refused",
    "session.key_refused",
    "session.risk_raised",
    "share.refused",
];
const REPLAYED: &str = "refresh.replayed";
const ENDED: &str = "session.ended";

/// Type and reason of every event that a rule counts; a reason is empty where any will do. The index
/// `audit_events_watched` of the database holds these and nothing else.
pub const WATCHED_EVENTS: [(&str, &str); 7] = [
    (SECURITY_EVENTS[0], ""),
    (SECURITY_EVENTS[1], ""),
    (SECURITY_EVENTS[2], ""),
    (SECURITY_EVENTS[3], ""),
    (SECURITY_EVENTS[4], ""),
    (SECURITY_EVENTS[5], ""),
    (ENDED, "evicted"),
];

/// The rules that count an event.
pub fn watched(event_type: &str, reason: &str) -> impl Iterator<Item = Rule> {
    let security = SECURITY_EVENTS.contains(&event_type).then_some(Rule::SecurityEventRate);
    let replay = (event_type == REPLAYED).then_some(Rule::RefreshReuse);
    let eviction = (event_type == ENDED && reason == EndReason::Evicted.as_str()).then_some(Rule::EvictionBurst);
    security.into_iter().chain(replay).chain(eviction)
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 5] =
        [Rule::SecurityEventRate, Rule::RefreshReuse, Rule::EvictionBurst, Rule::AuditLag, Rule::ErrorRate];

    /// The word in the database, in notices and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::SecurityEventRate => "security_event_rate",
            Rule::RefreshReuse => "refresh_reuse",
            Rule::EvictionBurst => "eviction_burst",
            Rule::AuditLag => "audit_lag",
            Rule::ErrorRate => "error_rate",
        }
    }

    /// The rule of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Rule::ALL.into_iter().find(|rule| rule.as_str() == word)
    }

    /// How bad it is when it fires.
    pub fn severity(self) -> Severity {
        match self {
            Rule::SecurityEventRate | Rule::EvictionBurst => Severity::Warning,
            Rule::RefreshReuse | Rule::AuditLag | Rule::ErrorRate => Severity::Critical,
        }
    }

    /// The time that is looked at, and for which it has to be quiet before an alert is over.
    pub fn window_seconds(self) -> u64 {
        match self {
            Rule::SecurityEventRate => ALERT_SECURITY_WINDOW_SECONDS,
            Rule::RefreshReuse => ALERT_REFRESH_WINDOW_SECONDS,
            Rule::EvictionBurst => ALERT_EVICTION_WINDOW_SECONDS,
            Rule::AuditLag => ALERT_AUDIT_LAG_WINDOW_SECONDS,
            Rule::ErrorRate => ALERT_ERROR_WINDOW_SECONDS,
        }
    }

    /// Whether it counts events of one application; the others look at the whole stack.
    pub fn counts_events(self) -> bool {
        matches!(self, Rule::SecurityEventRate | Rule::RefreshReuse | Rule::EvictionBurst)
    }

    /// A sentence for people. It names no user and no session.
    pub fn summary(self, value: f64, threshold: f64) -> String {
        let minutes = self.window_seconds() / 60;
        match self {
            Rule::SecurityEventRate => {
                format!("{value:.0} security events within {minutes} minutes, alerting from {threshold:.0} on")
            }
            Rule::RefreshReuse => {
                format!("{value:.0} refresh tokens replayed within {minutes} minutes, alerting from {threshold:.0} on")
            }
            Rule::EvictionBurst => {
                format!(
                    "{value:.0} sessions made room for newer ones within {minutes} minutes, alerting from {threshold:.0} on"
                )
            }
            Rule::AuditLag => {
                format!("the audit is {value:.0} seconds behind, alerting from {threshold:.0} on")
            }
            Rule::ErrorRate => {
                format!("{value:.1} % of the answers of {minutes} minutes failed, alerting from {threshold:.1} % on")
            }
        }
    }
}

/// From which values on rules fire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Events of an application within the window.
    pub security_events: f64,
    /// Events of an application within the window.
    pub refresh_replays: f64,
    /// Events of an application within the window.
    pub evictions: f64,
    /// Seconds.
    pub audit_lag_seconds: f64,
    /// Per cent of the answers.
    pub error_percent: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            security_events: ALERT_SECURITY_EVENTS_DEFAULT,
            refresh_replays: ALERT_REFRESH_REPLAYS_DEFAULT,
            evictions: ALERT_EVICTIONS_DEFAULT,
            audit_lag_seconds: ALERT_AUDIT_LAG_SECONDS_DEFAULT,
            error_percent: ALERT_ERROR_PERCENT_DEFAULT,
        }
    }
}

impl Thresholds {
    /// The value from which on a rule fires.
    pub fn of(&self, rule: Rule) -> f64 {
        match rule {
            Rule::SecurityEventRate => self.security_events,
            Rule::RefreshReuse => self.refresh_replays,
            Rule::EvictionBurst => self.evictions,
            Rule::AuditLag => self.audit_lag_seconds,
            Rule::ErrorRate => self.error_percent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::audit::EVENT_TYPES;

    #[test]
    fn words_and_windows() {
        for rule in Rule::ALL {
            assert_eq!(Rule::parse(rule.as_str()), Some(rule));
            assert!(rule.window_seconds() >= 60 && rule.window_seconds() % 60 == 0, "{rule:?}");
            assert!(Thresholds::default().of(rule) > 0.0);
            assert!(!rule.summary(1.0, 2.0).is_empty());
        }
        assert_eq!(Rule::parse("nothing"), None);
    }

    #[test]
    fn every_watched_event_exists_and_counts() {
        for (event_type, reason) in WATCHED_EVENTS {
            assert!(EVENT_TYPES.contains(&event_type), "{event_type}");
            assert!(watched(event_type, reason).next().is_some(), "{event_type} {reason}");
        }
        let rules = |event_type, reason| watched(event_type, reason).collect::<Vec<_>>();
        assert_eq!(rules("refresh.replayed", ""), [Rule::SecurityEventRate, Rule::RefreshReuse]);
        assert_eq!(rules("session.ended", "evicted"), [Rule::EvictionBurst]);
        assert_eq!(rules("session.ended", "user"), []);
        assert_eq!(rules("session.created", ""), []);
    }
}
