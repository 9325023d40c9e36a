//! Faults of PostgreSQL: F-12 to F-16. Requests never wait for it; events do.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use integration_tests::stack::scheduled_event;
use integration_tests::stores::PostgresServer;
use integration_tests::{eventually, json};

use super::{Repeated, everything};
use crate::tally::Observed;
use crate::trial::{Context, Trial, builder};
use crate::worker::Rules;

const STRICT: Rules = Rules { kills: false, lossy: false };

fn expect_unaffected(trial: &Trial, phase: &str) {
    trial.tally.expect_served(phase, "PostgreSQL, which none needs");
}

fn tell_runs(trial: &Trial, (done, failed): (u64, u64)) {
    trial.tally.fact(format!("write-audit: {done} runs succeeded, {failed} failed and left everything in the outbox"));
}

/// The server is stopped under the drainer.
pub async fn f_12(context: Context) -> Observed {
    let server = PostgresServer::start().await;
    let trial = Trial::start(context, builder().with_database_server(server.admin_url()), STRICT).await;
    let drainer = Repeated::start(&trial.stack, "write-audit", 0, everything());
    trial.load().await;
    server.stop().await;
    trial.phase("stopped");
    trial.load_for(Duration::from_secs(8)).await;
    let audit = trial.stack.app.request("GET", "/audit/events").send().await;
    if audit.status != 503 {
        trial.tally.violation(format!("the audit without PostgreSQL: {audit:?}"));
    }
    expect_unaffected(&trial, "stopped");
    server.resume().await;
    trial.phase("restarted");
    trial.load().await;
    tell_runs(&trial, drainer.stop().await);
    trial.finish_with_audit().await
}

/// Somebody holds the chains.
pub async fn f_13(context: Context) -> Observed {
    let server = PostgresServer::start().await;
    let trial = Trial::start(context, builder().with_database_server(server.admin_url()), STRICT).await;
    let drainer = Repeated::start(&trial.stack, "write-audit", 0, everything());
    let holder = trial.stack.database().connect().await;
    holder
        .batch_execute("BEGIN; LOCK TABLE audit_chain_heads, audit_events IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("a lock");
    trial.phase("locked");
    trial.load_for(Duration::from_secs(8)).await;
    expect_unaffected(&trial, "locked");
    holder.batch_execute("COMMIT").await.expect("the lock is given back");
    tell_runs(&trial, drainer.stop().await);
    trial.finish_with_audit().await
}

/// The name leads to a standby, which refuses writes; then it is promoted under open connections.
pub async fn f_14(context: Context) -> Observed {
    let server = PostgresServer::start().await;
    let trial = Trial::start(context, builder().with_database_server(server.admin_url()), STRICT).await;
    let drainer = Repeated::start(&trial.stack, "write-audit", 0, everything());
    trial.load().await;
    server.demote().await;
    trial.phase("read-only");
    let before = trial.stack.invoke("write-audit", &scheduled_event(everything())).await;
    trial.load_for(Duration::from_secs(5)).await;
    if let Ok(run) = &before
        && run["taken"].as_u64().unwrap_or_default() > 0
    {
        trial.tally.violation(format!("write-audit acknowledged what a standby refused: {run}"));
    }
    expect_unaffected(&trial, "read-only");
    server.promote().await;
    trial.phase("promoted");
    trial.load().await;
    tell_runs(&trial, drainer.stop().await);
    trial.finish_with_audit().await
}

/// A small file system of its own holds the database, and somebody else has filled it.
pub async fn f_15(context: Context) -> Observed {
    let server = PostgresServer::start().await;
    let folder = server.folder("small");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(&folder).status();
    if !mounted.is_ok_and(|status| status.success()) {
        let facts = vec!["a file system of 48 MB can not be mounted here; it takes root".to_owned()];
        return Observed { facts, violations: vec!["not run".to_owned()] };
    }
    let observed = full_disk(context, &server, &folder).await;
    server.stop().await;
    let unmounted = Command::new("umount").arg("-l").arg(&folder).status();
    assert!(unmounted.is_ok_and(|status| status.success()), "the small file system can be unmounted");
    observed
}

async fn full_disk(context: Context, server: &PostgresServer, folder: &std::path::Path) -> Observed {
    server.own(folder);
    let admin = server.connect().await;
    let space = format!("CREATE TABLESPACE small LOCATION '{}'", folder.display());
    admin.batch_execute(&space).await.expect("CREATE TABLESPACE succeeds");
    // Databases are made from a template that lies there, so they lie there as well.
    admin.batch_execute("ALTER DATABASE template1 SET TABLESPACE small").await.expect("ALTER DATABASE succeeds");
    let trial = Trial::start(context, builder().with_database_server(server.admin_url()), STRICT).await;
    let client = trial.stack.database().connect().await;
    client.batch_execute("CREATE TABLE ballast (bytes text)").await.expect("CREATE TABLE succeeds");
    let mut size = 1 << 20;
    while size >= 64 {
        let more = format!(
            "INSERT INTO ballast SELECT string_agg(md5(random()::text), '') FROM generate_series(1, {})",
            size / 32
        );
        if client.batch_execute(&more).await.is_err() {
            size /= 4;
        }
    }
    trial.phase("disk full");
    let mut failures = Vec::new();
    let mut taken = 0;
    for _ in 0..6 {
        trial.load().await;
        match trial.stack.invoke("write-audit", &scheduled_event(everything())).await {
            Ok(run) => taken += run["taken"].as_u64().unwrap_or_default(),
            Err(error) => failures.push(error.to_string()),
        }
    }
    expect_unaffected(&trial, "disk full");
    if failures.is_empty() {
        trial.tally.violation(format!("the disk was not full: {taken} events were written"));
    }
    trial.tally.fact(format!("tmpfs of 48 MB, filled; write-audit failed {} of 6 times", failures.len()));
    client.batch_execute("DROP TABLE ballast").await.expect("dropping a table needs no space");
    trial.finish_with_audit().await
}

/// Where a drainer is killed.
const REDIS_POINTS: [&[u8]; 3] = [b"XLEN", b"XRANGE", b"XDEL"];
const DATABASE_POINTS: [&[u8]; 4] = [b"FOR UPDATE", b"COPY", b"UPDATE audit_chain_heads", b"COMMIT"];

/// The drainer dies at every step of a batch, between commit and acknowledgement among them; then five drain at once.
pub async fn f_16(context: Context) -> Observed {
    let builder = builder().with_redis_proxy().with_database_proxy();
    let trial = Trial::start(context, builder, STRICT).await;
    trial.phase("drainers killed");
    let mut kills = 0;
    for round in 0..3 {
        let of_redis = REDIS_POINTS.map(|point| (trial.stack.redis_proxy(), point));
        let of_database = DATABASE_POINTS.map(|point| (trial.stack.database_proxy(), point));
        for (proxy, point) in of_redis.into_iter().chain(of_database) {
            trial.tally.until_more(40, Duration::from_secs(5)).await;
            let environment = trial.stack.environment("write-audit", 0).await;
            proxy.cut_next_reply_to(point);
            let stack = Arc::clone(&trial.stack);
            let first = (round * 1024) % 4096;
            let run = tokio::spawn(async move {
                let event = scheduled_event(json!({ "firstBucket": first, "lastBucket": 4095 }));
                // It is killed, so it fails; whether it answers first is no matter.
                let _ = stack.fleet.invoke_on("write-audit", 0, &event).await;
            });
            eventually("the drainer passes the point", || async {
                (proxy.pending_cuts() == 0 || run.is_finished()).then_some(())
            })
            .await;
            environment.kill9().await;
            let _ = run.await;
            kills += 1;
        }
    }
    trial.tally.fact(format!("{kills} drainers killed at 7 points of a batch"));
    trial.finish_with_audit().await
}
