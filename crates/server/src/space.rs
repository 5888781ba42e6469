//! The disk that the store is on.
//!
//! Never knows: what is on it.

use std::path::Path;

/// What is left of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) free: u64,
    pub(crate) total: u64,
}

impl Left {
    /// So little that somebody should see to it: less than a tenth.
    pub(crate) fn is_little(self) -> bool {
        self.free < self.total / 10
    }
}

/// What is left where a folder is; `None`: nobody knows.
pub(crate) fn left(folder: Option<&Path>) -> Option<Left> {
    let found = rustix::fs::statvfs(folder?).ok()?;
    Some(Left {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_little() {
        assert!(Left { free: 9, total: 100 }.is_little() && !Left { free: 10, total: 100 }.is_little());
        assert_eq!(left(None), None);
        assert!(left(Some(Path::new("/"))).is_some_and(|left| left.free <= left.total));
    }
}
