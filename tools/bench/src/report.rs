//! The report: Markdown for people, JSON for programs, and the pictures.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::measurement::{Findings, Measurement, Table, number};
use crate::plot;

/// One section as it went.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    /// Its name, as `ONLY` takes it.
    pub section: String,
    /// What it measures.
    pub title: String,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// What it found.
    pub findings: Findings,
}

/// The whole run.
#[derive(Serialize, Deserialize)]
pub struct Report {
    /// The command that made it.
    pub command: String,
    /// The machine and its software.
    pub machine: Vec<(String, String)>,
    /// The sections, in their order.
    pub sections: Vec<Outcome>,
}

impl Report {
    /// Writes `report.md`, `report.json` and one SVG per plot.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for plot in self.sections.iter().flat_map(|outcome| &outcome.findings.plots) {
            let file = folder.join(format!("{}.svg", plot.file));
            if let Err(error) = plot::draw(plot, &file) {
                eprintln!("{}: {error}", file.display());
            }
        }
        std::fs::write(folder.join("report.md"), self.markdown())?;
        std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(self)? + "\n")
    }

    fn markdown(&self) -> String {
        let mut text = String::from("# Benchmark report\n\n");
        text += &format!("Made by `{}`. What the figures mean and how they are measured stands in ", self.command);
        text += "[PERFORMANCE.md](../PERFORMANCE.md).\n\n| | |\n|---|---|\n";
        for (name, value) in &self.machine {
            text += &format!("| {name} | {value} |\n");
        }
        let bounded = self.sections.iter().flat_map(|outcome| {
            let held = outcome.findings.measurements.iter().filter(|one| one.must.is_some() || one.reach.is_some());
            held.map(move |measurement| (outcome, measurement))
        });
        text += "\n## Held to bounds\n\n| what | must | reach | measured | | section |\n|---|---|---|---|---|---|\n";
        for (outcome, measurement) in bounded {
            text += &format!(
                "| {} | {} | {} | {} {} | {} | {} |\n",
                measurement.name,
                measurement.must.map_or("–".to_owned(), |bound| bound.text()),
                measurement.reach.map_or("–".to_owned(), |bound| bound.text()),
                number(measurement.value),
                measurement.unit,
                measurement.verdict(),
                outcome.section,
            );
        }
        for outcome in &self.sections {
            text += &format!("\n## {} (`ONLY={}`, {:.0} s)\n\n", outcome.title, outcome.section, outcome.seconds);
            if let Some(failure) = &outcome.failure {
                text += &format!("**Failed**: {}\n\n", failure.replace('\n', " "));
            }
            text += &figures(&outcome.findings.measurements);
            for table in &outcome.findings.tables {
                text += &of_table(table);
            }
            for plot in &outcome.findings.plots {
                text += &format!("\n![{}]({}.svg)\n", plot.title, plot.file);
            }
        }
        text
    }
}

fn figures(measurements: &[Measurement]) -> String {
    if measurements.is_empty() {
        return String::new();
    }
    let mut text = String::from("| figure | value | lowest – highest (samples) | floors of the run | |\n|---|---|---|---|---|\n");
    for one in measurements {
        let spread = one.spread.map_or(String::new(), |spread| {
            format!("{} – {} ({})", number(spread.min), number(spread.max), spread.samples)
        });
        let floors = one.floors.iter().map(|floor| {
            let moved = if floor.spread.is_steady() { "" } else { ", **moved by more than half: void**" };
            let (low, middle, high) = (floor.spread.min, floor.spread.median, floor.spread.max);
            format!("{}: {} ({} – {}){moved}", floor.name, number(middle), number(low), number(high))
        });
        let floors = floors.collect::<Vec<_>>().join("; ");
        text += &format!("| {} | {} {} | {spread} | {floors} | {} |\n", one.name, number(one.value), one.unit, one.note);
    }
    text
}

fn of_table(table: &Table) -> String {
    let mut text = format!("\n{}\n\n| {} |\n|{}\n", table.title, table.columns.join(" | "), "---|".repeat(table.columns.len()));
    for row in &table.rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}
