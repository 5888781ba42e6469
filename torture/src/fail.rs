//! The one error of the torture: a sentence, with what caused it.
//!
//! Never knows: whose fault it is; that is in the sentence.

use std::fmt;

/// What went wrong, for the person who reads the report.
#[derive(Clone, Debug)]
pub(crate) struct Fail(String);

/// What every step returns.
pub(crate) type Result<T> = std::result::Result<T, Fail>;

impl Fail {
    /// A failure that reads as `sentence`.
    pub(crate) fn new(sentence: impl Into<String>) -> Fail {
        Fail(sentence.into())
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts what was being done before the cause.
pub(crate) trait During<T> {
    /// Turns the error into `what: cause`.
    fn during(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> During<T> for std::result::Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|cause| Fail(format!("{what}: {cause}")))
    }
}
