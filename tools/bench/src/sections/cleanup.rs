//! What a sweep costs: a grid of sessions in all by sessions that have lapsed. The cost must follow what has lapsed.

use integration_tests::Stack;

use super::{Notebook, scale};
use crate::measurement::{Bound, Line, Measurement, Plot, Table, number};
use crate::process::Meter;
use crate::site;
use crate::workers::load::Shape;

/// Numbers of lapsed sessions begin beyond all that are alive.
const LAPSED_FROM: u64 = 40_000_000;

/// Cells so far.
#[derive(Default)]
pub struct Grid {
    cells: Vec<Cell>,
    forbidden: f64,
}

struct Cell {
    total: f64,
    lapsed: f64,
    /// Microseconds of the Redis process.
    process: f64,
    /// Microseconds inside scripts, by Redis' own count.
    inside: f64,
    function: f64,
}

impl Grid {
    /// Sweeps over so many sessions, with nothing and with ever more lapsed ones beside them.
    pub async fn at(&mut self, notebook: &Notebook, stack: &Stack, total: u64) {
        let mut connection = stack.redis().connection().await;
        let redis = site::redis_pid(&mut connection).await;
        // The first sweep loads the script.
        stack.run_cleanup().await;
        let function = stack.environment("cleanup-sessions", 0).await;
        let before = self.forbidden_calls(&mut connection).await;
        for lapsed in notebook.size([0, 1_000, 10_000, 30_000], [0, 300, 600, 900]) {
            if lapsed > 0 {
                scale::load(stack, LAPSED_FROM + self.cells.len() as u64 * 100_000, lapsed, Shape::Lapsed).await;
            }
            let (inside, _) = site::command_time(&mut connection, "evalsha").await;
            let meter = Meter::start(&[redis, function.pid()]);
            let cleaned = stack.run_cleanup().await;
            let spent: Vec<f64> = meter.read().iter().map(|time| time.as_secs_f64() * 1e6).collect();
            let inside = site::command_time(&mut connection, "evalsha").await.0 - inside;
            assert_eq!(cleaned["ended"].as_u64(), Some(lapsed), "{cleaned}");
            let (process, function) = (spent[0], spent[1]);
            self.cells.push(Cell { total: total as f64, lapsed: lapsed as f64, process, inside, function });
        }
        self.forbidden += self.forbidden_calls(&mut connection).await - before;
    }

    async fn forbidden_calls(&self, connection: &mut redis::aio::MultiplexedConnection) -> f64 {
        site::command_calls(connection, "scan").await + site::command_calls(connection, "keys").await
    }

    /// Fits the cost and reports it.
    pub fn report(&self, notebook: &mut Notebook) {
        let Some((_, by_lapsed, by_total)) = self.fit(|cell| cell.inside) else { return };
        let figure = Measurement::new("Redis time per removed session", "µs", by_lapsed);
        let note =
            "slope over the grid, by Redis' own count of time in scripts: record, index, queue, tombstone and event";
        notebook.measure(figure.must(Bound::AtMost(5.0)).reach(Bound::AtMost(3.0)).note(note));
        if let Some((_, by_lapsed, _)) = self.fit(|cell| cell.process) {
            let figure = Measurement::new("the same, by processor time of Redis", "µs", by_lapsed);
            notebook.measure(figure.note("with the reception of commands and everything else the process does"));
        }
        let figure = Measurement::new("Redis time of a sweep per million live sessions", "µs", by_total * 1e6);
        notebook.measure(
            figure.note("what the number of all sessions adds: to be compared with the sweep of 4,096 buckets itself"),
        );
        notebook.measure(
            Measurement::new("SCAN and KEYS during sweeps", "calls", self.forbidden).must(Bound::Exactly(0.0)),
        );
        let mut table = Table::new(
            "Sweeps over all buckets, in milliseconds",
            &["sessions", "lapsed", "inside scripts", "Redis process", "function"],
        );
        for cell in &self.cells {
            let times = [cell.inside, cell.process, cell.function].map(|micros| number(micros / 1e3));
            table.row([number(cell.total), number(cell.lapsed)].into_iter().chain(times));
        }
        notebook.table(table);
        let mut totals: Vec<f64> = self.cells.iter().map(|cell| cell.total).collect();
        totals.dedup();
        let lines = totals.into_iter().map(|total| Line {
            name: format!("{} sessions", number(total)),
            points: self
                .cells
                .iter()
                .filter(|cell| cell.total == total)
                .map(|cell| (cell.lapsed, cell.inside / 1e3))
                .collect(),
        });
        notebook.plot(Plot {
            file: "cleanup".into(),
            title: "Cleanup: time in scripts by sessions that have lapsed".into(),
            x: "lapsed sessions".into(),
            y: "ms".into(),
            logarithmic: false,
            lines: lines.collect(),
        });
    }

    /// `cost = a + b · lapsed + c · total` by least squares.
    fn fit(&self, cost: impl Fn(&Cell) -> f64) -> Option<(f64, f64, f64)> {
        let mut rows = [[0.0; 4]; 3];
        for cell in &self.cells {
            let terms = [1.0, cell.lapsed, cell.total];
            for (row, left) in rows.iter_mut().zip(terms) {
                for (place, right) in terms.into_iter().chain([cost(cell)]).enumerate() {
                    row[place] += left * right;
                }
            }
        }
        solve(rows)
    }
}

/// Solves three equations by elimination; nothing when they leave something open.
fn solve(mut rows: [[f64; 4]; 3]) -> Option<(f64, f64, f64)> {
    for pivot in 0..3 {
        let largest = (pivot..3).max_by(|one, other| rows[*one][pivot].abs().total_cmp(&rows[*other][pivot].abs()))?;
        rows.swap(pivot, largest);
        let head = rows[pivot];
        if head[pivot].abs() < 1e-9 {
            return None;
        }
        for row in rows.iter_mut().skip(pivot + 1) {
            let factor = row[pivot] / head[pivot];
            row.iter_mut().zip(head).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    let mut found = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|place| rows[row][place] * found[place]).sum();
        found[row] = (rows[row][3] - known) / rows[row][row];
    }
    Some((found[0], found[1], found[2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fit_finds_what_the_cost_was_made_of() {
        let cell = |total: f64, lapsed: f64| {
            let inside = 700.0 + 4.5 * lapsed + 0.0001 * total;
            Cell { total, lapsed, inside, process: 0.0, function: 0.0 }
        };
        let cells = vec![cell(1e4, 0.0), cell(1e4, 1e3), cell(1e6, 0.0), cell(1e6, 1e4), cell(1e7, 1e3)];
        let (fixed, by_lapsed, by_total) = Grid { cells, forbidden: 0.0 }.fit(|cell| cell.inside).expect("a fit");
        assert!((fixed - 700.0).abs() < 1e-3 && (by_lapsed - 4.5).abs() < 1e-6 && (by_total - 0.0001).abs() < 1e-9);
    }

    #[test]
    fn one_total_leaves_its_share_open() {
        let cell = |lapsed: f64| Cell { total: 10.0, lapsed, inside: lapsed, process: 0.0, function: 0.0 };
        assert!(
            Grid { cells: vec![cell(0.0), cell(1.0), cell(2.0)], forbidden: 0.0 }.fit(|cell| cell.inside).is_none()
        );
    }
}
