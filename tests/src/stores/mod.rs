//! The stores of one test, all of them real.

pub mod aws;
pub mod certificates;
pub mod database;
pub mod postgres_server;
pub mod redis_cluster;
pub mod redis_dump;
pub mod redis_server;

pub use aws::{AwsStores, Tables};
pub use database::Database;
pub use postgres_server::PostgresServer;
pub use redis_cluster::RedisCluster;
pub use redis_dump::KeyDump;
pub use redis_server::{RedisOptions, RedisServer, Snapshot};
