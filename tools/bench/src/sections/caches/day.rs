//! A day of requests, the same for the same seed.

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const HOUR_SECONDS: u64 = 3600;
/// How busy each hour of the day is, relative to the others.
const HOURS: [u32; 24] = [3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 10, 9, 9, 10, 10, 9, 8, 8, 9, 9, 8, 6, 5, 4];
/// Requests of a visit, and seconds between them.
const VISIT_REQUESTS_MAX: usize = 16;
const PAUSE_SECONDS_MAX: u64 = 40;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `GET /sessions/{sessionId}`
    Read,
    /// `PATCH /sessions/{sessionId}`
    Patch,
    /// `POST /sessions/{sessionId}/refresh`
    Refresh,
}

impl Kind {
    /// For the report.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Patch => "change of data",
            Kind::Refresh => "refresh",
        }
    }

    /// Its method.
    pub fn method(self) -> &'static str {
        match self {
            Kind::Read => "GET",
            Kind::Patch => "PATCH",
            Kind::Refresh => "POST",
        }
    }

    /// The function that serves it.
    pub fn function(self) -> &'static str {
        match self {
            Kind::Read => "get-session",
            Kind::Patch => "update-session",
            Kind::Refresh => "refresh-session",
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A browser with its tokens.
    Holder,
    /// A backend with its key.
    Application,
}

impl Caller {
    /// For the report.
    pub fn title(self) -> &'static str {
        match self {
            Caller::Holder => "holder",
            Caller::Application => "application",
        }
    }
}

/// Whose a session is.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Which application's.
    pub application: usize,
    /// Who uses it.
    pub caller: Caller,
}

/// One request. A holder refreshes beside these, whenever its access token runs out.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Seconds since the beginning of the day.
    pub at: u64,
    /// Which session's.
    pub session: usize,
    /// What is asked.
    pub kind: Kind,
}

/// Sessions and what is asked of them, in the order of time.
pub struct Day {
    /// Sessions, the busiest first.
    pub owners: Vec<Owner>,
    /// Requests.
    pub steps: Vec<Step>,
    /// How many applications there are.
    pub applications: usize,
}

impl Day {
    /// Visits until there are so many requests. Sessions and applications are of Zipf popularity: the second is half as busy
    /// as the first, the third a third.
    pub fn of(seed: u64, requests: usize, sessions: usize, applications: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let of_application = zipf(applications);
        let owners: Vec<Owner> = (0..sessions)
            .map(|_| Owner {
                application: of_application.sample(&mut rng),
                caller: if rng.random_bool(0.6) { Caller::Holder } else { Caller::Application },
            })
            .collect();
        let (of_session, hour) = (zipf(sessions), WeightedIndex::new(HOURS).expect("weights"));
        let mut steps = Vec::new();
        while steps.len() < requests {
            let session = of_session.sample(&mut rng);
            let mut at = hour.sample(&mut rng) as u64 * HOUR_SECONDS + rng.random_range(0..HOUR_SECONDS);
            for _ in 0..rng.random_range(1..=VISIT_REQUESTS_MAX) {
                let by_backend = owners[session].caller == Caller::Application;
                let kind = match rng.random_range(0..100) {
                    0..70 => Kind::Read,
                    70..90 => Kind::Patch,
                    _ if by_backend => Kind::Refresh,
                    _ => Kind::Read,
                };
                steps.push(Step { at, session, kind });
                at += rng.random_range(1..=PAUSE_SECONDS_MAX);
            }
        }
        // Stable, so that what happens in one second keeps its order.
        steps.sort_by_key(|step| step.at);
        Day { owners, steps, applications }
    }
}

fn zipf(count: usize) -> WeightedIndex<f64> {
    WeightedIndex::new((1..=count).map(|rank| 1.0 / rank as f64)).expect("weights")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_day_in_order_whose_first_session_is_the_busiest() {
        let (one, two) = (Day::of(7, 2000, 50, 5), Day::of(7, 2000, 50, 5));
        assert_eq!(format!("{:?}{:?}", one.owners, one.steps), format!("{:?}{:?}", two.owners, two.steps));
        assert!(one.steps.len() >= 2000 && one.steps.is_sorted_by_key(|step| step.at));
        let of = |session: usize| one.steps.iter().filter(|step| step.session == session).count();
        assert!((1..50).all(|session| of(session) < of(0)));
        for kind in [Kind::Read, Kind::Patch, Kind::Refresh] {
            assert!(one.steps.iter().any(|step| step.kind == kind), "{kind:?}");
        }
    }
}
