//! The report: Markdown for people, JSON for programs, and the pictures.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::measurement::{Bound, Findings, Measurement, Table, number};
use crate::plot;

/// One section as it went.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    /// Its name, as `ONLY` takes it.
    pub section: String,
    /// What it measures.
    pub title: String,
    /// When it ran, of which commit, and how busy the machine was before it.
    pub circumstances: String,
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

    /// Puts the table of figures into a document, between its two marks.
    pub fn write_figures(&self, document: &Path) -> std::io::Result<()> {
        let text = std::fs::read_to_string(document)?;
        let (begin, end) = ("<!-- figures: written by make bench -->\n", "<!-- end of figures -->");
        let place = text.split_once(begin).and_then(|(head, rest)| Some((head, rest.split_once(end)?.1)));
        let Some((head, tail)) = place else {
            return Err(std::io::Error::other("the document has no place for figures"));
        };
        std::fs::write(document, format!("{head}{begin}{}{end}{tail}", self.figures()))
    }

    /// What is held to a bound, with the command that measures it.
    fn figures(&self) -> String {
        let mut text = String::from("| what | must | reach | measured | | command |\n|---|---|---|---|---|---|\n");
        for outcome in &self.sections {
            for one in outcome.findings.measurements.iter().filter(|one| one.must.is_some() || one.reach.is_some()) {
                let bound = |bound: Option<Bound>| bound.map_or("–".to_owned(), Bound::text);
                let (must, reach, value) = (bound(one.must), bound(one.reach), number(one.value));
                let (name, unit, verdict, section) = (&one.name, &one.unit, one.verdict(), &outcome.section);
                text += &format!(
                    "| {name} | {must} | {reach} | {value} {unit} | {verdict} | `make bench ONLY={section}` |\n"
                );
            }
            if outcome.failure.is_some() {
                let (title, section) = (&outcome.title, &outcome.section);
                text += &format!("| {title} | | | not measured to the end | failed | `make bench ONLY={section}` |\n");
            }
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::from("# Benchmark report\n\n");
        text += &format!("Made by `{}`. What the figures mean and how they are measured stands in ", self.command);
        text += "[PERFORMANCE.md](../PERFORMANCE.md).\n\n| | |\n|---|---|\n";
        for (name, value) in &self.machine {
            text += &format!("| {name} | {value} |\n");
        }
        text += &format!("\n## Held to bounds\n\n{}", self.figures());
        for outcome in &self.sections {
            text += &format!("\n## {}\n\n", outcome.title);
            text += &format!(
                "`make bench ONLY={}`, {:.0} s: {}.\n\n",
                outcome.section, outcome.seconds, outcome.circumstances
            );
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
    let mut text =
        String::from("| figure | value | lowest – highest (samples) | floors of the run | |\n|---|---|---|---|---|\n");
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
        text +=
            &format!("| {} | {} {} | {spread} | {floors} | {} |\n", one.name, number(one.value), one.unit, one.note);
    }
    text
}

fn of_table(table: &Table) -> String {
    let mut text =
        format!("\n{}\n\n| {} |\n|{}\n", table.title, table.columns.join(" | "), "---|".repeat(table.columns.len()));
    for row in &table.rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{Line, Plot};

    fn report() -> Report {
        let figure =
            Measurement::of("reads", "×", &[1.0, 1.2, 1.4]).must(Bound::AtMost(1.5)).floor("bare", &[2.0, 4.0]);
        let line = Line { name: "a line".into(), points: vec![(1.0, 2.0), (10.0, 30.0)] };
        let plot = |file: &str, logarithmic| Plot {
            file: file.into(),
            title: "A plot".into(),
            x: "x".into(),
            y: "y".into(),
            logarithmic,
            lines: vec![line.clone()],
        };
        let findings =
            Findings { measurements: vec![figure], tables: vec![], plots: vec![plot("one", false), plot("two", true)] };
        let outcome = |section: &str, failure: Option<&str>, findings| Outcome {
            section: section.into(),
            title: section.into(),
            circumstances: "today".into(),
            seconds: 1.0,
            failure: failure.map(str::to_owned),
            findings,
        };
        let sections = vec![outcome("read", None, findings), outcome("cold", Some("it broke"), Findings::default())];
        Report { command: "make bench".into(), machine: Vec::new(), sections }
    }

    #[test]
    fn a_report_has_figures_failures_void_floors_and_pictures() {
        let folder = std::env::temp_dir().join(format!("bench-report-{}", std::process::id()));
        report().write(&folder).expect("it is written");
        let text = std::fs::read_to_string(folder.join("report.md")).expect("Markdown");
        assert!(text.contains("| reads | ≤ 1.50 | – | 1.20 × | kept | `make bench ONLY=read` |"), "{text}");
        assert!(text.contains("**Failed**: it broke") && text.contains("not measured to the end"), "{text}");
        assert!(text.contains("void"), "{text}");
        let json = std::fs::read(folder.join("report.json")).expect("JSON");
        assert_eq!(serde_json::from_slice::<Report>(&json).expect("a report").sections.len(), 2);
        for file in ["one.svg", "two.svg"] {
            assert!(std::fs::read_to_string(folder.join(file)).expect("a picture").contains("a line"));
        }
        let document = folder.join("document.md");
        let marks = "<!-- figures: written by make bench -->\nstale figures\n<!-- end of figures -->\nafter\n";
        std::fs::write(&document, format!("before\n{marks}")).expect("a document");
        report().write_figures(&document).expect("it has a place");
        let text = std::fs::read_to_string(&document).expect("the document");
        assert!(text.starts_with("before\n") && text.ends_with("after\n") && text.contains("| reads |"), "{text}");
        assert!(!text.contains("stale"), "{text}");
        std::fs::remove_dir_all(&folder).expect("it goes");
    }
}
