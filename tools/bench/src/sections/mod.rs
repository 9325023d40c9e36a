//! The sections: one file per kind of measurement.

mod audit;
mod caches;
mod cleanup;
mod cold;
mod envelope;
mod instructions;
mod open_loop;
mod read;
mod refresh;
mod rivals;
mod round_trips;
mod scale;
mod sizes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::measurement::{Findings, Measurement, Plot, Table};

/// A section of the report.
pub struct Section {
    /// As `ONLY` takes it.
    pub name: &'static str,
    /// What it measures.
    pub title: &'static str,
    /// Seconds after which it is given up.
    seconds: u64,
}

const fn section(name: &'static str, title: &'static str, seconds: u64) -> Section {
    Section { name, title, seconds }
}

/// All sections in the order of the report.
pub const SECTIONS: [Section; 12] = [
    section("round-trips", "Round trips and calls", 120),
    section("caches", "What environments remember", 120),
    section("read", "Warm read", 180),
    section("instructions", "Instructions", 300),
    section("cold", "Cold start", 240),
    section("envelope", "128 MB of processor", 150),
    section("sizes", "Binaries and memory", 150),
    section("scale", "Cost by number of sessions: bytes, reads, cleanup", 1320),
    section("refresh", "Refreshes per CPU-second", 240),
    section("rivals", "Side by side with session libraries", 300),
    section("open-loop", "Latency under open load", 180),
    section("audit", "Drain of the audit", 420),
];

impl Section {
    /// How long it may take. A quick run does the same with a fraction of the repetitions.
    pub fn limit(&self, quick: bool) -> Duration {
        Duration::from_secs(if quick { self.seconds.min(180) } else { self.seconds })
    }
}

/// Takes down what a section finds, each part as soon as it is there.
pub struct Notebook {
    /// Whether only a fraction of the repetitions is wanted.
    pub quick: bool,
    findings: Findings,
    file: PathBuf,
}

impl Notebook {
    /// A figure.
    pub fn measure(&mut self, measurement: Measurement) {
        self.findings.measurements.push(measurement);
        self.save();
    }

    /// How figures came about.
    pub fn table(&mut self, table: Table) {
        self.findings.tables.push(table);
        self.save();
    }

    /// The same to look at.
    pub fn plot(&mut self, plot: Plot) {
        self.findings.plots.push(plot);
        self.save();
    }

    /// One of two sizes.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    fn save(&self) {
        let text = serde_json::to_vec(&self.findings).expect("findings are plain data");
        std::fs::write(&self.file, text).unwrap_or_else(|error| panic!("{}: {error}", self.file.display()));
    }
}

/// Runs a section in this process.
///
/// One thread serves everything: on two cores a harness of more would take turns with what it measures.
pub fn run(name: &str, quick: bool, file: &Path) {
    end_with_the_runner();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut notebook = Notebook { quick, findings: Findings::default(), file: file.to_owned() };
    let notebook = &mut notebook;
    runtime.block_on(async {
        match name {
            "round-trips" => round_trips::run(notebook).await,
            "caches" => caches::run(notebook).await,
            "read" => read::run(notebook).await,
            "instructions" => instructions::run(notebook).await,
            "cold" => cold::run(notebook).await,
            "envelope" => envelope::run(notebook).await,
            "sizes" => sizes::run(notebook).await,
            "scale" => scale::run(notebook).await,
            "refresh" => refresh::run(notebook).await,
            "rivals" => rivals::run(notebook).await,
            "open-loop" => open_loop::run(notebook).await,
            "audit" => audit::run(notebook).await,
            other => panic!("unknown section: {other}"),
        }
    });
    notebook.save();
}

/// When the run is interrupted, nobody waits for this section any more: it ends with everything it has started.
fn end_with_the_runner() {
    let runner = std::os::unix::process::parent_id();
    std::thread::spawn(move || {
        while std::os::unix::process::parent_id() == runner {
            std::thread::sleep(Duration::from_millis(500));
        }
        let group = format!("-{}", std::process::id());
        let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
    });
}
