//! A stack under load: what every fault is tried on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use integration_tests::stack::StackBuilder;
use integration_tests::{Request, Response, Stack, Value, audit, eventually_within, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::tally::{Observed, Tally};
use crate::worker::{LIMIT, Rules, Worker};

/// How long everything may take to be served again after a fault.
const RECOVERY: Duration = Duration::from_secs(45);
/// Clients of the workload. With the functions they fill two processors.
const WORKERS: u64 = 4;

/// What a fault is given.
#[derive(Clone, Copy)]
pub struct Context {
    pub seed: u64,
    /// Answers to wait for where only the passing of load matters.
    pub load: u64,
}

/// The policy of the application: no quotas, a limit that is reached, the longest window for lost answers.
pub fn policy() -> Value {
    json!({
        "sessionLimit": { "max": LIMIT, "onLimit": "reject" },
        "refreshGraceSeconds": 30,
        "rateLimits": {
            "applicationPerMinute": 0, "holderPerMinute": 0, "addressPerMinute": 0, "unknownPerMinute": 0,
        },
    })
}

/// A builder with what every trial needs.
pub fn builder() -> StackBuilder {
    Stack::builder().with_policy(policy()).with_environments(4)
}

/// A stack, its clients, and what they saw.
pub struct Trial {
    pub stack: Arc<Stack>,
    pub tally: Arc<Tally>,
    rules: Rules,
    context: Context,
    copies: u32,
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<Worker>>,
    resting: Vec<Worker>,
}

impl Trial {
    /// Starts the load and waits until it flows.
    pub async fn start(context: Context, builder: StackBuilder, rules: Rules) -> Self {
        Self::with_copies(context, builder, rules, 1).await
    }

    /// [`start`](Self::start) with each request delivered up to `copies` times.
    pub async fn with_copies(context: Context, builder: StackBuilder, rules: Rules, copies: u32) -> Self {
        let stack = Arc::new(builder.start().await);
        let tally = Arc::new(Tally::default());
        let worker = |number| Worker::new(&stack.app, &tally, rules, context.seed, number, copies);
        let resting = (0..WORKERS).map(worker).collect();
        let mut trial = Self {
            stack: Arc::clone(&stack),
            tally: Arc::clone(&tally),
            rules,
            context,
            copies,
            stop: watch::Sender::new(false),
            running: Vec::new(),
            resting,
        };
        trial.tally.enter("before");
        trial.resume();
        trial.load().await;
        trial
    }

    /// Names what happens from here on.
    pub fn phase(&self, name: &'static str) {
        self.tally.enter(name);
    }

    /// Waits until the usual load has passed.
    pub async fn load(&self) {
        self.tally.until_more(self.context.load, Duration::from_secs(20)).await;
    }

    /// Lets the load run for a while.
    pub async fn load_for(&self, time: Duration) {
        self.tally.until_more(u64::MAX / 2, time).await;
    }

    /// Lets the clients finish what they do, and wait.
    pub async fn pause(&mut self) {
        self.stop.send_replace(true);
        for running in self.running.drain(..) {
            match running.await {
                Ok(worker) => self.resting.push(worker),
                Err(error) => self.tally.violation(format!("a client gave up: {}", said(error))),
            }
        }
    }

    /// Lets them go on.
    pub fn resume(&mut self) {
        self.stop.send_replace(false);
        for mut worker in self.resting.drain(..) {
            let stop = self.stop.subscribe();
            self.running.push(tokio::spawn(async move {
                while !*stop.borrow() {
                    worker.step().await;
                }
                worker
            }));
        }
    }

    /// Ends the load and waits until every answer is known.
    pub async fn settle(&mut self) {
        self.phase("after");
        if !self.running.is_empty() {
            self.load().await;
        }
        self.pause().await;
        self.each(async |worker| worker.settle(RECOVERY).await).await;
    }

    /// The invariants, session by session, and the audit when there is a database.
    pub async fn verify(&mut self) {
        self.each(async |worker| worker.verify().await).await;
        let sessions = || self.resting.iter().flat_map(|worker| worker.sessions.iter());
        let count = |of: fn(&&crate::worker::Session) -> bool| sessions().filter(of).count();
        let accepted = count(|one| one.ended == Some(202));
        let rotations: u64 = sessions().map(|one| one.rotations).sum();
        self.tally.fact(format!(
            "{} sessions, {rotations} rotations, {} ends acknowledged ({accepted} as 202), {} sessions gone without an end",
            sessions().count(),
            count(|one| one.ended.is_some()),
            count(|one| one.lost),
        ));
    }

    /// I-7: drains the outboxes and compares the audit with what was acknowledged.
    pub async fn audit(&mut self) {
        drain(&self.stack).await;
        let client = self.stack.database().connect().await;
        for violation in audit::violations(&client).await {
            self.tally.violation(format!("audit: {violation}"));
        }
        let mut rows: HashMap<(String, String), u64> = HashMap::new();
        for row in audit::rows(&client).await {
            *rows.entry((row.event.session_id, row.event.event_type)).or_default() += 1;
        }
        let (mut wanted, mut found) = (0, 0);
        for session in self.resting.iter().flat_map(|worker| worker.sessions.iter()) {
            let ended = u64::from(session.ended.is_some());
            let expected = [
                ("session.created", 1),
                ("session.refreshed", session.rotations),
                ("session.updated", session.version - 1),
                ("session.ended", ended),
            ];
            for (kind, expected) in expected {
                let told = rows.get(&(session.id.clone(), kind.to_owned())).copied().unwrap_or_default();
                wanted += expected;
                found += told.min(expected);
                // What was asked and whose answer is unknown may have been done; a store that forgot it tells it again.
                let unknown = session.lost || self.rules.lossy || session.ended.is_some() && kind != "session.created";
                let at_least = if self.rules.lossy { 0 } else { expected };
                if !(at_least..=expected + u64::from(unknown)).contains(&told) {
                    self.tally.violation(format!("I-7: {kind} stands {told} times where {expected} are acknowledged"));
                }
            }
        }
        self.tally.fact(format!("audit: {found} of {wanted} acknowledged changes, chains whole"));
    }

    /// Ends the load, waits until all is served again, and asks every oracle, the audit among them.
    pub async fn finish_with_audit(mut self) -> Observed {
        self.settle().await;
        self.phase("oracles");
        self.verify().await;
        self.audit().await;
        self.tally.observed()
    }

    async fn each(&mut self, work: impl AsyncFn(&mut Worker)) {
        futures::future::join_all(self.resting.iter_mut().map(|worker| work(worker))).await;
    }

    /// Deliveries of each request.
    pub fn copies(&self) -> u32 {
        self.copies
    }
}

/// Asks again while a busy machine makes the stores time out. For what only prepares or looks.
pub async fn insist(request: &Request) -> Response {
    eventually_within("the request is served", Duration::from_secs(30), || async {
        let response = request.clone().send().await;
        (response.status != 503).then_some(response)
    })
    .await
}

/// Runs `write-audit` until nothing is left. A run that meets what a killed one left locked leaves it to the next.
pub async fn drain(stack: &Stack) {
    eventually_within("everything is drained", Duration::from_secs(240), || async {
        let event = integration_tests::stack::scheduled_event(json!({ "firstBucket": 0, "lastBucket": 4095 }));
        let run = stack.invoke("write-audit", &event).await.ok()?;
        (run["taken"] == 0 && run["skippedChains"] == 0).then_some(())
    })
    .await;
}

/// The text of a panic.
pub fn said(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without a text".to_owned()),
        Err(error) => error.to_string(),
    }
}
