//! From when on data is kept: by the stack, and by applications that keep less.
//!
//! Audit and reports go in whole months, so that whoever looks finds whole ones; activities in whole days; all of UTC.

use super::application::Application;
use super::json::FieldError;
use super::policy::retention::Retention;
use super::time::Timestamp;
use serde::Serialize;
use time::{Date, Duration, Month, OffsetDateTime};

const DAY_SECONDS: u64 = 24 * 3600;

/// How long the stack keeps what; applications can only shorten it, and the audit no further than to its floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackRetention {
    /// Months of audit.
    pub audit_months: u32,
    /// Months of audit that nobody can shorten.
    pub audit_floor_months: u32,
    /// Months of activities.
    pub activity_months: u32,
}

/// What is kept for a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataClass {
    /// Rows of the audit.
    Audit,
    /// Recorded activities.
    Activity,
    /// Roll-ups that reports are made of.
    Reports,
}

/// From when on an application keeps a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The class.
    pub class: DataClass,
    /// What is from before goes.
    pub before: Timestamp,
}

impl StackRetention {
    /// What an application asks for and the stack does not allow, with the path of the field.
    pub fn refusals(&self, wanted: &Retention) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut refuse = |field: &str, detail: String| {
            found.push(FieldError::new(format!("policy.retention.{field}"), detail));
        };
        let (floor, most) = (self.audit_floor_months, self.audit_months);
        if wanted.audit_months.is_some_and(|months| !(floor..=most).contains(&months)) {
            refuse("auditMonths", format!("must be {floor} to {most} in this stack"));
        }
        let days = self.activity_months.saturating_mul(31);
        if wanted.activity_days.is_some_and(|wanted| wanted > days) {
            refuse("activityDays", format!("must be 1 to {days} in this stack"));
        }
        found
    }

    /// Where an application's own retention ends. A policy from before the stack's floor rose is held to the floor.
    pub fn cuts(&self, application: &Application, now: Timestamp) -> Vec<Cut> {
        let Retention { audit_months, activity_days, report_months } = application.policy.retention;
        let audit = audit_months.map(|months| months.max(self.audit_floor_months));
        let cuts = [
            (DataClass::Audit, audit.map(|months| first_kept_month(now, months))),
            (
                DataClass::Activity,
                activity_days.map(|days| start_of_day(now.minus_seconds(u64::from(days) * DAY_SECONDS))),
            ),
            (DataClass::Reports, report_months.map(|months| first_kept_month(now, months))),
        ];
        cuts.into_iter().filter_map(|(class, before)| Some(Cut { class, before: before? })).collect()
    }

    /// What an anchor of the audit was signed at or before vouches for may be gone by now; whatever is later may not.
    pub fn floor(&self, now: Timestamp) -> Timestamp {
        months_before(now, self.audit_floor_months)
    }
}

/// Beginning of the first month that is kept. A month is kept for a day more than it has to be: until then all of it
/// has been anchored for as long, and its age can be proved.
pub fn first_kept_month(now: Timestamp, months: u32) -> Timestamp {
    let date = months_before(now.minus_seconds(DAY_SECONDS), months).to_offset_date_time().date();
    midnight(date.replace_day(1).unwrap_or(date))
}

fn start_of_day(at: Timestamp) -> Timestamp {
    midnight(at.to_offset_date_time().date())
}

fn midnight(date: Date) -> Timestamp {
    Timestamp::from_seconds(OffsetDateTime::new_utc(date, time::Time::MIDNIGHT).unix_timestamp())
}

/// The same instant some months earlier, on the last day of a month that is too short for it.
pub fn months_before(at: Timestamp, months: u32) -> Timestamp {
    let at = at.to_offset_date_time();
    let index = i64::from(at.year()) * 12 + i64::from(u8::from(at.month())) - 1 - i64::from(months);
    let year = i32::try_from(index.div_euclid(12)).unwrap_or(0);
    let month = u8::try_from(index.rem_euclid(12) + 1).ok().and_then(|number| Month::try_from(number).ok());
    let first = month.and_then(|month| Date::from_calendar_date(year, month, 1).ok());
    let Some(first) = first else { return Timestamp::from_millis(0) };
    let day = at.day().min(first.month().length(first.year()));
    let date = first.saturating_add(Duration::days(i64::from(day) - 1));
    let instant = OffsetDateTime::new_utc(date, at.time());
    Timestamp::from_millis(i64::try_from(instant.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::application::ApplicationStatus;
    use crate::core::policy::Policy;
    use proptest::prelude::*;

    const STACK: StackRetention = StackRetention { audit_months: 13, audit_floor_months: 3, activity_months: 2 };

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("an instant")
    }

    fn application(retention: Retention) -> Application {
        Application {
            application_id: "demo".into(),
            group_id: "demo".into(),
            name: "Demo".into(),
            scopes: Vec::new(),
            status: ApplicationStatus::Active,
            policy: Policy { retention, ..Policy::default() },
            keys: Vec::new(),
            receivers: Vec::new(),
            created_at: 0,
            version: 1,
        }
    }

    #[test]
    fn months_and_days_are_whole() {
        let kept = |now: &str, months| first_kept_month(at(now), months).to_string();
        assert_eq!(kept("2026-11-28T13:00:00Z", 3), "2026-08-01T00:00:00.000Z");
        assert_eq!(kept("2026-12-02T00:00:00Z", 3), "2026-09-01T00:00:00.000Z");
        // On its first day a month is not over for long enough.
        assert_eq!(kept("2026-12-01T23:59:59Z", 3), "2026-08-01T00:00:00.000Z");
        assert_eq!(kept("2026-03-31T12:00:00Z", 1), "2026-02-01T00:00:00.000Z");
        assert_eq!(months_before(at("2026-03-31T12:00:00.007Z"), 1), at("2026-02-28T12:00:00.007Z"));
        assert_eq!(months_before(at("2026-01-15T00:00:00Z"), 13), at("2024-12-15T00:00:00Z"));
        assert_eq!(start_of_day(at("2026-01-15T23:59:59.999Z")), at("2026-01-15T00:00:00Z"));
    }

    #[test]
    fn an_application_cuts_what_it_states_and_no_audit_below_the_floor() {
        let now = at("2026-11-28T13:00:00Z");
        assert_eq!(STACK.cuts(&application(Retention::default()), now), []);
        let stated = Retention { audit_months: Some(1), activity_days: Some(30), report_months: Some(2) };
        let cuts = STACK.cuts(&application(stated), now);
        let expected = [
            (DataClass::Audit, "2026-08-01T00:00:00Z"),
            (DataClass::Activity, "2026-10-29T00:00:00Z"),
            (DataClass::Reports, "2026-09-01T00:00:00Z"),
        ];
        assert_eq!(cuts, expected.map(|(class, before)| Cut { class, before: at(before) }));
    }

    #[test]
    fn what_the_stack_does_not_allow_is_named() {
        let fields = |wanted: Retention| STACK.refusals(&wanted).into_iter().map(|e| e.field).collect::<Vec<_>>();
        for (months, refused) in [(2, true), (3, false), (13, false), (14, true)] {
            let found = fields(Retention { audit_months: Some(months), ..Retention::default() });
            assert_eq!(found == ["policy.retention.auditMonths"], refused, "{months}");
        }
        for (days, refused) in [(1, false), (62, false), (63, true)] {
            let found = fields(Retention { activity_days: Some(days), ..Retention::default() });
            assert_eq!(found == ["policy.retention.activityDays"], refused, "{days}");
        }
    }

    proptest! {
        /// What is cut away today could be proved to be older than the floor for a day already.
        #[test]
        fn nothing_is_cut_that_may_not_be_gone(now in 1_600_000_000_000_i64..4_000_000_000_000, months in 0_u32..120) {
            let now = Timestamp::from_millis(now);
            let stated = Retention { audit_months: Some(months), ..Retention::default() };
            let cut = STACK.cuts(&application(stated), now)[0].before;
            prop_assert!(cut <= STACK.floor(now.minus_seconds(DAY_SECONDS)));
            prop_assert!(first_kept_month(now, months + 1) <= first_kept_month(now, months));
        }
    }
}
