//! F-03 with a Redis Cluster, whose client opens lost connections again by itself.

use std::process::{Child, Command, Stdio};

use integration_tests::{Stack, TcpProxy, eventually, settings};
use tempfile::TempDir;

use super::support::*;

/// A cluster of one primary, which names the proxy before it as its address.
struct Cluster {
    process: Child,
    port: u16,
    proxy: TcpProxy,
    _directory: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder for Redis");
        let port = settings::free_port();
        let proxy = TcpProxy::start(&format!("127.0.0.1:{port}")).await;
        let (_, announced) =
            proxy.authority().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).expect("a port");
        let process = Command::new(settings::redis_server())
            .current_dir(directory.path())
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--cluster-enabled", "yes"])
            .args(["--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", &announced])
            .args(["--cluster-port", &settings::free_port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can be started (TEST_REDIS_SERVER)");
        let cluster = Self { process, port, proxy, _directory: directory };
        let mut connection = eventually("the node answers", || async { cluster.connection().await.ok() }).await;
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("ADDSLOTSRANGE").arg(0).arg(16383).exec_async(&mut connection).await.expect("CLUSTER succeeds");
        eventually("the cluster is complete", || async {
            let mut connection = cluster.connection().await.ok()?;
            let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.ok()?;
            info.contains("cluster_state:ok").then_some(())
        })
        .await;
        cluster
    }

    async fn connection(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        client.get_multiplexed_async_connection().await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn f_03_accepted_ends_hold_from_the_first_request_on_in_a_cluster_too() {
    let cluster = Cluster::start().await;
    let builder = Stack::builder().with_environments(2).with_variable("REDIS_CLUSTER", "true");
    let stack = builder.with_variable("REDIS_URL", &format!("redis://{}", cluster.proxy.authority())).start().await;
    let app = &stack.app;
    warm_up(&stack).await;
    let kept = session_with_data(app, "kept").await;
    for name in CHECKS {
        let (ended, revoked) = (session_with_data(app, name).await, session_with_data(app, "ada").await);
        cluster.proxy.go_offline().await;
        expect_away(name, &check(app, &kept, name).send().await);
        app.delete(&ended.session_id).await.expect(202);
        app.delete_user_sessions("ada").await.expect(202);
        cluster.proxy.go_online().await;
        expect_dead(name, &ended, &check(app, &ended, name).send().await);
        expect_dead(name, &revoked, &check(app, &revoked, name).send().await);
        assert_eq!(pending(&stack).await, 0, "{name}");
        app.get(&kept.session_id).await.expect(200);
    }
    for name in CHECKS {
        let ended = session_with_data(app, name).await;
        cluster.proxy.go_offline().await;
        app.delete(&ended.session_id).await.expect(202);
        cluster.proxy.go_online().await;
        // This environment was idle during the outage: its client finds a dead socket.
        expect_dead(name, &ended, &check(app, &ended, name).send().await);
    }
}

#[tokio::test]
async fn f_26_a_socket_of_a_cluster_that_died_while_frozen_costs_no_request() {
    let cluster = Cluster::start().await;
    let builder = Stack::builder().with_environments(1).with_variable("REDIS_CLUSTER", "true");
    let stack = builder.with_variable("REDIS_URL", &format!("redis://{}", cluster.proxy.authority())).start().await;
    let app = &stack.app;
    let session = session_with_data(app, "ada").await;
    app.get(&session.session_id).await.expect(200);
    for _ in 0..3 {
        let environment = stack.environment("get-session", 0).await;
        environment.freeze().await;
        cluster.proxy.cut_connections();
        environment.thaw();
        app.get(&session.session_id).await.expect(200);
    }
}
