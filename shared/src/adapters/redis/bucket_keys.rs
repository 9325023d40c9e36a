//! All keys of buckets: what only the job that moves them asks for. A request names its keys.

use super::connection::Connection;
use super::keys;
use super::scripts::transfer::Dumped;
use crate::core::id::Bucket;
use crate::limits::{MOVE_COPY_BATCH, MOVE_SCAN_COUNT, MOVE_SLOTS};
use futures_util::future::try_join_all;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, cmd};
use std::collections::{BTreeSet, HashMap};

/// A walk over a store that finds every key which is there from its beginning to its end.
pub struct Walk {
    buckets: Vec<Bucket>,
    place: Place,
}

enum Place {
    /// One node: `SCAN` over all that it holds, whatever number of buckets is asked for.
    Cursor(u64),
    /// A cluster: the slots of some buckets after others. Slots must stay where they are meanwhile.
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
                let end = (at + MOVE_SLOTS).min(self.buckets.len());
                self.place = if end < self.buckets.len() { Place::Slot(end) } else { Place::Done };
                let asked = &self.buckets[at..end];
                (in_slots_of(connection, asked).await?, asked)
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

/// The keys in the slots of buckets, each once. Other buckets may share a slot.
async fn in_slots_of(connection: &Connection, buckets: &[Bucket]) -> RedisResult<Vec<Vec<u8>>> {
    let Connection::Cluster(cluster, _) = connection else {
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "slots are of a cluster")));
    };
    let ask = async |command: Cmd, whom: SingleNodeRoutingInfo| {
        cluster.clone().route_command(command, RoutingInfo::SingleNode(whom)).await
    };
    let slots = buckets.iter().map(async |bucket| {
        let slot = cmd("CLUSTER").arg("KEYSLOT").arg(keys::marker(*bucket)).to_owned();
        u16::from_redis_value(ask(slot, SingleNodeRoutingInfo::Random).await?).map_err(RedisError::from)
    });
    let slots: BTreeSet<u16> = try_join_all(slots).await?.into_iter().collect();
    let names = slots.into_iter().map(async |slot| {
        let all = cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(i32::MAX).to_owned();
        let owner = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
        Vec::<Vec<u8>>::from_redis_value(ask(all, owner).await?).map_err(RedisError::from)
    });
    Ok(try_join_all(names).await?.concat())
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
