//! What a run has seen: answers by phase, latencies, and what must not be.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use integration_tests::{Response, eventually_within};

/// More violations than these are counted and not shown.
const SHOWN: usize = 12;

/// Shared by the workers of one trial.
#[derive(Default)]
pub struct Tally {
    inner: Mutex<Inner>,
    operations: AtomicU64,
}

#[derive(Default)]
struct Inner {
    phase: &'static str,
    phases: Vec<(&'static str, Phase)>,
    facts: Vec<String>,
    violations: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Phase {
    answers: BTreeMap<String, u64>,
    latencies: Vec<Duration>,
}

/// What a request came to.
pub enum Answer {
    /// The service decided.
    Decided(Response),
    /// 503: nothing is known, and the same request may be sent again.
    Away,
    /// The process died under it.
    Lost,
}

impl Tally {
    /// From here on answers belong to this phase.
    pub fn enter(&self, phase: &'static str) {
        let mut inner = self.inner.lock().unwrap();
        inner.phase = phase;
        if !inner.phases.iter().any(|(name, _)| *name == phase) {
            inner.phases.push((phase, Phase::default()));
        }
    }

    /// Takes an answer of `operation` in. `kills`: functions are killed in this trial.
    pub fn take(&self, operation: &str, response: Response, since: Instant, kills: bool) -> Answer {
        let took = since.elapsed();
        let lost = response.failure.is_some() && kills;
        let label = if lost { "lost".to_owned() } else { response.status.to_string() };
        {
            let mut inner = self.inner.lock().unwrap();
            let name = inner.phase;
            if let Some((_, phase)) = inner.phases.iter_mut().find(|(phase, _)| *phase == name) {
                *phase.answers.entry(label).or_default() += 1;
                phase.latencies.push(took);
            }
        }
        self.operations.fetch_add(1, Ordering::SeqCst);
        if lost {
            return Answer::Lost;
        }
        if response.status < 500 {
            return Answer::Decided(response);
        }
        // An outage is told by the function itself, with the time to come back.
        let told = response.status == 503 && response.function.is_some() && !response.header("retry-after").is_empty();
        if !told {
            self.violation(format!("{operation}: an outage must be a 503 of the function: {response:?}"));
        }
        Answer::Away
    }

    /// Something that must not happen has happened. Equal texts are counted.
    pub fn violation(&self, what: impl Into<String>) {
        let mut what: String = what.into();
        if what.len() > 900 {
            what = what.chars().take(900).collect();
        }
        *self.inner.lock().unwrap().violations.entry(what).or_default() += 1;
    }

    /// Something worth telling.
    pub fn fact(&self, what: impl Into<String>) {
        self.inner.lock().unwrap().facts.push(what.into());
    }

    /// Answers so far.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::SeqCst)
    }

    /// Waits for this many answers more, or for as long as it may take.
    pub async fn until_more(&self, count: u64, patience: Duration) {
        let goal = self.operations() + count;
        let start = Instant::now();
        eventually_within("the workload goes on", patience + Duration::from_secs(5), || async {
            (self.operations() >= goal || start.elapsed() >= patience).then_some(())
        })
        .await;
    }

    /// Whether this phase has an answer with this status.
    pub fn count(&self, name: &str, label: &str) -> u64 {
        let inner = self.inner.lock().unwrap();
        let phase = inner.phases.iter().find(|(phase, _)| *phase == name);
        phase.and_then(|(_, phase)| phase.answers.get(label)).copied().unwrap_or_default()
    }

    /// A fault that no request should notice. A busy machine times out by itself now and then: more than five refusals,
    /// and more than five in a hundred, are no accident.
    pub fn expect_served(&self, name: &str, what: &str) {
        let refused = self.count(name, "503");
        let all = {
            let inner = self.inner.lock().unwrap();
            let phase = inner.phases.iter().find(|(phase, _)| *phase == name);
            phase.map_or(0, |(_, phase)| phase.answers.values().sum::<u64>())
        };
        if refused > 5 && refused * 100 > all * 5 || all == 0 {
            self.violation(format!("{refused} of {all} requests failed for {what}"));
        }
    }

    /// Everything that was seen, in words.
    pub fn observed(&self) -> Observed {
        let inner = self.inner.lock().unwrap();
        let mut facts: Vec<String> = inner.phases.iter().filter_map(|(name, phase)| phase.in_words(name)).collect();
        facts.extend(inner.facts.iter().cloned());
        let more = inner.violations.len().saturating_sub(SHOWN);
        let mut violations: Vec<String> =
            inner.violations.iter().take(SHOWN).map(|(what, times)| format!("{times}x {what}")).collect();
        if more > 0 {
            violations.push(format!("and {more} more kinds"));
        }
        Observed { facts, violations }
    }
}

impl Phase {
    fn in_words(&self, name: &str) -> Option<String> {
        let all: u64 = self.answers.values().sum();
        if all == 0 {
            return None;
        }
        let mut sorted = self.latencies.clone();
        sorted.sort();
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize].as_millis();
        let answers: Vec<String> = self.answers.iter().map(|(status, count)| format!("{count} x {status}")).collect();
        Some(format!("{name}: {} (p50 {} ms, p99 {} ms)", answers.join(", "), at(0.5), at(0.99)))
    }
}

/// What a fault came to.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// In words and counts.
    pub facts: Vec<String>,
    /// What must not have happened; none is a kept promise.
    pub violations: Vec<String>,
}
