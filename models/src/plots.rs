//! Plots as SVG: losses, histograms, a heat map, the bounds of Proposition 3.1.

use crate::gates::{BINS, CLOSED, OPEN};
use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A colour for each model, in order.
pub const COLOURS: [RGBColor; 4] =
    [RGBColor(71, 105, 150), RGBColor(208, 92, 36), RGBColor(64, 130, 84), RGBColor(130, 80, 150)];

const TEXT: RGBColor = RGBColor(75, 80, 90);
const GRID: RGBColor = RGBColor(228, 231, 236);
const AXIS: RGBColor = RGBColor(160, 166, 176);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    draw(&area)?;
    area.present()?;
    drop(area);
    Ok(text)
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT)
}

/// As CSS writes a colour.
pub fn css(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Points to be joined.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Their colour.
    pub colour: RGBColor,
    /// Whether each is marked, too.
    pub marked: bool,
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// Lines over common axes, which start at 0 and at the lowest point.
///
/// # Errors
/// None that is known: SVG takes everything.
pub fn lines(lines: &[Line], x_label: &str, y_label: &str) -> Result<String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|p| p.0).fold(1e-3, f64::max);
    let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p.1), high.max(p.1)));
    let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
    let margin = 0.05 * (high - low);
    svg((1040, 360), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(46)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..right, low - margin..high + margin)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(font(16))
            .axis_desc_style(font(16))
            .x_desc(x_label)
            .y_desc(y_label)
            .x_label_formatter(&|x| format!("{}", (x * 100.0).round() / 100.0))
            .y_label_formatter(&|y| format!("{y:.1}"))
            .draw()?;
        for line in lines {
            let thin = if line.marked { 1 } else { 2 };
            chart.draw_series(LineSeries::new(line.points.iter().copied(), line.colour.stroke_width(thin)))?;
            if line.marked {
                let mark = |&point| Circle::new(point, 4, line.colour.filled());
                chart.draw_series(line.points.iter().map(mark))?;
            }
        }
        Ok(())
    })
}

/// A histogram of values in `[0, 1]`, its axis going up to `top`; what is closed or open is drawn darker.
///
/// # Errors
/// None that is known.
pub fn histogram(shares: &[f64; BINS], top: f64, colour: RGBColor) -> Result<String> {
    svg((240, 150), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(20)
            .y_label_area_size(46)
            .build_cartesian_2d(0.0..1.0, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .x_labels(3)
            .y_labels(4)
            .label_style(font(15))
            .x_label_formatter(&|x| format!("{x}"))
            .y_label_formatter(&|y| format!("{:.0} %", 100.0 * y))
            .draw()?;
        chart.draw_series(shares.iter().enumerate().map(|(bin, &share)| {
            let (from, to) = (bin as f64 / BINS as f64, (bin + 1) as f64 / BINS as f64);
            let end = to <= f64::from(CLOSED) + 1e-6 || from >= f64::from(OPEN) - 1e-6;
            let gap = 0.12 / BINS as f64;
            Rectangle::new([(from + gap, 0.0), (to - gap, share)], colour.mix(if end { 1.0 } else { 0.45 }).filled())
        }))?;
        Ok(())
    })
}

/// The colour of a value of a heat map, from 0 (light) to 1 (dark).
pub fn heat_colour(value: f64) -> RGBColor {
    // Lightness falls evenly along these.
    const STOPS: [[f64; 3]; 5] =
        [[247., 251., 255.], [198., 219., 239.], [107., 174., 214.], [33., 113., 181.], [8., 48., 107.]];
    let at = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (at as usize).min(STOPS.len() - 2);
    let mix = |k: usize| STOPS[below][k] + (at - below as f64) * (STOPS[below + 1][k] - STOPS[below][k]);
    RGBColor(mix(0).round() as u8, mix(1).round() as u8, mix(2).round() as u8)
}

/// A row of a heat map: its label and a value in `[0, 1]` for each column.
pub type HeatRow<'a> = (&'a str, &'a [f64]);

/// One line of text above rows of coloured cells; long columns stand upright.
///
/// # Errors
/// None that is known.
pub fn heat(columns: &[String], rows: &[HeatRow<'_>], width: u32) -> Result<String> {
    const ROW: i32 = 18;
    let label_width = 14 + 8 * rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) as i32;
    let upright = columns.iter().any(|column| column.chars().count() > 1);
    let longest = columns.iter().map(|column| column.chars().count()).max().unwrap_or(0) as i32;
    let cell = if upright { 20 } else { 15 };
    let head = if upright { 10 + 8 * longest.min(16) } else { 20 };
    let height = head + ROW * rows.len() as i32 + 4;
    svg((width, height as u32), |area| {
        for (k, column) in columns.iter().enumerate() {
            let x = label_width + cell * k as i32 + cell / 2;
            let style = ("monospace", 15).into_font().color(&RGBColor(20, 24, 32));
            let style = if upright {
                style.transform(FontTransform::Rotate270).pos(Pos::new(HPos::Left, VPos::Center))
            } else {
                style.pos(Pos::new(HPos::Center, VPos::Bottom))
            };
            let shown: String = column.chars().take(16).collect();
            area.draw(&Text::new(shown, (x, head - 3), style))?;
        }
        for (r, (label, values)) in rows.iter().enumerate() {
            let top = head + ROW * r as i32;
            let style = font(15).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(*label, (label_width - 8, top + ROW / 2), style))?;
            for (k, &value) in values.iter().enumerate() {
                let left = label_width + cell * k as i32;
                let corners = [(left, top), (left + cell - 1, top + ROW - 1)];
                area.draw(&Rectangle::new(corners, heat_colour(value).filled()))?;
            }
        }
        Ok(())
    })
}

/// Frequencies over pre-activations, points `(a, lower, frequency, upper)`, and the band that they must stay in.
///
/// # Errors
/// None that is known.
pub fn band(points: &[(f64, f64, f64, f64)], colour: RGBColor) -> Result<String> {
    let reach = points.iter().map(|p| p.0.abs()).fold(1.0, f64::max);
    svg((500, 250), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(42)
            .y_label_area_size(46)
            .build_cartesian_2d(-reach..reach, 0.0..1.0)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(font(15))
            .axis_desc_style(font(15))
            .x_desc("pre-activation a")
            .x_label_formatter(&|x| format!("{x}"))
            .y_labels(5)
            .y_label_formatter(&|y| format!("{y:.1}"))
            .draw()?;
        let above = points.iter().map(|p| (p.0, p.3));
        let below = points.iter().rev().map(|p| (p.0, p.1.max(0.0)));
        chart.draw_series([Polygon::new(above.chain(below).collect::<Vec<_>>(), colour.mix(0.18))])?;
        chart.draw_series(points.iter().map(|p| Circle::new((p.0, p.2), 2, colour.filled())))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_goes_from_light_to_dark() {
        let lightness = |value| {
            let RGBColor(r, g, b) = heat_colour(value);
            2 * u32::from(r) + 7 * u32::from(g) + u32::from(b)
        };
        let all: Vec<u32> = (0..=20).map(|k| lightness(f64::from(k) / 20.0)).collect();
        assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
        assert_eq!(heat_colour(f64::NAN.max(2.0)), heat_colour(1.0));
    }

    #[test]
    fn text_is_escaped() {
        let picture = heat(&["<".to_owned(), "&".to_owned()], &[("a<b", &[0.0, 1.0])], 300).unwrap();
        assert!(picture.contains("&lt;") && picture.contains("&amp;") && picture.contains("a&lt;b"), "{picture}");
    }

    #[test]
    fn nothing_to_plot_is_no_error() {
        lines(&[], "x", "y").unwrap();
        heat(&[], &[], 300).unwrap();
        band(&[], COLOURS[0]).unwrap();
    }
}
