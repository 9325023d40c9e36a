//! Instructions per warm invocation and of the start, by callgrind.

use integration_tests::Value;

use super::Notebook;
use crate::callgrind::{self, Profile};
use crate::measurement::{Bound, Measurement, Table, number};
use crate::site;

const MANY: usize = 201;

/// Counts hello and the hot functions, and lists where a read spends its instructions.
pub async fn run(notebook: &mut Notebook) {
    let stack = site::stack(|stack| stack).await;
    let session = site::session(&stack, "ada").await;
    let many = notebook.size(MANY, 21);
    let nothing = callgrind::of_an_empty_program();
    let read = site::read_event(&stack, &session.session_id);
    let create_body = |number: usize| {
        let user = format!("counted-{number}");
        integration_tests::json!({ "userId": user, "data": site::data(), "client": site::client() })
    };
    let creations: Vec<Value> =
        (0..many + 1).map(|number| site::event(&stack, "POST", "/sessions", Some(&create_body(number)), &[])).collect();

    let hello = counts(&stack, site::HELLO, std::slice::from_ref(&read), many).await;
    let mut table = Table::new(
        "Instructions, in thousands",
        &["function", "per warm invocation", "over hello", "start and first invocation, less an empty program"],
    );
    let mut row = |name: &str, counts: &Counts| {
        let over = number(counts.each / hello.each);
        table.row([name.to_owned(), number(counts.each / 1e3), over, number((counts.start - nothing) / 1e3)]);
    };
    row("hello", &hello);
    let get = counts(&stack, "get-session", &[read], many).await;
    row("get-session", &get);
    let figure = Measurement::new("instructions per warm read, over hello", "× hello", get.each / hello.each);
    let figure = figure.must(Bound::AtMost(1.6)).reach(Bound::AtMost(1.35));
    notebook.measure(figure.floor("hello, instructions", &[hello.each]));
    let start = (get.start - nothing) / 1e6;
    let figure = Measurement::new("instructions of get-session's start and first read", "M", start);
    let figure = figure.must(Bound::AtMost(12.0)).reach(Bound::AtMost(6.0));
    let note = "without TLS to the stores, which the local stack speaks in plain text";
    notebook.measure(figure.floor("hello, M", &[(hello.start - nothing) / 1e6]).note(note));

    let mut dearest = Table::new(
        "Where a warm read spends its instructions: the dearest functions themselves, callees apart",
        &["function", "instructions per read", "share"],
    );
    for (function, cost) in callgrind::dearest(&get.few, &get.many, (many - 1) as f64, 30) {
        dearest.row([format!("`{function}`"), number(cost), format!("{:.1} %", cost / get.each * 100.0)]);
    }
    notebook.table(dearest);

    let create = counts(&stack, "create-session", &creations, many).await;
    row("create-session", &create);
    // A token is good once, so each refresh is of a session of its own.
    let mut refreshes = Vec::new();
    for number in 0..many + 1 {
        let session = site::session(&stack, &format!("rotated-{number}")).await;
        refreshes.push(site::refresh_event(&stack, &session.session_id, &session.refresh_token));
    }
    let refresh = counts(&stack, "refresh-session", &refreshes, many).await;
    row("refresh-session", &refresh);
    notebook.table(table);
}

/// What a function executes.
struct Counts {
    each: f64,
    start: f64,
    few: Profile,
    many: Profile,
}

async fn counts(stack: &integration_tests::Stack, function: &str, events: &[Value], many: usize) -> Counts {
    let spec = site::specification(stack, function);
    let binary = site::variable("BENCH_SYMBOLS").join(function);
    let few = callgrind::profile(&spec, &binary, events, 1).await.unwrap_or_else(|error| panic!("{function}: {error}"));
    // The one event of the short run is not to be repeated by the long one where each may happen once.
    let rest = if events.len() > 1 { &events[1..] } else { events };
    let profile =
        callgrind::profile(&spec, &binary, rest, many).await.unwrap_or_else(|error| panic!("{function}: {error}"));
    let each = (profile.instructions - few.instructions) / (many - 1) as f64;
    Counts { each, start: few.instructions, few, many: profile }
}
