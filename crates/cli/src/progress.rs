//! Progress of long operations: a bar on a terminal, a plain line now and then elsewhere. On standard error.
//!
//! Never knows: what goes on.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{many, note, size};

/// How often a plain line is printed.
const PLAIN: Duration = Duration::from_secs(5);

/// Why templates need no error.
const VALID: &str = "the template is valid";

/// Shows how far something is.
pub(crate) struct Meter {
    what: String,
    bar: Option<ProgressBar>,
    last: Mutex<Instant>,
}

impl Meter {
    /// For an operation; `quiet`: shows nothing.
    pub(crate) fn new(what: impl Into<String>, quiet: bool) -> Self {
        let what = what.into();
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}");
            bar.set_style(style.expect(VALID));
            bar.set_message(what.clone());
            bar
        });
        // Nothing is printed of operations that end soon.
        let last = if quiet { Instant::now() + Duration::from_secs(1 << 30) } else { Instant::now() };
        Meter { what, bar, last: Mutex::new(last) }
    }

    /// So many bytes of so many are done.
    pub(crate) fn show(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            return;
        }
        self.line(|| format!("{}: {} of {}", self.what, size(done), size(total)));
    }

    /// A plain line, if the last one is some time ago.
    fn line(&self, text: impl FnOnce() -> String) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if Instant::now().saturating_duration_since(*last) >= PLAIN {
            *last = Instant::now();
            note!("{}", text());
        }
    }
}

impl Meter {
    /// As [`Meter::show`], of things that are counted.
    pub(crate) fn count(&self, done: u64, total: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}").expect(VALID));
                bar.set_length(total);
                bar.set_position(done);
            }
            None => self.line(|| format!("{}: {done} of {total}", self.what)),
        }
    }

    /// As [`Meter::show`], where nobody knows how much there is: so many files and bytes are done.
    pub(crate) fn so_far(&self, files: u64, bytes: u64) {
        let text = format!("{}: {}, {} so far", self.what, many(files, "file"), size(bytes));
        match &self.bar {
            Some(bar) => {
                bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect(VALID));
                bar.set_message(text);
                bar.tick();
            }
            None => self.line(|| text),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
