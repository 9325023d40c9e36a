//! Jobs that overlap, race and fall behind: F-28, F-29, F-39.

use std::time::{Duration, Instant};

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::audit::QueuedEvent;
use integration_tests::stack::scheduled_event;
use integration_tests::{InvokeError, audit, eventually_within, json};

use super::{Repeated, everything};
use crate::tally::Observed;
use crate::trial::{Context, Trial, builder};
use crate::worker::Rules;

const STRICT: Rules = Rules { kills: false, lossy: false };
const COPIES: usize = 5;
const JOBS: [&str; 6] =
    ["cleanup-sessions", "write-audit", "rotate-keys", "evaluate-alerts", "deliver-events", "migrate-database"];

/// Five of each job at once.
pub async fn f_28(context: Context) -> Observed {
    let builder = builder().with_database().with_environments(COPIES);
    let trial = Trial::start(context, builder, STRICT).await;
    trial.phase("five of each job");
    let (mut runs, mut away) = (0, 0);
    for _ in 0..2 {
        for job in JOBS {
            let event = if job == "migrate-database" { json!({}) } else { scheduled_event(everything()) };
            let copies = (0..COPIES).map(|copy| trial.stack.fleet.invoke_on(job, copy, &event));
            for outcome in join_all(copies).await {
                runs += 1;
                match outcome {
                    Ok(_) => {}
                    // A busy machine times out by itself; the next run goes on where this one was.
                    Err(InvokeError::Function(error)) if error["errorType"] == "DependencyUnavailable" => away += 1,
                    Err(error) => trial.tally.violation(format!("{job}, five at once: {error}")),
                }
            }
        }
    }
    trial.tally.fact(format!("{runs} runs, {away} of them put off by a store that timed out"));
    trial.finish_with_audit().await
}

/// Sweeps never rest while sessions begin, are refreshed, and people are erased.
pub async fn f_29(context: Context) -> Observed {
    let trial = Trial::start(context, builder().with_database(), STRICT).await;
    let sweeps: Vec<Repeated> = (0..2)
        .map(|environment| Repeated::start(&trial.stack, "cleanup-sessions", environment, everything()))
        .collect();
    trial.phase("swept");
    let app = trial.stack.app.clone();
    let mut erased = 0;
    for number in 0..8 {
        let user = format!("erased-{number}");
        let session: SessionTokens = app.start_session(&user).await;
        let refreshes = async {
            let mut token = session.refresh_token.clone();
            for _ in 0..10 {
                let response = app.refresh(&session.session_id, &token).await;
                if response.status != 200 {
                    break;
                }
                token = response.json()["refreshToken"].as_str().unwrap_or_default().to_owned();
            }
        };
        let erase = app.request("DELETE", &format!("/users/{user}")).send();
        let (response, ()) = tokio::join!(erase, refreshes);
        if !matches!(response.status, 200 | 202) {
            trial.tally.violation(format!("an erasure: {response:?}"));
        }
        erased += 1;
        for status in [
            app.get(&session.session_id).await.status,
            app.refresh(&session.session_id, &session.refresh_token).await.status,
        ] {
            if status < 400 {
                trial.tally.violation(format!("I-11: an erased session answers {status}"));
            }
        }
        let listed = app.list(&user).await.json()["sessions"].as_array().map_or(0, Vec::len);
        if listed > 0 {
            trial.tally.violation("I-11: an erased session is listed");
        }
    }
    trial.load().await;
    let mut runs = 0;
    for sweep in sweeps {
        let (done, failed) = sweep.stop().await;
        runs += done;
        if failed > done {
            trial.tally.violation(format!("{failed} sweeps failed, {done} did not"));
        }
    }
    trial.tally.fact(format!("{runs} sweeps of 4096 buckets, {erased} erasures against refreshes"));
    trial.finish_with_audit().await
}

/// More waits in the outboxes than a day of a small stack brings, while requests go on.
pub async fn f_39(context: Context) -> Observed {
    const BACKLOG: usize = 10_000;
    let trial = Trial::start(context, builder().with_database(), STRICT).await;
    let events: Vec<QueuedEvent> = (0..BACKLOG)
        .map(|number| QueuedEvent::new(u16::try_from(number % 4096).expect("a bucket"), &format!("backlog-{number}")))
        .collect();
    audit::queue(&mut trial.stack.redis().connection().await, &events).await;
    trial.phase("draining");
    let since = Instant::now();
    let client = trial.stack.database().connect().await;
    eventually_within("the backlog is drained", Duration::from_secs(240), || async {
        // A run that fails leaves everything to the next.
        let _ = trial.stack.invoke("write-audit", &scheduled_event(everything())).await;
        let written = "SELECT count(*) FROM audit_events WHERE event_id LIKE 'backlog-%'";
        let written: i64 = client.query_one(written, &[]).await.expect("a count").get(0);
        (usize::try_from(written) == Ok(BACKLOG)).then_some(())
    })
    .await;
    let seconds = since.elapsed().as_secs_f64();
    let rate = BACKLOG as f64 / seconds.max(0.001);
    let million = Duration::from_secs_f64(1_000_000.0 / rate);
    trial.tally.fact(format!(
        "{BACKLOG} events drained in {seconds:.1} s under load, {rate:.0}/s by a development build; a million would take {} min",
        million.as_secs() / 60
    ));
    trial.tally.expect_served("draining", "a backlog");
    trial.finish_with_audit().await
}
