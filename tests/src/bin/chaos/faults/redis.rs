//! Faults of a single Redis: F-02 to F-07, F-38.

use std::time::Duration;

use crate::tally::Observed;
use crate::trial::{Context, Trial, builder};
use crate::worker::Rules;

const LOSSY: Rules = Rules { kills: false, lossy: true };
const STRICT: Rules = Rules { kills: false, lossy: false };

async fn tell(trial: &Trial, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let done = command.exec_async(&mut trial.stack.redis().connection().await).await;
    done.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

/// What happened after a snapshot is lost; the store comes back with it while clients go on.
pub async fn f_02(context: Context) -> Observed {
    let mut trial = Trial::start(context, builder().with_database(), LOSSY).await;
    let snapshot = trial.stack.redis().snapshot().await;
    trial.phase("to be lost");
    trial.load_for(Duration::from_secs(10)).await;
    trial.pause().await;
    trial.stack.redis().restart_from_snapshot(&snapshot).await;
    trial.phase("after the snapshot came back");
    trial.resume();
    trial.load().await;
    trial.finish_with_audit().await
}

/// No connection for a while. Ends are accepted, nothing else.
pub async fn f_03(context: Context) -> Observed {
    let trial = Trial::start(context, builder().with_database().with_redis_proxy(), STRICT).await;
    trial.stack.redis_proxy().go_offline().await;
    trial.phase("away");
    trial.load_for(Duration::from_secs(8)).await;
    for success in ["200", "201"] {
        let served = trial.tally.count("away", success);
        // A token is revoked, and a garbage credential refused, without Redis; nothing else succeeds but the answer of
        // a request that was under way.
        if served > 4 {
            trial.tally.violation(format!("{served} x {success} while Redis was away"));
        }
    }
    trial.stack.redis_proxy().go_online().await;
    trial.finish_with_audit().await
}

/// Every command takes two seconds more.
pub async fn f_04(context: Context) -> Observed {
    let trial = Trial::start(context, builder().with_database().with_redis_proxy(), STRICT).await;
    trial.stack.redis_proxy().delay(Duration::from_secs(2), Duration::ZERO);
    trial.phase("slow");
    trial.load_for(Duration::from_secs(12)).await;
    trial.stack.redis_proxy().go_online().await;
    trial.finish_with_audit().await
}

/// Scripts run and their replies are lost, over and over.
pub async fn f_05(context: Context) -> Observed {
    let trial = Trial::start(context, builder().with_database().with_redis_proxy(), STRICT).await;
    trial.phase("replies cut");
    let mut cut = 0;
    for _ in 0..60 {
        trial.stack.redis_proxy().cut_next_reply_to(b"EVALSHA");
        trial.tally.until_more(6, Duration::from_secs(5)).await;
        cut += 1 - trial.stack.redis_proxy().pending_cuts().min(1);
    }
    trial.tally.fact(format!("{cut} replies of scripts were cut"));
    trial.finish_with_audit().await
}

/// No memory is left: sessions are read, refreshed and ended, not begun.
pub async fn f_06(context: Context) -> Observed {
    let trial = Trial::start(context, builder().with_database(), STRICT).await;
    tell(&trial, &["CONFIG", "SET", "maxmemory", "1"]).await;
    trial.phase("out of memory");
    trial.load().await;
    for (status, what) in [("204", "ends"), ("200", "reads")] {
        if trial.tally.count("out of memory", status) == 0 {
            trial.tally.violation(format!("out of memory, no {what} succeed"));
        }
    }
    if trial.tally.count("out of memory", "201") > 4 {
        trial.tally.violation("sessions began although no memory was left");
    }
    let mut connection = trial.stack.redis().connection().await;
    let stats: redis::InfoDict =
        redis::cmd("INFO").arg("stats").query_async(&mut connection).await.expect("INFO succeeds");
    let evicted: u64 = stats.get("evicted_keys").unwrap_or_default();
    trial.tally.fact(format!("{evicted} keys evicted"));
    if evicted > 0 {
        trial.tally.violation(format!("{evicted} keys were evicted"));
    }
    tell(&trial, &["CONFIG", "SET", "maxmemory", "0"]).await;
    trial.finish_with_audit().await
}

/// Scripts are forgotten between any two calls.
pub async fn f_07(context: Context) -> Observed {
    let trial = Trial::start(context, builder().with_database(), STRICT).await;
    trial.phase("flushed");
    let flushes = (context.load / 3).max(10);
    for _ in 0..flushes {
        tell(&trial, &["SCRIPT", "FLUSH"]).await;
        trial.tally.until_more(3, Duration::from_secs(5)).await;
    }
    trial.tally.fact(format!("{flushes} times SCRIPT FLUSH"));
    trial.tally.expect_served("flushed", "a forgotten script");
    trial.finish_with_audit().await
}

/// Records that nobody can read lie among the others.
pub async fn f_38(context: Context) -> Observed {
    let mut trial = Trial::start(context, builder().with_database(), STRICT).await;
    trial.pause().await;
    let app = trial.stack.app.clone();
    let (poisoned, sound) = (app.start_session("poisoned").await, app.start_session("poisoned").await);
    let keys = trial.stack.redis_keys().await;
    let bucket = integration_tests::audit::bucket_of(&poisoned.session_id);
    let records: Vec<_> = keys.iter().filter(|key| key.name().starts_with(&format!("s:{{b{bucket:03x}}}"))).collect();
    let mut connection = trial.stack.redis().connection().await;
    let mut poison: u64 = 0;
    for garbage in [b"\xff\x00garbage".to_vec(), vec![0; 400], vec![9; 110]] {
        // Whichever of the records is the poisoned one: the others are put back.
        for record in &records {
            redis::cmd("SET").arg(&record.key).arg(&garbage).exec_async(&mut connection).await.expect("SET succeeds");
            let read = app.get(&poisoned.session_id).await;
            let other = app.get(&sound.session_id).await;
            let list = app.list("poisoned").await;
            for (what, response) in [("read", &read), ("read", &other), ("list", &list)] {
                if response.status >= 500 && response.status != 503 {
                    trial.tally.violation(format!("a poisoned record: {what} gives {response:?}"));
                }
            }
            // Else the record is another user's of this bucket.
            poison += u64::from(read.status != 200 || other.status != 200);
            let restored = redis::cmd("SET").arg(&record.key).arg(&record.content[0]).exec_async(&mut connection).await;
            restored.expect("SET succeeds");
        }
    }
    if poison == 0 {
        trial.tally.violation("no poisoned record was noticed");
    }
    trial.tally.fact(format!("{poison} poisonings refused, each session alone"));
    app.get(&sound.session_id).await.expect(200);
    app.delete(&poisoned.session_id).await.expect(204);
    trial.resume();
    trial.finish_with_audit().await
}
