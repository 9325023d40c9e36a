//! Setting a Redis back, and telling whether two of its states are the same.

use redis::Value;

use crate::script_bench::Bench;

/// Everything a Redis holds: key, milliseconds left, serialised value.
pub struct Contents(Vec<(Vec<u8>, i64, Vec<u8>)>);

const TAKE: &str = "local all = {} \
    for _, key in ipairs(redis.call('KEYS', '*')) do \
      table.insert(all, {key, redis.call('PTTL', key), redis.call('DUMP', key)}) end \
    return all";

const DIGEST: &str = "local names, parts = redis.call('KEYS', '*'), {} \
    table.sort(names) \
    for _, key in ipairs(names) do table.insert(parts, key) table.insert(parts, redis.call('DUMP', key)) end \
    return redis.sha1hex(table.concat(parts, '|'))";

/// Takes a copy.
pub async fn take(bench: &Bench) -> Contents {
    let value = bench.command(redis::cmd("EVAL").arg(TAKE).arg(0)).await;
    Contents(redis::from_redis_value(value).expect("keys with values"))
}

/// Puts a copy back in place of whatever there is.
pub async fn set_back(bench: &Bench, contents: &Contents) {
    bench.command(&redis::cmd("FLUSHALL")).await;
    for (key, left, value) in &contents.0 {
        bench.command(redis::cmd("RESTORE").arg(key).arg((*left).max(0)).arg(value).arg("REPLACE")).await;
    }
}

/// Equal for equal contents, whatever the times left.
pub async fn digest(bench: &Bench) -> Value {
    bench.command(redis::cmd("EVAL").arg(DIGEST).arg(0)).await
}
