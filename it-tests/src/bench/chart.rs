//! The same medians as bars.

use super::results::{Results, Workload};
use super::subject::Subject;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (960, 620);
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb2);
const THEIRS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const INK: RGBColor = RGBColor(0x22, 0x2b, 0x36);

/// One bar: whose, and how long.
type Bar = (&'static str, f64);

/// Draws six panels into one SVG.
pub(super) fn write(results: &Results, subjects: &[Subject], path: &Path) -> anyhow::Result<()> {
    let bars = |figure: &dyn Fn(&str) -> Option<f64>| -> Vec<Bar> {
        subjects.iter().filter_map(|subject| Some((subject.name(), figure(subject.name())?))).collect()
    };
    use Workload::{Singles, Thousands};
    let panels = [
        ("rows/s, transactions of 1,000", bars(&|name| results.drain(name, Thousands, |d| d.rows_per_s))),
        ("rows/s, transactions of one", bars(&|name| results.drain(name, Singles, |d| d.rows_per_s))),
        ("CPU seconds of the program", bars(&|name| results.drain(name, Thousands, |d| d.cpu_s))),
        ("peak RSS, MiB", bars(&|name| results.drain(name, Thousands, |d| d.peak_mib))),
        ("commit to visible, p99 ms", bars(&|name| results.delay(name, |d| d.p99_ms))),
        ("first record after start, s", bars(&|name| results.drain(name, Thousands, |d| d.first_record_s))),
    ];
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (title, bars)) in root.split_evenly((3, 2)).iter().zip(panels) {
        panel(area, title, &bars)?;
    }
    root.present()?;
    Ok(())
}

fn panel(area: &DrawingArea<SVGBackend<'_>, Shift>, title: &str, bars: &[Bar]) -> anyhow::Result<()> {
    let text = |size: i32| ("sans-serif", size).into_font().color(&INK);
    area.draw(&Text::new(title.to_owned(), (20, 14), text(17)))?;
    let longest = bars.iter().map(|(_, length)| *length).fold(f64::MIN_POSITIVE, f64::max);
    for (place, (name, length)) in (0..).zip(bars) {
        let top = 46 + place * 36;
        // plain pixels: 110 for the name, 250 for the longest bar
        #[expect(clippy::cast_possible_truncation, reason = "0 to 250")]
        let width = (length / longest * 250.0).round() as i32;
        let colour = if *name == "databus" { OURS } else { THEIRS };
        area.draw(&Text::new((*name).to_owned(), (20, top + 4), text(14)))?;
        area.draw(&Rectangle::new([(110, top), (110 + width.max(1), top + 24)], colour.filled()))?;
        let digits = if *length < 10.0 { 2 } else { 0 };
        area.draw(&Text::new(format!("{length:.digits$}"), (118 + width, top + 4), text(14)))?;
    }
    Ok(())
}
