//! The drain of the audit against a bare COPY: the program of `make bench-audit`, its table taken in.

use std::process::Stdio;

use integration_tests::settings;
use tokio::process::Command;

use super::Notebook;
use crate::measurement::{Bound, Measurement, Table};
use crate::site;

/// Runs the program and reads its rows.
pub async fn run(notebook: &mut Notebook) {
    let (events, rounds) = notebook.size((2_000_000, 2), (20_000, 2));
    let output = Command::new(site::variable("BENCH_AUDIT"))
        .env("BENCH_EVENTS", events.to_string())
        .env("BENCH_ROUNDS", rounds.to_string())
        .env("BENCH_BINARY", settings::functions_dir().join("write-audit"))
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the program ended with {}\n{text}{said}", output.status);
    let mut lines = text.lines().filter(|line| line.starts_with('|')).map(cells);
    let header = lines.next().expect("a table");
    let rows: Vec<Vec<String>> = lines.filter(|row| row.iter().any(|cell| cell.contains("/s"))).collect();
    let column = |name: &str| -> Vec<f64> {
        let place =
            header.iter().position(|cell| cell.contains(name)).unwrap_or_else(|| panic!("no column {name}: {text}"));
        rows.iter().map(|row| row[place].trim_end_matches("/s").parse().expect("a number")).collect()
    };
    let (one, drain) = (column("1 client"), column("drain, "));
    let best: Vec<f64> = column("4 clients").into_iter().zip(&one).map(|(four, one)| four.max(*one)).collect();
    let ratios: Vec<f64> = drain.iter().zip(&best).map(|(drain, copy)| drain / copy).collect();
    let figure = Measurement::of("drain of the audit, over a bare COPY", "×", &ratios);
    let figure = figure.must(Bound::AtLeast(0.7)).reach(Bound::AtLeast(0.9)).floor("best COPY, rows/s", &best);
    notebook.measure(figure.note("sealed, chained, no event twice; the chains of the run verify"));
    notebook.measure(Measurement::of("events drained per second", "/s", &drain));
    let mut table = Table::new("Rounds", &[]);
    table.columns = header;
    table.rows = rows;
    notebook.table(table);
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}
