//! Plots of measures as SVG.

use std::fmt::Display;
use std::path::Path;

use plotters::prelude::{
    ChartBuilder, Color, IntoDrawingArea, IntoLogRange, LineSeries, Palette, Palette99, PathElement, SVGBackend, WHITE,
};

use saved_objects::{Error, ErrorKind, Result};

const SIZE: (u32, u32) = (800, 480);
/// The room above the largest value.
const HEADROOM: f64 = 1.15;

/// A plot of several measures over the same quantity. Its horizontal axis is logarithmic, its vertical one begins at 0.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) horizontal: &'a str,
    pub(super) vertical: &'a str,
    /// By name: the points, from left to right.
    pub(super) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Plot<'_> {
    /// Writes the plot to a file.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the file cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let svg = self.svg()?;
        std::fs::write(file, svg).map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("{} cannot be written: {error}", file.display()))
                .with_source(error)
        })
    }

    fn svg(&self) -> Result<String> {
        let mut svg = String::new();
        {
            let points = || self.lines.iter().flat_map(|(_, points)| points);
            let left = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
            let right = points().map(|(x, _)| *x).fold(0.0, f64::max);
            let top = points().map(|(_, y)| *y).fold(0.0, f64::max) * HEADROOM;
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE).map_err(undrawn)?;
            let mut chart = ChartBuilder::on(&area)
                .caption(self.title, ("sans-serif", 18))
                .margin(12)
                .x_label_area_size(44)
                .y_label_area_size(76)
                .build_cartesian_2d((left * 0.9..right * 1.1).log_scale(), 0.0..top.max(1.0))
                .map_err(undrawn)?;
            let mut mesh = chart.configure_mesh();
            mesh.x_desc(self.horizontal).y_desc(self.vertical).draw().map_err(undrawn)?;
            for (number, (name, points)) in self.lines.iter().enumerate() {
                let style = Palette99::pick(number).stroke_width(2);
                let line = LineSeries::new(points.iter().copied(), style).point_size(3);
                let drawn = chart.draw_series(line).map_err(undrawn)?;
                drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
            }
            chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw().map_err(undrawn)?;
            area.present().map_err(undrawn)?;
        }
        Ok(svg)
    }
}

fn undrawn(error: impl Display) -> Error {
    Error::new(ErrorKind::Internal, format!("a plot cannot be drawn: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_axes_and_lines() {
        let lines = vec![
            ("in place".to_owned(), vec![(10.0, 1.0), (1000.0, 3.0)]),
            ("one point".to_owned(), vec![(10.0, 2.0)]),
        ];
        let plot = Plot { title: "a title", horizontal: "documents", vertical: "documents/s", lines };
        let svg = plot.svg().expect("drawn");
        for text in ["<svg", "a title", "documents/s", "in place", "one point", "</svg>"] {
            assert!(svg.contains(text), "{text} is missing in {svg}");
        }
    }
}
