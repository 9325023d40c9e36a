use integration_tests::stores::{AwsStores, Database, RedisOptions, RedisServer};
use integration_tests::{settings, stores};

async fn set(server: &RedisServer, key: &str, value: &str) {
    redis::cmd("SET").arg(key).arg(value).exec_async(&mut server.connection().await).await.unwrap();
}

async fn keys(server: &RedisServer) -> Vec<String> {
    server.dump_keys().await.iter().map(stores::KeyDump::name).collect()
}

#[tokio::test]
async fn a_restarted_redis_is_empty_and_a_snapshot_brings_its_keys_back() {
    let server = RedisServer::start(RedisOptions::default()).await;
    set(&server, "early", "1").await;
    let snapshot = server.snapshot().await;
    set(&server, "late", "2").await;
    assert_eq!(keys(&server).await, ["early", "late"]);
    server.restart_from_snapshot(&snapshot).await;
    assert_eq!(keys(&server).await, ["early"]);
    server.restart().await;
    assert_eq!(keys(&server).await, [""; 0]);
    server.stop().await;
    assert!(tokio::net::TcpStream::connect(server.authority()).await.is_err());
}

#[tokio::test]
async fn a_dump_shows_every_kind_of_key() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let mut connection = server.connection().await;
    let commands: [&[&str]; 6] = [
        &["SET", "a", "needle", "PX", "60000"],
        &["HSET", "b", "field", "needle"],
        &["RPUSH", "c", "needle"],
        &["SADD", "d", "needle"],
        &["ZADD", "e", "7", "needle"],
        &["XADD", "f", "*", "field", "needle"],
    ];
    for command in commands {
        redis::cmd(command[0]).arg(&command[1..]).exec_async(&mut connection).await.unwrap();
    }
    let dumps = server.dump_keys().await;
    let kinds: Vec<&str> = dumps.iter().map(|dump| dump.kind.as_str()).collect();
    assert_eq!(kinds, ["string", "hash", "list", "set", "zset", "stream"]);
    assert!(dumps.iter().all(|dump| dump.contains(b"needle") && !dump.contains(b"absent")));
    assert!(dumps[0].ttl_ms > 0 && dumps[1].ttl_ms == -1);
    assert_eq!(server.command_calls().await["zadd"], 1);
}

#[tokio::test]
async fn redis_serves_tls_with_a_certificate_of_its_authority() {
    let server = RedisServer::start(RedisOptions { tls: true, ..RedisOptions::default() }).await;
    let certificates =
        redis::TlsCertificates { client_tls: None, root_cert: Some(std::fs::read(server.ca_file().unwrap()).unwrap()) };
    let url = format!("rediss://{}", server.tls_authority().unwrap());
    let client = redis::Client::build_with_tls(url.as_str(), certificates).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("PING").exec_async(&mut connection).await.unwrap();
    // Trusted because of that authority only.
    assert!(redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.is_err());
}

#[tokio::test]
async fn a_database_lives_as_long_as_its_value() {
    let database = Database::create().await;
    let url = database.url();
    let client = database.connect().await;
    client.batch_execute("CREATE TABLE t (n int)").await.unwrap();
    assert!(url.contains("sslmode=disable"));
    drop(database);
    assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
}

#[tokio::test]
async fn tables_have_the_keys_of_the_contract() {
    let stores = AwsStores::create(&format!("stack-{}", settings::random_hex(6))).await;
    let described = stores.dynamodb.describe_table().table_name(&stores.tables.revocations).send().await.unwrap();
    let table = described.table.unwrap();
    let schema: Vec<_> = table.key_schema().iter().map(|key| key.attribute_name()).collect();
    assert_eq!(schema, ["scope", "entry"]);
    let ttl = stores.dynamodb.describe_time_to_live().table_name(&stores.tables.revocations).send().await.unwrap();
    assert_eq!(ttl.time_to_live_description.unwrap().attribute_name(), Some("expiresAt"));
    let key = stores.kms.describe_key().key_id(&stores.kms_key_id).send().await.unwrap();
    assert!(key.key_metadata.unwrap().enabled);
}
