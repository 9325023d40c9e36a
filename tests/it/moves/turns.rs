//! The scripts of the job: one turn at a time, and nothing from a turn that is over.

use integration_tests::stores::{RedisOptions, RedisServer};
use shared::adapters::redis::bucket_keys;
use shared::adapters::redis::connection::Connection;
use shared::adapters::redis::fence::Marker;
use shared::adapters::redis::scripts::transfer::{
    Dumped, Restored, Taken, digest, digested, mark, marked, restore, restored, take, taken,
};
use shared::adapters::redis::scripts::{self, Call};
use shared::core::id::Bucket;

const LEASE_MILLIS: u64 = 600_000;

async fn run(connection: &mut Connection, call: Call) -> redis::Value {
    scripts::run(connection, &call).await.expect("a reply")
}

#[tokio::test]
async fn a_bucket_has_one_turn_at_a_time_and_leaves_once() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let mut connection = Connection::Single(server.connection().await);
    let bucket = Bucket::new(0xb7).expect("a bucket");
    let change = |has, next, lease| mark(bucket, has, next, lease);
    let leased = Some(LEASE_MILLIS);

    let taken_now = |reply: redis::Value| taken(&reply).expect("a turn");
    assert_eq!(taken_now(run(&mut connection, take(bucket, LEASE_MILLIS)).await), Taken::Turn(1));
    assert_eq!(taken_now(run(&mut connection, take(bucket, LEASE_MILLIS)).await), Taken::Elsewhere);
    for (has, next, lease, wanted) in [
        // Not of this turn, not in this order.
        (Marker::Listing(2), Some(Marker::Moving(2)), leased, false),
        (Marker::Moving(1), Some(Marker::Moved), None, false),
        // Given back.
        (Marker::Listing(1), None, None, true),
        (Marker::Listing(1), Some(Marker::Moving(1)), leased, false),
    ] {
        let reply = run(&mut connection, change(has, next, lease)).await;
        assert_eq!(marked(&reply).expect("an answer"), wanted, "{has:?} to {next:?}");
    }
    assert_eq!(taken_now(run(&mut connection, take(bucket, LEASE_MILLIS)).await), Taken::Turn(2));
    for (has, next, lease) in [
        (Marker::Listing(2), Some(Marker::Moving(2)), leased),
        (Marker::Moving(2), Some(Marker::Moving(2)), leased),
        (Marker::Moving(2), Some(Marker::Moved), None),
    ] {
        let reply = run(&mut connection, change(has, next, lease)).await;
        assert!(marked(&reply).expect("an answer"), "{has:?} to {next:?}");
    }
    assert_eq!(taken_now(run(&mut connection, take(bucket, LEASE_MILLIS)).await), Taken::Moved);
    let ttl: i64 = redis::cmd("PTTL").arg("m:{b0b7}").query_async(&mut server.connection().await).await.expect("one");
    assert_eq!(ttl, -1, "for good");
}

/// What a later turn wrote stays, whatever an earlier one still sends; what is copied holds and expires as before.
#[tokio::test]
async fn an_earlier_turn_writes_nothing_any_more() {
    let (from, to) =
        (RedisServer::start(RedisOptions::default()).await, RedisServer::start(RedisOptions::default()).await);
    let bucket = Bucket::new(0xb7).expect("a bucket");
    let mut setup = redis::pipe();
    setup.cmd("SET").arg("s:{b0b7}:a").arg("first").arg("PX").arg(3_600_000);
    setup.cmd("ZADD").arg("u:{b0b7}:u").arg(7).arg("a");
    setup.cmd("HSET").arg("f:{b0b7}:a").arg("x").arg("1").arg("y").arg("2");
    setup.cmd("XADD").arg("o:{b0b7}").arg("5-1").arg("i").arg("id");
    setup.exec_async(&mut from.connection().await).await.expect("keys");
    let names: Vec<Vec<u8>> =
        ["s:{b0b7}:a", "u:{b0b7}:u", "f:{b0b7}:a", "o:{b0b7}", "l:{b0b7}:gone"].map(|name| name.into()).to_vec();
    let (mut here, mut there) =
        (Connection::Single(from.connection().await), Connection::Single(to.connection().await));
    let dumped = bucket_keys::dump(&mut here, &names).await.expect("a dump");
    assert_eq!(dumped.iter().filter(|key| key.payload.is_empty()).count(), 1);

    let write = async |there: &mut Connection, turn, dumped: &[Dumped]| {
        restored(&run(there, restore(bucket, turn, dumped)).await).expect("an answer")
    };
    let contents =
        async |connection: &mut Connection| digested(run(connection, digest(&names)).await).expect("digests");
    assert_eq!(write(&mut there, 1, &dumped).await, Restored::Done);
    assert_eq!(write(&mut there, 2, &dumped).await, Restored::Done);
    let copied = contents(&mut there).await;
    assert_eq!(copied, contents(&mut here).await);
    assert!(copied[0].1 > 0 && copied[1].1 == -1 && copied[4] == (None, -2), "{copied:?}");

    let gone: Vec<Dumped> = names.iter().cloned().map(Dumped::nothing).collect();
    assert_eq!(write(&mut there, 1, &gone).await, Restored::TurnLost);
    assert_eq!(contents(&mut there).await, copied);
    assert_eq!(write(&mut there, 2, &gone).await, Restored::Done);
    assert!(contents(&mut there).await.iter().all(|(digest, _)| digest.is_none()));

    // A change of any of them shows.
    for change in [
        redis::cmd("PEXPIRE").arg("s:{b0b7}:a").arg(5_000_000),
        redis::cmd("ZADD").arg("u:{b0b7}:u").arg(8).arg("a"),
        redis::cmd("HSET").arg("f:{b0b7}:a").arg("x").arg("2"),
        redis::cmd("XADD").arg("o:{b0b7}").arg("5-2").arg("i").arg("id"),
    ] {
        let before = contents(&mut here).await;
        here.command(change).await.expect("a change");
        assert_ne!(contents(&mut here).await, before);
    }
}
