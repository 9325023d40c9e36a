//! `make bench`: one run that measures the service against floors of the same run, side by side with libraries that do a
//! part of its work, and writes the report.
//!
//! ```text
//! bench run [--quick] [--only read,cold] [--out FOLDER] [--document FILE] [--command 'make bench']
//! bench section NAME [--quick] FINDINGS.json      one section; `run` gives each a process of its own
//! bench serve … | bench load … | bench probe …     parts of sections that are processes of their own
//! ```
//!
//! A section that fails, hangs or dies is reported as failed and the next one begins. `scripts/run_measurements.py` builds
//! what is measured, starts the services and sets the variables that [`site`] reads.

mod callgrind;
mod http_load;
mod measurement;
mod plot;
mod process;
mod report;
mod runner;
mod sections;
mod site;
mod throttle;
mod workers;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", rest @ ..] => runner::run(&runner::Options::parse(rest)),
        ["section", name, rest @ ..] => {
            let (quick, file) = match rest {
                ["--quick", file] => (true, file),
                [file] => (false, file),
                _ => panic!("usage: bench section NAME [--quick] FILE"),
            };
            sections::run(name, quick, std::path::Path::new(file));
            ExitCode::SUCCESS
        }
        ["serve", port] => {
            workers::serve::run(port.parse().expect("a port"));
            ExitCode::SUCCESS
        }
        ["probe", rest @ ..] => {
            workers::probe::run(rest);
            ExitCode::SUCCESS
        }
        ["load", rest @ ..] => {
            workers::load::run(&workers::load::Order::parse(rest));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: bench run [--quick] [--only SECTION,…] [--out FOLDER] [--command TEXT]");
            ExitCode::from(2)
        }
    }
}
