//! What minutes, hours, days, weeks and months are in a time zone.
//!
//! Days have 23, 24 or 25 hours, weeks begin on Monday (ISO 8601). No offset in use since 2020 is anything but a multiple
//! of a quarter of an hour, so every edge is the edge of a roll-up.

use crate::core::time::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan, ZonedDateTime};

/// How the rows of a report are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// A minute.
    Minute,
    /// An hour of the zone's clock.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first to the first.
    Month,
}

impl Interval {
    /// Every interval.
    pub const ALL: [Interval; 5] = [Interval::Minute, Interval::Hour, Interval::Day, Interval::Week, Interval::Month];

    /// The word of the parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Interval::Minute => "minute",
            Interval::Hour => "hour",
            Interval::Day => "day",
            Interval::Week => "week",
            Interval::Month => "month",
        }
    }

    /// The interval of a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.as_str() == text)
    }
}

/// One row's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// When it begins.
    pub start: Timestamp,
    /// When the next one begins.
    pub end: Timestamp,
}

/// A time zone of the IANA database, as compiled in.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of a name.
    pub fn parse(name: &str) -> Option<Self> {
        let known = (1..=64).contains(&name.len()) && name.is_ascii();
        known.then(|| TimeZone::get(name).ok()).flatten().filter(|zone| zone.iana_name().is_some()).map(Zone)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    fn at(&self, instant: Timestamp) -> Option<ZonedDateTime> {
        jiff::Timestamp::from_millisecond(instant.millis())
            .ok()
            .map(|instant| instant.to_zoned_datetime(self.0.clone()))
    }

    fn midnight(&self, date: Date) -> Option<ZonedDateTime> {
        date.to_zoned_datetime(self.0.clone()).ok()
    }

    /// The beginning of a date, `2026-03-29`.
    pub fn date(&self, text: &str) -> Option<Timestamp> {
        let shape = text.len() == 10 && text.bytes().all(|c| c.is_ascii_digit() || c == b'-');
        let date: Date = shape.then(|| text.parse().ok()).flatten()?;
        Some(instant(&self.midnight(date)?))
    }

    /// An instant as the zone's clock shows it, with its offset.
    pub fn show(&self, at: Timestamp) -> String {
        self.at(at).map(|zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()).unwrap_or_default()
    }

    /// When the interval that an instant lies in began.
    pub fn floor(&self, interval: Interval, at: Timestamp) -> Option<Timestamp> {
        let zoned = self.at(at)?;
        let date = zoned.date();
        let begun = match interval {
            Interval::Minute => return Some(Timestamp::from_millis(at.millis() - at.millis().rem_euclid(60_000))),
            Interval::Hour => {
                let into = i64::from(zoned.minute()) * 60_000 + at.millis().rem_euclid(60_000);
                return Some(Timestamp::from_millis(at.millis() - into));
            }
            Interval::Day => date,
            Interval::Week => {
                let days = date.weekday().since(Weekday::Monday);
                date.checked_sub(i64::from(days).days()).ok()?
            }
            Interval::Month => date.first_of_month(),
        };
        Some(instant(&self.midnight(begun)?))
    }

    /// When the interval that began at `start` is over.
    fn after(&self, interval: Interval, start: Timestamp) -> Option<Timestamp> {
        let step = |millis| Timestamp::from_millis(start.millis() + millis);
        let zoned = self.at(start)?;
        let date = match interval {
            Interval::Minute => return Some(step(60_000)),
            // A clock that is put by half an hour cuts an hour short.
            Interval::Hour => {
                let next = self.floor(Interval::Hour, step(3_600_000))?;
                return Some(if next > start { next } else { step(3_600_000) });
            }
            Interval::Day => zoned.date().checked_add(1.day()).ok()?,
            Interval::Week => zoned.date().checked_add(7.days()).ok()?,
            Interval::Month => zoned.date().first_of_month().checked_add(1.month()).ok()?,
        };
        Some(instant(&self.midnight(date)?))
    }

    /// The intervals that touch a time, at most `most` of them; `None` when there are more.
    pub fn slots(&self, interval: Interval, from: Timestamp, to: Timestamp, most: usize) -> Option<Vec<Slot>> {
        let mut slots = Vec::new();
        let mut start = self.floor(interval, from)?;
        while start < to {
            if slots.len() == most {
                return None;
            }
            let end = self.after(interval, start)?;
            slots.push(Slot { start, end });
            start = end;
        }
        Some(slots)
    }
}

fn instant(zoned: &ZonedDateTime) -> Timestamp {
    Timestamp::from_millis(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("an instant")
    }

    fn hours(zone: &str, interval: Interval, from: &str, to: &str) -> Vec<i64> {
        let zone = Zone::parse(zone).expect("a zone");
        let slots = zone.slots(interval, at(from), at(to), 1000).expect("few");
        assert!(slots.windows(2).all(|pair| pair[0].end == pair[1].start));
        slots.iter().map(|slot| (slot.end.millis() - slot.start.millis()) / HOUR).collect()
    }

    #[test]
    fn days_in_vienna_have_23_and_25_hours_when_clocks_are_put() {
        let spring = hours("Europe/Vienna", Interval::Day, "2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z");
        assert_eq!(spring, [24, 23, 24]);
        let autumn = hours("Europe/Vienna", Interval::Day, "2026-10-23T22:00:00Z", "2026-10-26T23:00:00Z");
        assert_eq!(autumn, [24, 25, 24]);
        assert_eq!(hours("Europe/Vienna", Interval::Week, "2026-03-25T12:00:00Z", "2026-03-26T00:00:00Z"), [167]);
        assert_eq!(hours("Europe/Vienna", Interval::Month, "2026-10-02T12:00:00Z", "2026-10-03T00:00:00Z"), [745]);
    }

    #[test]
    fn zones_with_odd_offsets_and_missing_midnights_have_their_days() {
        let kathmandu = Zone::parse("Asia/Kathmandu").expect("a zone");
        assert_eq!(kathmandu.date("2026-05-01"), Some(at("2026-04-30T18:15:00Z")));
        assert_eq!(kathmandu.show(at("2026-04-30T18:15:00Z")), "2026-05-01T00:00:00+05:45");
        let monday = kathmandu.floor(Interval::Week, at("2026-05-01T00:00:00Z"));
        assert_eq!(monday, kathmandu.date("2026-04-27"));
        // In 2026 Cairo puts its clocks at midnight: 24 April begins at one o'clock.
        let cairo = Zone::parse("Africa/Cairo").expect("a zone");
        assert_eq!(cairo.date("2026-04-24"), Some(at("2026-04-23T22:00:00Z")));
        assert!(Zone::parse("Mars/Olympus").is_none() && Zone::parse("").is_none());
        assert!(kathmandu.date("2026-02-30").is_none() && kathmandu.date("2026-5-1").is_none());
    }

    proptest! {
        /// Intervals of any zone follow each other, hold what asked for them and begin at the edge of a quarter.
        #[test]
        fn slots_cover_without_gaps(
            zone in prop::sample::select(vec![
                "UTC", "Europe/Vienna", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham",
                "Africa/Cairo", "America/Santiago", "Asia/Kolkata", "Africa/Casablanca",
            ]),
            interval in prop::sample::select(Interval::ALL[1..].to_vec()),
            start in 1_577_836_800_000_i64..1_900_000_000_000, length in 1_i64..40 * 24 * HOUR,
        ) {
            let zone = Zone::parse(zone).expect("a zone");
            let (from, to) = (Timestamp::from_millis(start), Timestamp::from_millis(start + length));
            let slots = zone.slots(interval, from, to, 2000).expect("few");
            let (first, last) = (slots.first().expect("one"), slots.last().expect("one"));
            prop_assert!(first.start <= from && from < first.end && last.start < to && to <= last.end);
            prop_assert!(slots.windows(2).all(|pair| pair[0].end == pair[1].start));
            for slot in slots {
                prop_assert!(slot.start < slot.end && slot.start.millis() % (HOUR / 4) == 0);
            }
        }
    }
}
