//! Everything a Redis holds, for assertions about what must or must not be stored.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value, cmd};

/// One key.
#[derive(Clone, Debug)]
pub struct KeyDump {
    /// Name.
    pub key: Vec<u8>,
    /// `string`, `hash`, `list`, `set`, `zset` or `stream`.
    pub kind: String,
    /// Remaining time to live in milliseconds, −1 without one.
    pub ttl_ms: i64,
    /// Every field, member, score and value, in the order Redis gives them.
    pub content: Vec<Vec<u8>>,
}

impl KeyDump {
    /// The name as text.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.key).into_owned()
    }

    /// Whether the name or anything in the content contains `needle`.
    pub fn contains(&self, needle: &[u8]) -> bool {
        let within = |hay: &[u8]| hay.windows(needle.len().max(1)).any(|window| window == needle);
        within(&self.key) || self.content.iter().any(|value| within(value))
    }
}

/// Every key of one node.
pub async fn dump(connection: &mut MultiplexedConnection) -> Vec<KeyDump> {
    let keys: Vec<Vec<u8>> = cmd("KEYS").arg("*").query_async(connection).await.expect("KEYS succeeds");
    let mut dumps = Vec::with_capacity(keys.len());
    for key in keys {
        let kind: String = cmd("TYPE").arg(&key).query_async(connection).await.expect("TYPE succeeds");
        let Some(read) = read_command(&kind, &key) else {
            continue;
        };
        let value: Value = read.query_async(connection).await.expect("the key can be read");
        let ttl_ms = cmd("PTTL").arg(&key).query_async(connection).await.expect("PTTL succeeds");
        let mut content = Vec::new();
        flatten(&value, &mut content);
        dumps.push(KeyDump { key, kind, ttl_ms, content });
    }
    dumps.sort_by(|left, right| left.key.cmp(&right.key));
    dumps
}

/// Whether a node is a primary.
pub async fn is_primary(connection: &mut MultiplexedConnection) -> bool {
    let role: Vec<Value> = cmd("ROLE").query_async(connection).await.expect("ROLE succeeds");
    matches!(role.first(), Some(Value::BulkString(name)) if name == b"master")
}

/// Calls of each command, in lower case, from `INFO commandstats`.
pub async fn command_calls(connection: &mut MultiplexedConnection) -> BTreeMap<String, u64> {
    let text: String = cmd("INFO").arg("commandstats").query_async(connection).await.expect("INFO succeeds");
    let lines = text.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    lines
        .map(|(name, rest)| {
            let calls = rest.split(',').next().and_then(|calls| calls.parse().ok()).unwrap_or_default();
            (name.to_owned(), calls)
        })
        .collect()
}

/// `None` for a key that went away since it was listed.
fn read_command(kind: &str, key: &[u8]) -> Option<Cmd> {
    let mut read = match kind {
        "string" => cmd("GET"),
        "hash" => cmd("HGETALL"),
        "set" => cmd("SMEMBERS"),
        "list" => cmd("LRANGE"),
        "zset" => cmd("ZRANGE"),
        "stream" => cmd("XRANGE"),
        _ => return None,
    };
    read.arg(key);
    match kind {
        "list" => read.arg(0).arg(-1),
        "zset" => read.arg(0).arg(-1).arg("WITHSCORES"),
        "stream" => read.arg("-").arg("+"),
        _ => &mut read,
    };
    Some(read)
}

fn flatten(value: &Value, content: &mut Vec<Vec<u8>>) {
    match value {
        Value::BulkString(bytes) => content.push(bytes.clone()),
        Value::SimpleString(text) => content.push(text.clone().into_bytes()),
        Value::Int(number) => content.push(number.to_string().into_bytes()),
        Value::Double(number) => content.push(number.to_string().into_bytes()),
        Value::Array(items) | Value::Set(items) => items.iter().for_each(|item| flatten(item, content)),
        Value::Map(pairs) => pairs.iter().for_each(|(name, item)| {
            flatten(name, content);
            flatten(item, content);
        }),
        _ => {}
    }
}
