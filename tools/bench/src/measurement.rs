//! What a section of the benchmark hands back.

use serde::{Deserialize, Serialize};

/// What a value is held to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Bound {
    /// It may not be larger.
    AtMost(f64),
    /// It may not be smaller.
    AtLeast(f64),
    /// A count that has to be just this.
    Exactly(f64),
}

impl Bound {
    /// Whether a value keeps the bound.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtMost(limit) => value <= limit,
            Bound::AtLeast(limit) => value >= limit,
            Bound::Exactly(wanted) => value == wanted,
        }
    }

    /// The bound as a reader sees it.
    pub fn text(self) -> String {
        match self {
            Bound::AtMost(limit) => format!("≤ {}", number(limit)),
            Bound::AtLeast(limit) => format!("≥ {}", number(limit)),
            Bound::Exactly(wanted) => format!("= {}", number(wanted)),
        }
    }
}

/// The lowest, middle and highest of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The lowest.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The highest.
    pub max: f64,
    /// How many there were.
    pub samples: usize,
}

impl Spread {
    /// Of at least one sample.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        Spread { min, median: quantile(&sorted, 0.5), max, samples: sorted.len() }
    }

    /// A ratio whose floor moved by more than half within the run proves nothing.
    pub fn is_steady(&self) -> bool {
        self.max <= self.min * 1.5
    }
}

/// A floor of the same run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Floor {
    /// What it is.
    pub name: String,
    /// Its value, in the unit of the measurement unless the name says otherwise.
    pub spread: Spread,
}

/// One figure of the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// What is measured.
    pub name: String,
    /// What the service has to reach.
    pub must: Option<Bound>,
    /// What it reaches for.
    pub reach: Option<Bound>,
    /// What was found: the median, where there are several samples.
    pub value: f64,
    /// Of value and bounds.
    pub unit: String,
    /// How far the samples lie apart.
    pub spread: Option<Spread>,
    /// What it is compared with.
    pub floors: Vec<Floor>,
    /// What a reader has to know.
    pub note: String,
}

impl Measurement {
    /// A figure without samples, bounds or floors.
    pub fn new(name: impl Into<String>, unit: &str, value: f64) -> Self {
        Measurement {
            name: name.into(),
            must: None,
            reach: None,
            value,
            unit: unit.to_owned(),
            spread: None,
            floors: Vec::new(),
            note: String::new(),
        }
    }

    /// The median of samples, with their spread.
    pub fn of(name: impl Into<String>, unit: &str, samples: &[f64]) -> Self {
        let spread = Spread::of(samples);
        Measurement { spread: Some(spread), ..Measurement::new(name, unit, spread.median) }
    }

    /// What it has to reach.
    pub fn must(mut self, bound: Bound) -> Self {
        self.must = Some(bound);
        self
    }

    /// What it reaches for.
    pub fn reach(mut self, bound: Bound) -> Self {
        self.reach = Some(bound);
        self
    }

    /// A floor with its samples.
    pub fn floor(mut self, name: &str, samples: &[f64]) -> Self {
        self.floors.push(Floor { name: name.to_owned(), spread: Spread::of(samples) });
        self
    }

    /// What a reader has to know.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// How it went, in a word.
    pub fn verdict(&self) -> &'static str {
        match (self.must, self.reach) {
            (_, Some(reach)) if reach.holds(self.value) && self.must.is_none_or(|must| must.holds(self.value)) => {
                "reached"
            }
            (Some(must), _) if must.holds(self.value) => "kept",
            (Some(_), _) => "missed",
            (None, Some(_)) => "not reached",
            (None, None) => "",
        }
    }
}

/// Rows that show how a figure came about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Cells, as they are printed.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Table { title: title.to_owned(), columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// Lines over a common pair of axes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plot {
    /// Name of the file, without its ending.
    pub file: String,
    /// What it shows.
    pub title: String,
    /// What the horizontal axis measures.
    pub x: String,
    /// What the vertical axis measures.
    pub y: String,
    /// Whether both axes are logarithmic.
    pub logarithmic: bool,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line of a plot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Everything a section found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    /// The figures.
    pub measurements: Vec<Measurement>,
    /// How they came about.
    pub tables: Vec<Table>,
    /// The same to look at.
    pub plots: Vec<Plot>,
}

/// The value at a rank of sorted samples, between its neighbours where it falls between two.
pub fn quantile(sorted: &[f64], rank: f64) -> f64 {
    let place = rank * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// The value at a rank of samples in any order.
pub fn quantile_of(samples: &[f64], rank: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, rank)
}

/// The median of samples in any order.
pub fn median(samples: &[f64]) -> f64 {
    quantile_of(samples, 0.5)
}

/// Three figures that count, with thousands apart.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size == 0.0 || (size >= 100.0) || (size.fract() == 0.0) => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("-", rest));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction {
        "" => format!("{sign}{grouped}"),
        _ => format!("{sign}{grouped}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_the_must_as_well() {
        let figure = |value| Measurement::new("x", "", value).must(Bound::AtMost(1.5)).reach(Bound::AtMost(1.2));
        assert_eq!(figure(1.2).verdict(), "reached");
        assert_eq!(figure(1.3).verdict(), "kept");
        assert_eq!(figure(1.6).verdict(), "missed");
        assert_eq!(Measurement::new("x", "", 2.0).reach(Bound::AtMost(1.0)).verdict(), "not reached");
        assert_eq!(Measurement::new("x", "", 2.0).must(Bound::Exactly(1.0)).verdict(), "missed");
        assert_eq!(Measurement::new("x", "", 2.0).must(Bound::AtLeast(2.0)).verdict(), "kept");
    }

    #[test]
    fn quantiles_lie_between_samples() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(quantile_of(&[5.0], 0.99), 5.0);
        assert_eq!(quantile_of(&[0.0, 10.0], 0.9), 9.0);
    }

    #[test]
    fn a_floor_that_moves_by_more_than_half_is_unsteady() {
        assert!(Spread::of(&[2.0, 3.0, 2.5]).is_steady());
        assert!(!Spread::of(&[2.0, 3.1]).is_steady());
    }

    #[test]
    fn numbers_are_short_and_grouped() {
        let shown = [0.0, 0.01234, 1.5, 12.34, 123.4, 1234567.0, -4321.0].map(number);
        assert_eq!(shown, ["0", "0.0123", "1.50", "12.3", "123", "1,234,567", "-4,321"]);
    }
}
