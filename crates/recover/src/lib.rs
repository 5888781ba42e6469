//! Giving data back: a volume served over the network (NBD), shown as a folder (FUSE), written to a disk or file, or
//! packed into an archive.
//!
//! Everything here reads from [`backstay_env::volume::Volume`]s and, for files, from
//! [`backstay_items::tree::FileTree`]s that the caller opened.
//!
//! Never knows: points, chunks, keys, or how to write a store; so a restore cannot harm one.

use std::sync::Arc;

pub mod compare;
pub mod find;
pub mod kept;
pub mod left_out;
#[cfg(test)]
mod mirror;
pub mod mount;
pub mod nbd;
pub mod restore;
mod spans;
pub mod tar;

/// What is said of a folder that was met already: an image with folders in two places lies, and few of them could keep whoever follows
/// them busy without end.
pub const TWICE: &str = "a folder that is in another place, too";

/// Where this room says what went wrong behind a client's back: one line of plain words a call, without a newline.
/// Called from many threads at once; must not block for long.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(&str) + Send + Sync>);

impl Log {
    /// Sends every line to `sink`.
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Log(Arc::new(sink))
    }

    /// Sends every line to standard error.
    pub fn stderr() -> Self {
        Log::to(|line| eprintln!("{line}"))
    }

    pub(crate) fn line(&self, line: &str) {
        (self.0)(line);
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}
