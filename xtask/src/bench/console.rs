//! How fast the console is with 1,000 machines and 10 million points, in Chromium: the files as built, with a fake of the API behind them.
//!
//! So the console is measured and not the server; the server's own answers are measured elsewhere. Never knows: pages.

use std::fmt::Write as _;

use serde_json::Value;

use super::targets::{Figure, Limit};
use crate::console;
use crate::fail::{During, Fail, Result};
use crate::run;

/// Builds the console and measures it.
/// # Errors
/// It does not build, or does not run in Chromium.
pub(super) fn measure() -> Result<(String, Vec<Figure>)> {
    console::build()?;
    let said = run::text(console::npm().args(["run", "--silent", "bench"]))?;
    let told: Value = serde_json::from_str(said.trim()).during("what the console's bench says")?;
    let number =
        |name: &str| told[name].as_f64().ok_or_else(|| Fail::new(format!("the console's bench says no {name}")));
    let (paint, slowest) = (number("paint_ms")?, number("slowest_paint_ms")?);
    let (fps, worst) = (number("fps")?, number("worst_frame_ms")?);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "- all 1,000 rows: {:.2} s at most", number("all_rows_ms")? / 1000.0);
    let _ = writeln!(text, "- each answer of the fake: after {:.0} ms", number("answer_ms")?);
    let figures = vec![
        Figure {
            figure: "console: first useful paint with 1,000 machines".into(),
            found: format!("{:.2} s, the slowest {:.2} s", paint / 1000.0, slowest / 1000.0),
            value: paint / 1000.0,
            unit: "s",
            limit: Limit::AtMost(1.0),
        },
        Figure {
            figure: "console: dragging over a timeline of 10 million points".into(),
            found: format!("{fps:.0} frames/s, the longest frame {worst:.0} ms"),
            value: fps,
            unit: "frames/s",
            limit: Limit::AtLeast(30.0),
        },
    ];
    Ok((text, figures))
}
