//! What holds a bucket back while it goes from one store to another, for good in the store that it left.
//!
//! The marker is a key of the bucket itself, so whatever looks at it does so in one atomic step with what it is about to
//! do. Scripts look in their prelude (`record.lua`), and so does a plain command that writes, as a script. A plain command that
//! only reads takes the marker along and is believed unless the bucket was moved: while it is being moved nothing in it
//! changes. None of this depends on what an environment knows of a move.

use super::connection::Connection;
use super::{keys, scripts};
use crate::core::id::Bucket;
use redis::{Arg, Cmd, RedisError, RedisResult, Value};

/// The marker as the job writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// The keys are listed, in this turn. The bucket is served as ever, and scripts write down what they use.
    Listing(u64),
    /// The keys are copied, in this turn. Nothing changes in the bucket.
    Moving(u64),
    /// The bucket is in the other store.
    Moved,
}

impl Marker {
    /// The value of the key.
    pub fn text(self) -> String {
        match self {
            Marker::Listing(turn) => format!("listing {turn}"),
            Marker::Moving(turn) => format!("moving {turn}"),
            Marker::Moved => "moved".to_owned(),
        }
    }
}

/// What came of something that was sent to a bucket.
#[derive(Debug)]
pub enum Answer {
    /// The reply.
    Value(Value),
    /// Nothing was done: the bucket is being moved.
    Moving,
    /// Nothing was done, or nothing is to be believed: the bucket was moved.
    Moved,
}

/// Commands that only read.
const READS: [&[u8]; 9] = [b"MGET", b"GET", b"HGET", b"EXISTS", b"ZCARD", b"ZCOUNT", b"ZRANGE", b"XLEN", b"XRANGE"];

/// The bucket of a plain command: its first argument is its key.
pub fn bucket_of(command: &Cmd) -> Option<Bucket> {
    word(command, 1).and_then(keys::bucket_of)
}

/// Sends one plain command behind the bucket's marker: one round trip.
pub async fn send(connection: &mut Connection, command: &Cmd, bucket: Bucket) -> RedisResult<Answer> {
    let verb = word(command, 0).unwrap_or_default();
    if !READS.contains(&verb) {
        return run(connection, &scripts::fenced(command)).await;
    }
    let (value, marker) = if verb == b"MGET" {
        let mut command = command.clone();
        command.arg(keys::marker(bucket));
        match connection.command(&command).await? {
            Value::Array(mut values) => {
                let marker = values.pop();
                (Value::Array(values), marker)
            }
            value => (value, None),
        }
    } else {
        // The marker comes second: if it was not there then, it was not when the command ran.
        let mut pipeline = redis::pipe();
        pipeline.add_command(command.clone()).get(keys::marker(bucket));
        let mut values = connection.pipeline(&pipeline).await?.into_iter();
        (values.next().unwrap_or(Value::Nil), values.next())
    };
    Ok(match marker {
        Some(Value::BulkString(marker)) if marker == Marker::Moved.text().as_bytes() => Answer::Moved,
        _ => Answer::Value(value),
    })
}

/// Runs a script, which looks at the marker itself.
pub async fn run(connection: &mut Connection, call: &scripts::Call) -> RedisResult<Answer> {
    match scripts::run(connection, call).await {
        Ok(value) => Ok(Answer::Value(value)),
        Err(error) => held_back(&error).ok_or(error),
    }
}

/// What a script's refusal says of its bucket.
fn held_back(error: &RedisError) -> Option<Answer> {
    match error.code() {
        Some("BUCKETMOVING") => Some(Answer::Moving),
        Some("BUCKETMOVED") => Some(Answer::Moved),
        _ => None,
    }
}

/// Whether a bucket has left this store for good.
pub async fn has_left(connection: &mut Connection, bucket: Bucket) -> RedisResult<bool> {
    let marker = connection.command(redis::cmd("GET").arg(keys::marker(bucket))).await?;
    Ok(marker == Value::BulkString(Marker::Moved.text().into_bytes()))
}

fn word(command: &Cmd, place: usize) -> Option<&[u8]> {
    command.args_iter().nth(place).and_then(|word| match word {
        Arg::Simple(word) => Some(word),
        _ => None,
    })
}
