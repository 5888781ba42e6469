//! Why a scenario stopped: a sentence, and what caused it.
//!
//! Never knows: which scenario.

use std::fmt;

/// What went wrong, for the person at the terminal.
pub(crate) struct Fail(String);

/// What every step returns.
pub(crate) type Result<T> = std::result::Result<T, Fail>;

impl Fail {
    /// Reads as `sentence`.
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

/// `sentence`, unless it is so.
pub(crate) fn ensure(is_so: bool, sentence: impl FnOnce() -> String) -> Result<()> {
    if is_so { Ok(()) } else { Err(Fail(sentence())) }
}
