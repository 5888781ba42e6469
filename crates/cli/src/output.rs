//! Printing: tables for people, JSON for programs.
//!
//! Never knows: what is printed.

use std::fmt;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// Prints a line on standard output, as `println!` does, but with an error for one that cannot be printed.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::line(format_args!($($words)*)) };
}

/// Prints a line on standard error, as `eprintln!` does, but never panics.
macro_rules! note {
    ($($words:tt)*) => { $crate::output::aside(format_args!($($words)*)) };
}

pub(crate) use {note, say};

/// What `say!` does. A reader who went away (`| head`) is no failure, and stops nothing.
pub(crate) fn line(text: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printed(out.write_fmt(text).and_then(|()| out.write_all(b"\n")))
}

/// Prints a text as it is.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn printed(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// What `note!` does. Where nobody can be told, nothing is left to do.
pub(crate) fn aside(text: fmt::Arguments<'_>) {
    let mut out = io::stderr().lock();
    drop(out.write_fmt(text).and_then(|()| out.write_all(b"\n")));
}

/// A size in binary units.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// So many of a thing: `1 file`, `2 files`.
pub(crate) fn many(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Prints rows under headings, or says that there is nothing.
pub(crate) fn table(headings: &[&str], rows: Vec<Vec<String>>, nothing: &str) -> Result<(), Failure> {
    if rows.is_empty() {
        return say!("{nothing}");
    }
    let headings = headings.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>();
    let columns = headings.len();
    let mut widths = vec![0; columns];
    for row in std::iter::once(&headings).chain(&rows) {
        row.iter().zip(&mut widths).for_each(|(cell, width)| *width = (*width).max(cell.chars().count()));
    }
    for row in std::iter::once(&headings).chain(&rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say!("{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Prints JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::new(format!("cannot print JSON: {e}")))?;
    say!("{text}")
}

#[cfg(test)]
mod tests {
    use super::{many, size};

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|n| many(n, "file")), ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(4 << 30), "4.0 GiB");
    }
}
