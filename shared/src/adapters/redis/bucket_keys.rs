//! All keys of buckets: what only the job that moves them asks for. A request names its keys.

use super::connection::Connection;
use super::keys;
use super::scripts::transfer::Dumped;
use crate::core::id::Bucket;
use crate::limits::{MOVE_COPY_BATCH, MOVE_SCAN_COUNT};
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, cmd};
use std::collections::HashMap;

/// A walk over a store that finds every key which is there from its beginning to its end.
pub struct Walk {
    buckets: Vec<Bucket>,
    place: Place,
}

enum Place {
    /// One node: `SCAN` over all that it holds, whatever number of buckets is asked for.
    Cursor(u64),
    /// A cluster: the slot of one bucket after the other. Slots must stay where they are meanwhile.
    Slot(usize),
    Done,
}

/// Keys by bucket.
pub type Found = HashMap<Bucket, Vec<Vec<u8>>>;

impl Walk {
    /// Over these buckets, in ascending order.
    pub fn new(connection: &Connection, buckets: Vec<Bucket>) -> Self {
        let place = match connection {
            _ if buckets.is_empty() => Place::Done,
            Connection::Single(_) => Place::Cursor(0),
            Connection::Cluster(..) => Place::Slot(0),
        };
        Walk { buckets, place }
    }

    /// The next keys, `None` when there are no more; a key may come twice.
    pub async fn next(&mut self, connection: &mut Connection) -> RedisResult<Option<Found>> {
        let (names, asked) = match self.place {
            Place::Done => return Ok(None),
            Place::Cursor(cursor) => {
                let scan = cmd("SCAN").arg(cursor).arg("COUNT").arg(MOVE_SCAN_COUNT).to_owned();
                let (next, names) = <(u64, Vec<Vec<u8>>)>::from_redis_value(connection.command(&scan).await?)?;
                self.place = if next == 0 { Place::Done } else { Place::Cursor(next) };
                (names, self.buckets.as_slice())
            }
            Place::Slot(at) => {
                self.place = if at + 1 < self.buckets.len() { Place::Slot(at + 1) } else { Place::Done };
                // Another bucket may share the slot.
                (in_slot_of(connection, self.buckets[at]).await?, &self.buckets[at..=at])
            }
        };
        let mut found = Found::new();
        for name in names {
            if let Some(bucket) = keys::bucket_of(&name)
                && asked.binary_search(&bucket).is_ok()
            {
                found.entry(bucket).or_default().push(name);
            }
        }
        Ok(Some(found))
    }
}

async fn in_slot_of(connection: &mut Connection, bucket: Bucket) -> RedisResult<Vec<Vec<u8>>> {
    let Connection::Cluster(cluster, _) = connection else {
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "slots are of a cluster")));
    };
    let anywhere = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
    let slot = cmd("CLUSTER").arg("KEYSLOT").arg(keys::marker(bucket)).to_owned();
    let slot = u16::from_redis_value(cluster.route_command(slot, anywhere).await?)?;
    let mut ask = async |command: Cmd| {
        let owner = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
        cluster.route_command(command, RoutingInfo::SingleNode(owner)).await
    };
    let count = ask(cmd("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot).to_owned()).await?;
    let count = u64::from_redis_value(count)?;
    // A slot that is read while it is used may have grown by now; what has come since is written down by scripts.
    let names = ask(cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(count).to_owned()).await?;
    Ok(FromRedisValue::from_redis_value(names)?)
}

/// The keys that scripts have used while those of the bucket were listed.
pub async fn touched(connection: &mut Connection, bucket: Bucket) -> RedisResult<Vec<Vec<u8>>> {
    let members = connection.command(cmd("SMEMBERS").arg(keys::touched(bucket))).await?;
    Ok(FromRedisValue::from_redis_value(members)?)
}

/// `PEXPIRETIME` of a key that is not there.
const NOT_THERE: i64 = -2;

/// Keys with all that they hold: one round trip.
pub async fn dump(connection: &mut Connection, names: &[Vec<u8>]) -> RedisResult<Vec<Dumped>> {
    let mut pipeline = redis::pipe();
    for name in names {
        pipeline.cmd("DUMP").arg(name).cmd("PEXPIRETIME").arg(name);
    }
    let replies = connection.pipeline(&pipeline).await?;
    let one = |(name, reply): (&Vec<u8>, &[redis::Value])| {
        let payload = Option::<Vec<u8>>::from_redis_value(reply[0].clone())?;
        let expires = i64::from_redis_value(reply[1].clone())?;
        // A key may expire between the two.
        let payload = payload.filter(|_| expires != NOT_THERE).unwrap_or_default();
        Ok(Dumped { key: name.clone(), payload, expires: expires.max(0) })
    };
    names.iter().zip(replies.chunks_exact(2)).map(one).collect()
}

/// Removes keys.
pub async fn remove(connection: &mut Connection, names: &[Vec<u8>]) -> RedisResult<()> {
    for names in names.chunks(MOVE_COPY_BATCH) {
        connection.command(cmd("UNLINK").arg(names)).await?;
    }
    Ok(())
}
