//! Sizes of the binaries as they are deployed, and the memory of a function that has served thousands of requests.

use std::path::Path;
use std::process::{Command, Stdio};

use integration_tests::settings;

use super::Notebook;
use super::read::latencies;
use crate::measurement::{Bound, Measurement, Table, number};
use crate::process::memory_kilobytes;
use crate::site;

const HOT: [&str; 6] =
    ["get-session", "create-session", "update-session", "refresh-session", "delete-session", "introspect"];

/// Weighs binaries and processes.
pub async fn run(notebook: &mut Notebook) {
    let mut table = Table::new("Stripped release binaries, in MB", &["function", "binary", "gzip -9"]);
    let mut largest: (f64, f64, &str) = (0.0, 0.0, "");
    for function in [site::HELLO].into_iter().chain(HOT).chain(["cleanup-sessions", "write-audit"]) {
        let (whole, packed) = weigh(&settings::functions_dir().join(function));
        table.row([function.to_owned(), number(whole), number(packed)]);
        if HOT.contains(&function) && whole > largest.0 {
            largest = (whole, packed, function);
        }
    }
    let figure = Measurement::new("largest hot binary, stripped", "MB", largest.0);
    notebook.measure(figure.must(Bound::AtMost(5.0)).reach(Bound::AtMost(3.5)).note(largest.2));
    let figure = Measurement::new("the same, compressed", "MB", largest.1);
    notebook.measure(
        figure.must(Bound::AtMost(2.5)).reach(Bound::AtMost(1.6)).note("gzip -9, as good as the zip that is deployed"),
    );
    notebook.table(table);

    let stack = site::stack(|stack| stack).await;
    let session = site::session(&stack, "ada").await;
    let event = site::read_event(&stack, &session.session_id);
    let invocations = notebook.size(10_000, 200);
    let mut peaks = Vec::new();
    for function in [site::HELLO, "get-session"] {
        let environment = site::environment(&stack, function).await;
        latencies(&environment, &event, invocations).await;
        peaks.push(memory_kilobytes(environment.pid(), "VmHWM") as f64 / 1024.0);
    }
    let figure = Measurement::new(format!("peak memory of get-session after {invocations} reads"), "MB", peaks[1]);
    notebook.measure(figure.must(Bound::AtMost(16.0)).reach(Bound::AtMost(10.0)).floor("hello, MB", &peaks[..1]));
}

/// Megabytes of a file, and of it compressed.
fn weigh(file: &Path) -> (f64, f64) {
    let whole = std::fs::metadata(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).len();
    let output = Command::new("gzip").args(["-9", "-c"]).arg(file).stderr(Stdio::null()).output().expect("gzip");
    (whole as f64 / 1e6, output.stdout.len() as f64 / 1e6)
}
