//! The one error of the scripts: a sentence for the person at the terminal, and what caused it.
//!
//! Never knows: which command failed; callers say that in the sentence.

use std::fmt;

/// Why a script stopped, in one or a few lines meant to be read by a person.
pub(crate) struct Fail(String);

/// What every step of a script returns.
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

impl fmt::Debug for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts the name of what was being done before the cause.
pub(crate) trait During<T> {
    /// Turns the error into `what: cause`.
    fn during(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> During<T> for std::result::Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|cause| Fail(format!("{what}: {cause}")))
    }
}

/// What is not there need not be removed.
pub(crate) fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
