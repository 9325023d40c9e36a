use std::time::{Duration, Instant};

use integration_tests::proxy::Counts;
use integration_tests::stores::{RedisOptions, RedisServer};
use integration_tests::{TcpProxy, eventually};
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn redis_behind_proxy() -> (RedisServer, TcpProxy) {
    let server = RedisServer::start(RedisOptions::default()).await;
    let proxy = TcpProxy::start(&server.authority()).await;
    (server, proxy)
}

async fn connect(proxy: &TcpProxy) -> redis::RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{}", proxy.authority()))?;
    client.get_multiplexed_async_connection().await
}

async fn increment(connection: &mut MultiplexedConnection) -> redis::RedisResult<i64> {
    redis::cmd("INCR").arg("n").query_async(connection).await
}

#[tokio::test]
async fn round_trips_are_exchanges_not_commands() {
    let (_server, proxy) = redis_behind_proxy().await;
    let mut connection = connect(&proxy).await.unwrap();
    let (_, counts) = proxy.measure(increment(&mut connection)).await;
    assert_eq!((counts.round_trips, counts.connections), (1, 0));
    assert!(counts.bytes_to_upstream > 0 && counts.bytes_to_client > 0);

    let mut pipeline = redis::pipe();
    for _ in 0..10 {
        pipeline.cmd("INCR").arg("n");
    }
    let (_, counts) = proxy.measure(async { pipeline.exec_async(&mut connection).await.unwrap() }).await;
    assert_eq!(counts.round_trips, 1);

    let (_, counts) = proxy
        .measure(async {
            for _ in 0..3 {
                increment(&mut connection).await.unwrap();
            }
        })
        .await;
    assert_eq!(counts.round_trips, 3);
}

#[tokio::test]
async fn labels_count_their_requests_and_the_replies_to_them() {
    let (_server, proxy) = redis_behind_proxy().await;
    proxy.label("numbers", b"\r\nINCR\r\n");
    proxy.label("texts", b"\r\nGET\r\n");
    let mut connection = connect(&proxy).await.unwrap();
    let before = proxy.counts();
    for _ in 0..3 {
        increment(&mut connection).await.unwrap();
    }
    let numbers = proxy.counts() - before;
    assert_eq!((proxy.labelled()["numbers"], numbers.round_trips), (numbers, 3));
    assert_eq!(proxy.labelled()["texts"], Counts::default());
    redis::cmd("PING").exec_async(&mut connection).await.unwrap();
    // Longer than one piece, both ways.
    let text = "x".repeat(300_000);
    redis::cmd("SET").arg("text").arg(&text).exec_async(&mut connection).await.unwrap();
    let before = proxy.counts();
    redis::cmd("GET").arg("text").exec_async(&mut connection).await.unwrap();
    let texts = proxy.labelled()["texts"];
    assert_eq!(texts, proxy.counts() - before);
    assert!(texts.bytes_to_client > 300_000 && texts.round_trips == 1, "{texts:?}");
    assert_eq!(proxy.labelled()["numbers"], numbers);
}

#[tokio::test]
async fn a_cut_reply_leaves_the_work_done() {
    let (server, proxy) = redis_behind_proxy().await;
    let mut connection = connect(&proxy).await.unwrap();
    proxy.cut_next_reply_to(b"INCR");
    redis::cmd("PING").exec_async(&mut connection).await.unwrap();
    assert_eq!(proxy.pending_cuts(), 1);
    increment(&mut connection).await.unwrap_err();
    assert_eq!(proxy.pending_cuts(), 0);
    let done: i64 = redis::cmd("GET").arg("n").query_async(&mut server.connection().await).await.unwrap();
    assert_eq!(done, 1);
}

#[tokio::test]
async fn offline_means_refused_and_online_means_served() {
    let (_server, proxy) = redis_behind_proxy().await;
    let mut connection = connect(&proxy).await.unwrap();
    proxy.go_offline().await;
    increment(&mut connection).await.unwrap_err();
    let refused = TcpStream::connect(proxy.authority()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.go_online().await;
    assert_eq!(increment(&mut connect(&proxy).await.unwrap()).await.unwrap(), 1);
}

#[tokio::test]
async fn refusing_new_connections_spares_the_open_ones() {
    let (_server, proxy) = redis_behind_proxy().await;
    let mut connection = connect(&proxy).await.unwrap();
    proxy.refuse_connections().await;
    assert_eq!(increment(&mut connection).await.unwrap(), 1);
    assert!(connect(&proxy).await.is_err());
}

#[tokio::test]
async fn a_stall_holds_back_and_loses_nothing() {
    let (server, proxy) = redis_behind_proxy().await;
    let mut connection = connect(&proxy).await.unwrap();
    proxy.stall();
    let before = proxy.counts().bytes_to_upstream;
    let waiting = tokio::spawn(async move { increment(&mut connection).await });
    eventually("the request reaches the proxy", || async { (proxy.counts().bytes_to_upstream > before).then_some(()) })
        .await;
    let held: Option<i64> = redis::cmd("GET").arg("n").query_async(&mut server.connection().await).await.unwrap();
    assert_eq!(held, None);
    proxy.resume();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn each_direction_can_be_delayed() {
    let (_server, proxy) = redis_behind_proxy().await;
    let mut connection = connect(&proxy).await.unwrap();
    proxy.delay(Duration::from_millis(30), Duration::from_millis(50));
    let start = Instant::now();
    increment(&mut connection).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn an_intercepted_request_never_reaches_the_upstream() {
    let (server, proxy) = redis_behind_proxy().await;
    let mut connection = connect(&proxy).await.unwrap();
    proxy.intercept(b"INCR", b"-LOADING Redis is loading the dataset in memory\r\n");
    let error = increment(&mut connection).await.unwrap_err();
    assert_eq!(error.code(), Some("LOADING"));
    redis::cmd("PING").exec_async(&mut connection).await.unwrap();
    proxy.go_online().await;
    assert_eq!(increment(&mut connection).await.unwrap(), 1);
    proxy.intercept(b"INCR", b"");
    increment(&mut connection).await.unwrap_err();
    let held: i64 = redis::cmd("GET").arg("n").query_async(&mut server.connection().await).await.unwrap();
    assert_eq!(held, 1);
}

#[tokio::test]
async fn http_requests_are_counted_by_target() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = TcpProxy::start(&upstream.local_addr().unwrap().to_string()).await;
    let mut client = TcpStream::connect(proxy.authority()).await.unwrap();
    let (mut server, _) = upstream.accept().await.unwrap();
    let request = |target: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nX-Amz-Target: {target}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let stream = [
        request("TrentService.Decrypt", "{\"x-amz-target\": \"in a body\"}"),
        request("DynamoDB_20120810.GetItem", ""),
        request("TrentService.Decrypt", "x"),
    ]
    .concat();
    // Pieces that fall anywhere: within a head, a body, across requests.
    for piece in stream.as_bytes().chunks(7) {
        client.write_all(piece).await.unwrap();
    }
    let mut received = vec![0; stream.len()];
    server.read_exact(&mut received).await.unwrap();
    assert_eq!(received, stream.as_bytes());
    assert_eq!((proxy.calls("TrentService."), proxy.calls("DynamoDB_20120810.GetItem")), (2, 1));
    assert_eq!(proxy.targets().values().sum::<u64>(), 3);
}
