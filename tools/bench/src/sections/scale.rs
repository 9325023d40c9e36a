//! What sessions cost as they get more: bytes in Redis, processor time of Redis per read, instructions of the function, and
//! cleanup. One Redis grows from size to size.

use std::collections::BTreeMap;
use std::path::Path;

use integration_tests::environment::EnvironmentSpec;
use integration_tests::{Stack, Value};
use redis::aio::MultiplexedConnection;

use super::{Notebook, cleanup};
use crate::callgrind;
use crate::measurement::{Bound, Line, Measurement, Plot, Table, median, number};
use crate::process::memory_available;
use crate::site;
use crate::workers::load::{Order, Shape};
use crate::workers::{self, probe};

/// What a session takes at most while it is loaded, for the estimate of memory.
const BYTES_EXPECTED: u64 = 900;
const BYTES_LEFT_ALONE: u64 = 2 << 30;
const EVENTS: usize = 101;

/// What was found at one number of sessions.
struct Size {
    total: u64,
    bytes: f64,
    reads: Vec<f64>,
    bares: Vec<f64>,
    /// Counted at both ends.
    instructions: Option<Result<f64, String>>,
}

/// Measures at every number of sessions that the memory of the machine allows.
pub async fn run(notebook: &mut Notebook) {
    let stack = site::stack(|stack| stack.with_database()).await;
    // One session by the function itself: whatever else it brings into Redis is not of the sessions to come.
    site::session(&stack, "first").await;
    plain(notebook, &stack).await;
    let totals: &[u64] = notebook.size(&[10_000, 100_000, 1_000_000, 10_000_000], &[3_000, 30_000]);
    let (mut sizes, mut grid) = (Vec::<Size>::new(), cleanup::Grid::default());
    let mut connection = stack.redis().connection().await;
    let (mut loaded, mut bytes) = (0, 0.0);
    for &total in totals {
        if memory_available() < (total - loaded) * BYTES_EXPECTED + BYTES_LEFT_ALONE {
            println!("      {total} sessions do not fit into the memory that is free: left out");
            break;
        }
        let before = site::redis_memory(&mut connection, "used_memory").await;
        let ids = load(&stack, loaded, total - loaded, Shape::Usual).await;
        bytes += site::redis_memory(&mut connection, "used_memory").await - before;
        loaded = total;
        if total == *totals.last().expect("sizes") || total == 1_000_000 {
            kinds(notebook, &mut connection, total).await;
        }
        read_some(&stack, &ids).await;
        let probed =
            workers::finish(&stack, &probe::arguments(&stack.app.id, total, notebook.size(48_000, 1_600))).await;
        let pairs: Vec<(f64, f64)> = probed.lines().map(pair).collect();
        let last = totals.last() == Some(&total) || total == totals[0];
        let instructions = if last { Some(instructions(&stack, &ids, notebook.size(EVENTS, 11)).await) } else { None };
        sizes.push(Size {
            total,
            bytes: bytes / total as f64,
            reads: pairs.iter().map(|pair| pair.0).collect(),
            bares: pairs.iter().map(|pair| pair.1).collect(),
            instructions,
        });
        println!("      {total} sessions: {:.0} bytes each", bytes / total as f64);
        grid.at(notebook, &stack, total).await;
    }
    sizes_report(notebook, &sizes);
    grid.report(notebook);
    // Only now: everything else is in the report.
    for counted in sizes.iter().filter_map(|size| size.instructions.as_ref()) {
        assert!(counted.is_ok(), "{counted:?}");
    }
}

/// Bytes of sessions that tell nothing of their client.
async fn plain(notebook: &mut Notebook, stack: &Stack) {
    let count = notebook.size(99_999, 3_000);
    let mut connection = stack.redis().connection().await;
    let before = site::redis_memory(&mut connection, "used_memory").await;
    load(stack, 0, count, Shape::Plain).await;
    let bytes = (site::redis_memory(&mut connection, "used_memory").await - before) / count as f64;
    let name = format!("bytes per session without client, at {}", number(count as f64));
    notebook.measure(
        Measurement::new(name, "B", bytes).note("the same data, three per user, no address and no user agent"),
    );
    redis::cmd("FLUSHALL").arg("SYNC").exec_async(&mut connection).await.expect("FLUSHALL");
}

/// Where the bytes are: keys by their first letter, by a sample of all.
async fn kinds(notebook: &mut Notebook, connection: &mut MultiplexedConnection, total: u64) {
    let mut found: BTreeMap<char, (f64, f64)> = BTreeMap::new();
    let (mut cursor, mut sampled) = (0_u64, 0.0);
    while sampled < 20_000.0 {
        let reply = redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(1000).query_async(connection).await;
        let (next, names): (u64, Vec<String>) = reply.expect("SCAN");
        let mut pipeline = redis::pipe();
        for name in &names {
            pipeline.cmd("MEMORY").arg("USAGE").arg(name).arg("SAMPLES").arg(0);
        }
        let sizes: Vec<f64> = pipeline.query_async(connection).await.expect("MEMORY USAGE");
        for (name, size) in names.iter().zip(sizes) {
            let kind = found.entry(name.chars().next().unwrap_or('?')).or_default();
            *kind = (kind.0 + 1.0, kind.1 + size);
        }
        sampled += names.len() as f64;
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let keys: f64 = redis::cmd("DBSIZE").query_async(connection).await.expect("DBSIZE");
    let title = format!("Where the bytes of {} sessions are, by a sample of the keys", number(total as f64));
    let mut table = Table::new(&title, &["keys", "keys per session", "bytes per key", "bytes per session"]);
    for (kind, (count, bytes)) in found {
        let name = match kind {
            's' => "s: records",
            'u' => "u: indexes of users",
            'x' => "x: expiry queues",
            'h' => "h: histories of users",
            'o' => "o: outboxes",
            _ => "others",
        };
        let per_session = count / sampled * keys / total as f64;
        let each = bytes / count;
        table.row([name.to_owned(), format!("{per_session:.3}"), number(each), number(each * per_session)]);
    }
    notebook.table(table);
}

fn sizes_report(notebook: &mut Notebook, sizes: &[Size]) {
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else { return };
    let reference = sizes.iter().find(|size| size.total == 1_000_000).unwrap_or(last);
    let name = format!("bytes per session at {}, three per user", number(reference.total as f64));
    let figure = Measurement::new(name, "B", reference.bytes).must(Bound::AtMost(420.0)).reach(Bound::AtMost(330.0));
    notebook.measure(figure.note("every key, sealed data of 120 bytes, address and user agent of the client"));
    let growth = format!("from {} to {} sessions", number(first.total as f64), number(last.total as f64));
    let ratio = median(&last.reads) / median(&first.reads);
    let figure = Measurement::new(format!("Redis time per read {growth}"), "×", ratio);
    let bare = median(&last.bares) / median(&first.bares);
    let figure = figure.must(Bound::AtMost(2.0)).reach(Bound::AtMost(1.6));
    notebook.measure(figure.note(format!("a bare GET grows {}-fold in the same run", number(bare))));
    if let (Some(Ok(few)), Some(Ok(many))) = (&first.instructions, &last.instructions) {
        let change = (many / few - 1.0).abs() * 100.0;
        let figure = Measurement::new(format!("instructions per read, change {growth}"), "%", change);
        notebook.measure(figure.must(Bound::AtMost(1.0)));
    }
    let mut table = Table::new(
        "By number of sessions, three per user",
        &["sessions", "bytes per session", "µs of Redis per read", "µs of Redis per GET", "instructions of a read"],
    );
    for size in sizes {
        let instructions = size
            .instructions
            .as_ref()
            .and_then(|counted| counted.as_ref().ok())
            .map_or("–".to_owned(), |count| number(*count));
        let (reads, bares) = (number(median(&size.reads)), number(median(&size.bares)));
        table.row([number(size.total as f64), number(size.bytes), reads, bares, instructions]);
    }
    notebook.table(table);
    let line = |name: &str, value: fn(&Size) -> f64| Line {
        name: name.to_owned(),
        points: sizes.iter().map(|size| (size.total as f64, value(size))).collect(),
    };
    notebook.plot(Plot {
        file: "scale".into(),
        title: "Redis time by number of sessions, pipelined".into(),
        x: "sessions".into(),
        y: "µs per command".into(),
        logarithmic: true,
        lines: vec![
            line("read (MGET record epoch)", |size| median(&size.reads)),
            line("bare GET", |size| median(&size.bares)),
        ],
    });
    notebook.plot(Plot {
        file: "bytes".into(),
        title: "Bytes per session by number of sessions".into(),
        x: "sessions".into(),
        y: "bytes".into(),
        logarithmic: true,
        lines: vec![line("all keys", |size| size.bytes)],
    });
}

/// Loads sessions and returns ids spread over them.
pub async fn load(stack: &Stack, first: u64, count: u64, shape: Shape) -> Vec<String> {
    let printed = workers::finish(stack, &Order::arguments(&stack.app.id, first, count, shape)).await;
    printed.lines().map(str::to_owned).collect()
}

/// What was loaded reads like what the service wrote.
async fn read_some(stack: &Stack, ids: &[String]) {
    for id in ids.iter().step_by((ids.len() / 20).max(1)) {
        let read = stack.app.get(id).await;
        assert_eq!((read.status, read.json()["data"].clone()), (200, site::data()), "{read:?}");
    }
}

async fn instructions(stack: &Stack, ids: &[String], many: usize) -> Result<f64, String> {
    let events: Vec<_> = ids.iter().take(many).map(|id| site::read_event(stack, id)).collect();
    let spec = site::specification(stack, "get-session");
    let binary = site::variable("BENCH_SYMBOLS").join("get-session");
    let few = fewest(&spec, &binary, &events, 1).await?;
    Ok((fewest(&spec, &binary, &events, many).await? - few) / (many - 1) as f64)
}

/// Instructions of the cheapest of three runs. A connection that has to be made again costs as much as many reads and may befall
/// any run; it never makes one cheaper.
async fn fewest(spec: &EnvironmentSpec, binary: &Path, events: &[Value], times: usize) -> Result<f64, String> {
    let mut fewest = f64::INFINITY;
    for _ in 0..3 {
        fewest = fewest.min(callgrind::profile(spec, binary, events, times).await?.instructions);
    }
    Ok(fewest)
}

fn pair(line: &str) -> (f64, f64) {
    let (read, bare) = line.split_once(' ').expect("two numbers");
    (read.parse().expect("a number"), bare.parse().expect("a number"))
}
