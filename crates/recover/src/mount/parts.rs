//! What the caller gives to be shown.
//!
//! Never knows: how it is shown.

use std::collections::HashSet;
use std::sync::Arc;

use backstay_env::volume::Volume;
use backstay_items::tree::FileTree;

/// Opens a file system, or says in plain words why that cannot be. Called at most once.
pub type OpenTree = Box<dyn Fn() -> Result<Arc<dyn FileTree>, String> + Send + Sync>;

/// A disk to be shown.
pub struct Disk {
    /// Its file is `name.img`, its folder `name`.
    pub name: String,
    /// Its bytes.
    pub volume: Arc<dyn Volume>,
    /// Says what is on it, or in plain words why nothing is known of that. Called at most once.
    pub parts: Box<dyn Fn() -> Result<Vec<Part>, String> + Send + Sync>,
}

/// A part of a disk: a partition, or all of it.
pub struct Part {
    /// Its file is `name.img`, its folder `name`.
    pub name: String,
    /// Its bytes; `None` if the disk's own file already shows them.
    pub volume: Option<Arc<dyn Volume>>,
    /// Opens its file system.
    pub open: OpenTree,
}

/// The first name that cannot be shown: not a file's name, or the same as another once `.img` is added.
pub(super) fn bad_name<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut seen = HashSet::new();
    for name in names {
        let plain = !name.is_empty() && name.len() <= 200 && !name.contains(['/', '\0']) && name != "." && name != "..";
        if !plain || !seen.insert(name.to_owned()) || !seen.insert(format!("{name}.img")) {
            return Some(name.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], bad: Option<&str>) {
        assert_eq!(bad_name(names.iter().copied()).as_deref(), bad, "{names:?}");
    }

    #[test]
    fn names() {
        check(&["sda", "sdb", "vda 1", "..."], None);
        check(&["sda", "sda"], Some("sda"));
        check(&["sda", "sda.img"], Some("sda.img"));
        check(&["sda.img", "sda"], Some("sda"));
        for bad in ["", ".", "..", "a/b", "/", "a\0b"] {
            check(&["ok", bad], Some(bad));
        }
    }
}
