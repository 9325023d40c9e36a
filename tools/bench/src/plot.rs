//! Pictures of the report.

use std::error::Error;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::measurement::{Plot, number};

const SIZE: (u32, u32) = (860, 480);
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x6f, 0xb4),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x1b, 0x8a, 0x5a),
    RGBColor(0x7a, 0x4f, 0xa3),
    RGBColor(0xb8, 0x2e, 0x4d),
    RGBColor(0x55, 0x5f, 0x66),
];

/// Draws a plot into an SVG file.
pub fn draw(plot: &Plot, file: &Path) -> Result<(), Box<dyn Error>> {
    let points = || plot.lines.iter().flat_map(|line| line.points.iter().copied());
    let (mut left, mut right, mut top) = (f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
    let mut bottom = f64::INFINITY;
    for (x, y) in points() {
        (left, right, bottom, top) = (left.min(x), right.max(x), bottom.min(y), top.max(y));
    }
    if !left.is_finite() {
        return Err("no points".into());
    }
    match plot.logarithmic {
        true => {
            let (x, y) = (left * 0.8..right * 1.25, bottom * 0.6..top * 1.6);
            lines(plot, file, x.log_scale(), y.log_scale())
        }
        false => lines(plot, file, left..right.max(left + 1.0), 0.0..top * 1.1),
    }
}

fn lines<X, Y>(plot: &Plot, file: &Path, x: X, y: Y) -> Result<(), Box<dyn Error>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(&plot.title, ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(&plot.x)
        .y_desc(&plot.y)
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .light_line_style(RGBColor(0xee, 0xee, 0xee))
        .draw()?;
    for (line, colour) in plot.lines.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(0xcc, 0xcc, 0xcc))
        .draw()?;
    root.present()?;
    Ok(())
}
