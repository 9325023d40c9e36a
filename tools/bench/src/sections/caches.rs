//! What warm environments need not ask for because they remember it: a day of reads, changes and refreshes against the real
//! functions, on a clock that is moved from request to request, counted by proxies layer by layer.
//!
//! A layer is looked up as often as the same requests would ask a store in environments that remember nothing, and it misses
//! as often as the stores were asked. What a request asks for in such an environment is measured in fresh ones, for each
//! kind of request. Two layers save no request to any store, only processor time: verified tokens and opened data. Their
//! lookups are made again, in the order of the day, in memories of the same type.

mod day;
mod layers;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use self::day::{Caller, Day, Kind};
use self::layers::{Asked, Layer, Tally};
use self::world::{Remembered, World};
use super::Notebook;
use crate::measurement::{Bound, Measurement, Table, number};
use crate::site;

/// An environment is replaced after this long, however busy it is.
const ENVIRONMENT_SECONDS: u64 = 2 * 3600;

/// How often each kind of request was sent.
type Sent = BTreeMap<(Kind, Caller), u64>;

/// Counts a day, and what it would have been without memory.
pub async fn run(notebook: &mut Notebook) {
    let stack = site::stack(|stack| stack.with_clock().with_redis_proxy().with_moto_proxy()).await;
    // Time stands still while a request is served, so that equal seeds give equal counts.
    stack.clock().freeze();
    layers::watch(&stack);
    let (requests, sessions, applications) = notebook.size((2000, 150, 12), (200, 24, 4));
    let day = Day::of(site::SEED, requests, sessions, applications);
    let mut world = World::of(&stack, &day).await;

    let (mut warm, mut sent) = (Tally::default(), Sent::new());
    let (mut at, mut replaced_at) = (0, 0);
    for step in &day.steps {
        stack.advance(Duration::from_secs(step.at - at));
        at = step.at;
        if at - replaced_at >= ENVIRONMENT_SECONDS {
            world.replace_environments().await;
            replaced_at = at;
        }
        for kind in world.due(step) {
            warm.add_times(&world.send(step.session, kind).await, 1);
            *sent.entry((kind, world.caller(step.session))).or_default() += 1;
        }
    }
    let remembered = world.remembered();
    let mut fresh = Tally::default();
    let repetitions = notebook.size(3, 1);
    for ((kind, caller), times) in &sent {
        let asked = world.send_to_fresh_environments(*kind, *caller, repetitions).await;
        fresh.add_times(&asked, *times);
    }
    report(notebook, &sent, (&warm, &fresh), remembered);
    let served = world.served_after_ends(notebook.size(20, 4)).await;
    let figure =
        Measurement::new("requests served after an end by environments that had just served the session", "", served);
    notebook.measure(figure.must(Bound::Exactly(0.0)).note("a read, a change and a refresh of each session"));
}

fn report(
    notebook: &mut Notebook,
    sent: &Sent,
    (warm, fresh): (&Tally, &Tally),
    remembered: [(&'static str, Remembered); 2],
) {
    let total: u64 = sent.values().sum();
    let mut table = Table::new(
        &format!("What was remembered, of {} requests of a day", number(total as f64)),
        &["layer", "a miss asks for", "lookups", "hits", "hit ratio", "requests saved", "bytes saved"],
    );
    let mut row = |title: &str, asks: &str, lookups: u64, misses: u64, bytes: Option<u64>| {
        let hits = lookups.saturating_sub(misses);
        let ratio = 100.0 * hits as f64 / lookups.max(1) as f64;
        let saved = bytes.map_or("–".to_owned(), |_| number(hits as f64));
        let bytes = bytes.map_or("–".to_owned(), |bytes| number(bytes as f64));
        let cells = [title.to_owned(), asks.to_owned(), number(lookups as f64), number(hits as f64)];
        table.row(cells.into_iter().chain([format!("{ratio:.1} %"), saved, bytes]));
        notebook.measure(Measurement::new(format!("hit ratio: {title}"), "%", ratio));
    };
    let (mut redis, mut aws) = (Asked::default(), Asked::default());
    for layer in Layer::ALL {
        let (lookups, misses) = (fresh.get(layer), warm.get(layer));
        let saved = lookups.less(misses);
        row(layer.title(), layer.asks(), lookups.times, misses.times, Some(saved.bytes));
        let sum = if layer.is_of_redis() { &mut redis } else { &mut aws };
        *sum = sum.plus(saved);
    }
    for (title, remembered) in remembered {
        row(title, "nothing: processor time", remembered.lookups, remembered.lookups - remembered.hits, None);
    }
    notebook.table(table);
    let each = |value: u64| value as f64 / total as f64;
    for (name, unit, value) in [
        ("Redis round trips saved, per request", "", each(redis.times)),
        ("bytes from and to Redis saved, per request", "B", each(redis.bytes)),
        ("KMS and DynamoDB calls saved, per request", "", each(aws.times)),
        ("bytes from and to KMS and DynamoDB saved, per request", "B", each(aws.bytes)),
    ] {
        notebook.measure(Measurement::new(name, unit, value));
    }
    let mut table = Table::new("The requests of the day", &["kind", "by", "requests"]);
    for ((kind, caller), times) in sent {
        table.row([kind.title().to_owned(), caller.title().to_owned(), number(*times as f64)]);
    }
    notebook.table(table);
}
