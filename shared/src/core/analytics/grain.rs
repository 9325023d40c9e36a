//! The lengths of time that roll-ups are kept for, and how few of them make up a time.
//!
//! Quarters of an hour are kept for ever: every offset that a zone has had since 2020 is a multiple of one, so a day of any
//! zone is a whole number of them. The longer grains hold nothing that the quarters do not; they are there so that a year is
//! a few thousand rows and not tens of thousands.

use crate::core::time::Timestamp;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A length of time, counted in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// Kept for two days, for those who watch.
    Minute,
    /// A quarter of an hour.
    Quarter,
    /// An hour.
    Hour,
    /// Six hours.
    SixHours,
    /// A day.
    Day,
    /// A month of the calendar.
    Month,
}

impl Grain {
    /// Every grain, the shortest first.
    pub const ALL: [Grain; 6] = [Grain::Minute, Grain::Quarter, Grain::Hour, Grain::SixHours, Grain::Day, Grain::Month];

    /// The number in the database.
    pub fn code(self) -> i16 {
        match self {
            Grain::Minute => 0,
            Grain::Quarter => 1,
            Grain::Hour => 2,
            Grain::SixHours => 3,
            Grain::Day => 4,
            Grain::Month => 5,
        }
    }

    /// When the stretch that an instant lies in began.
    pub fn floor(self, at: Timestamp) -> Timestamp {
        let fixed = |length: i64| Timestamp::from_millis(at.millis() - at.millis().rem_euclid(length));
        match self {
            Grain::Minute => fixed(MINUTE),
            Grain::Quarter => fixed(15 * MINUTE),
            Grain::Hour => fixed(HOUR),
            Grain::SixHours => fixed(6 * HOUR),
            Grain::Day => fixed(DAY),
            Grain::Month => {
                let day = at.to_offset_date_time();
                let days = i64::from(day.day()) - 1;
                Timestamp::from_millis(Grain::Day.floor(at).millis() - days * DAY)
            }
        }
    }

    /// When the stretch that begins at `start` is over.
    pub fn after(self, start: Timestamp) -> Timestamp {
        let plus = |length: i64| Timestamp::from_millis(start.millis() + length);
        match self {
            Grain::Minute => plus(MINUTE),
            Grain::Quarter => plus(15 * MINUTE),
            Grain::Hour => plus(HOUR),
            Grain::SixHours => plus(6 * HOUR),
            Grain::Day => plus(DAY),
            // No month is longer, and none is shorter than what is left of the next one.
            Grain::Month => Grain::Month.floor(plus(31 * DAY)),
        }
    }
}

/// Stretches of one grain, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// How long each is.
    pub grain: Grain,
    /// When the first begins.
    pub first: Timestamp,
    /// When the last is over.
    pub past: Timestamp,
}

/// The fewest stretches that make up a time, none shorter than `finest`. Both ends have to lie on the edge of one.
pub fn cover(from: Timestamp, to: Timestamp, finest: Grain) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut at = from;
    while at < to {
        let fits = |grain: &Grain| *grain >= finest && grain.floor(at) == at && grain.after(at) <= to;
        let grain = Grain::ALL.into_iter().rev().find(fits).unwrap_or(finest);
        let past = grain.after(at);
        match spans.last_mut() {
            Some(span) if span.grain == grain => span.past = past,
            _ => spans.push(Span { grain, first: at, past }),
        }
        at = past;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every instant lies in the stretch that its floor begins, and floors of longer grains hold those of shorter ones.
        #[test]
        fn floors_hold_their_instants(millis in 1_500_000_000_000_i64..2_500_000_000_000) {
            let at = Timestamp::from_millis(millis);
            for pair in Grain::ALL.windows(2) {
                let (short, long) = (pair[0].floor(at), pair[1].floor(at));
                prop_assert!(long <= short && short <= at && at < pair[0].after(short));
                prop_assert!(pair[0].after(short) <= pair[1].after(long));
                prop_assert_eq!(pair[1].floor(pair[1].after(long)), pair[1].after(long));
            }
        }

        /// A cover is the time without a gap and without an overlap, and it is short however long the time is.
        #[test]
        fn covers_are_whole_and_short(start in 0_i64..200_000, quarters in 1_i64..80_000) {
            let quarter = 15 * MINUTE;
            let from = Timestamp::from_millis(1_600_000_200_000 / quarter * quarter + start * quarter);
            let to = Timestamp::from_millis(from.millis() + quarters * quarter);
            let spans = cover(from, to, Grain::Quarter);
            prop_assert_eq!(spans.first().map(|span| span.first), Some(from));
            prop_assert_eq!(spans.last().map(|span| span.past), Some(to));
            prop_assert!(spans.windows(2).all(|pair| pair[0].past == pair[1].first));
            prop_assert!(spans.len() <= 9, "{:?}", spans);
            let rows: i64 = spans.iter().map(|span| {
                let mut at = span.first;
                let mut rows = 0;
                while at < span.past { at = span.grain.after(at); rows += 1; }
                rows
            }).sum();
            prop_assert!(rows <= 2 * (3 + 5 + 3 + 30) + quarters / (96 * 28) + 1, "{}", rows);
        }
    }
}
