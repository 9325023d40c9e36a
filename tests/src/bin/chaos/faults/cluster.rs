//! Faults of a Redis Cluster of three primaries with a replica each: F-01, F-08 to F-11.

use std::time::{Duration, Instant};

use integration_tests::stack::StackBuilder;
use integration_tests::stores::RedisCluster;

use crate::tally::Observed;
use crate::trial::{Context, Trial, builder};
use crate::worker::Rules;

const LOSSY: Rules = Rules { kills: false, lossy: true };
const STRICT: Rules = Rules { kills: false, lossy: false };

fn on(cluster: &RedisCluster) -> StackBuilder {
    let builder = builder().with_database().with_variable("REDIS_CLUSTER", "true");
    builder.with_variable("REDIS_URL", &cluster.urls())
}

/// A primary is killed that has acknowledged five seconds more than its replica has.
pub async fn f_01(context: Context) -> Observed {
    let cluster = RedisCluster::start(3, 1).await;
    let trial = Trial::start(context, on(&cluster), LOSSY).await;
    cluster.pause_replication(0).await;
    trial.phase("replication paused");
    trial.load_for(Duration::from_secs(5)).await;
    cluster.kill(0);
    let killed = Instant::now();
    trial.phase("primary killed");
    cluster.await_failover(0).await;
    trial.tally.fact(format!("a replica served after {:.1} s", killed.elapsed().as_secs_f64()));
    trial.phase("promoted");
    trial.load().await;
    cluster.restart(0).await;
    cluster.until_whole().await;
    trial.finish_with_audit().await
}

/// Slots move, and a primary hands over, while everything goes on.
pub async fn f_08(context: Context) -> Observed {
    let cluster = RedisCluster::start(3, 1).await;
    let trial = Trial::start(context, on(&cluster), STRICT).await;
    trial.phase("resharding");
    let mut moved = 0;
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        for slot in cluster.slots_in_use(from).await.into_iter().take(12) {
            cluster.move_slot(slot, from, to).await;
            moved += 1;
        }
    }
    trial.load().await;
    trial.phase("handing over");
    let replica = cluster.replicas_of(1).await[0];
    let mut connection = cluster.connection(replica).await;
    redis::cmd("CLUSTER").arg("FAILOVER").exec_async(&mut connection).await.expect("CLUSTER FAILOVER succeeds");
    trial.load().await;
    cluster.until_whole().await;
    trial.tally.fact(format!("{moved} slots moved key by key, one primary handed over"));
    trial.finish_with_audit().await
}

/// The functions are with an old primary on one side, the majority on the other.
pub async fn f_09(context: Context) -> Observed {
    let cluster = RedisCluster::start(3, 1).await;
    let trial = Trial::start(context, on(&cluster), LOSSY).await;
    cluster.partition(0);
    trial.phase("cut off");
    let since = Instant::now();
    cluster.await_failover(0).await;
    trial.tally.fact(format!("the majority promoted a replica after {:.1} s", since.elapsed().as_secs_f64()));
    trial.load_for(Duration::from_secs(15)).await;
    cluster.heal();
    cluster.until_whole().await;
    trial.phase("healed");
    trial.load().await;
    // What one environment alone accepted holds from the next sweep on.
    trial.stack.run_cleanup().await;
    trial.finish_with_audit().await
}

/// A script keeps one shard busy.
pub async fn f_10(context: Context) -> Observed {
    let cluster = RedisCluster::start(3, 1).await;
    let trial = Trial::start(context, on(&cluster), STRICT).await;
    let mut connection = cluster.connection(0).await;
    trial.phase("shard blocked");
    let script = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 4 do end return 1";
    let blocking = tokio::spawn(async move {
        let _ = redis::cmd("EVAL").arg(script).arg(0).exec_async(&mut connection).await;
    });
    trial.load_for(Duration::from_secs(4)).await;
    blocking.abort();
    let (served, refused) = (trial.tally.count("shard blocked", "200"), trial.tally.count("shard blocked", "503"));
    if served == 0 {
        trial.tally.violation("no shard was served while one was blocked");
    }
    trial.tally.fact(format!("{served} x 200 by the other shards, {refused} x 503"));
    cluster.until_whole().await;
    trial.finish_with_audit().await
}

/// Replicas fall behind. Nobody reads them, so nobody notices.
pub async fn f_11(context: Context) -> Observed {
    let cluster = RedisCluster::start(3, 1).await;
    let trial = Trial::start(context, on(&cluster), STRICT).await;
    for primary in 0..3 {
        cluster.pause_replication(primary).await;
    }
    trial.phase("replicas lag");
    trial.load_for(Duration::from_secs(10)).await;
    trial.tally.expect_served("replicas lag", "replicas that nobody reads");
    let mut read = 0;
    for replica in 3..cluster.size() {
        let mut connection = cluster.connection(replica).await;
        let stats: redis::InfoDict =
            redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("INFO succeeds");
        for command in ["get", "mget", "evalsha", "hget", "zrange"] {
            let calls: Option<String> = stats.get(&format!("cmdstat_{command}"));
            // What a primary sends its replica is counted as well: a script's effects, never a read.
            read += u64::from(calls.is_some());
        }
    }
    if read > 0 {
        trial.tally.violation("a replica was read");
    }
    for primary in 0..3 {
        cluster.resume_replication(primary).await;
    }
    trial.finish_with_audit().await
}
