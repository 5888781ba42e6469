//! A folder as it must be after each of a row of steps, and whether a folder found in a point is one of these.
//!
//! Each step is one call to the kernel, and a freeze falls before or after a call, never into it. So what a point holds
//! is known to the byte, but for the one call that was under way.
//! Never knows: disks, points, time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::chance::Chance;
use crate::fail::{During, Fail, Result};

/// What one call does. Names are of files in one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A new file without bytes.
    Create(String),
    /// Bytes from a seed; how many were taken.
    Write { name: String, at: u64, len: u64, seed: u64 },
    /// The file's new length.
    Cut { name: String, len: u64 },
    /// Zeros, by a hole or by a range that is set to them.
    Zeros { name: String, at: u64, len: u64 },
    /// Over what has the name already.
    Rename { from: String, to: String },
    /// One more name for the same file.
    Link { from: String, to: String },
    /// A name that leads to a text.
    Symlink { name: String, to: String },
    /// The name is gone.
    Remove(String),
    /// What is there is to last; changes nothing.
    Sync,
}

/// What a name is of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(u64),
    Symlink(String),
}

/// A folder of files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folder {
    names: BTreeMap<String, Node>,
    files: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl Folder {
    /// The names of files that are no links to texts.
    pub(crate) fn files(&self) -> Vec<&String> {
        self.names.iter().filter(|(_, node)| matches!(node, Node::File(_))).map(|(name, _)| name).collect()
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Whether two names are of one file; to rename one to the other does nothing.
    pub(crate) fn same(&self, one: &str, other: &str) -> bool {
        self.names.get(one).is_some_and(|node| self.names.get(other) == Some(node))
    }

    /// Bytes of a file.
    pub(crate) fn len(&self, name: &str) -> u64 {
        match self.names.get(name) {
            Some(Node::File(id)) => self.files.get(id).map_or(0, |bytes| bytes.len() as u64),
            _ => 0,
        }
    }

    /// As the step leaves it.
    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(name) => {
                self.files.insert(self.next, Vec::new());
                self.names.insert(name.clone(), Node::File(self.next));
                self.next += 1;
            }
            Step::Write { name, at, len, seed } => {
                self.change(name, |bytes| {
                    let (at, end) = (*at as usize, (*at + *len) as usize);
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[at..end].copy_from_slice(&Chance::of(*seed).bytes((*len) as usize));
                });
            }
            Step::Cut { name, len } => self.change(name, |bytes| bytes.resize(*len as usize, 0)),
            Step::Zeros { name, at, len } => self.change(name, |bytes| {
                let from = bytes.len().min(*at as usize);
                let end = bytes.len().min((*at + *len) as usize);
                bytes[from..end].fill(0);
            }),
            Step::Rename { from, to } => {
                if let Some(node) = self.names.remove(from) {
                    self.names.insert(to.clone(), node);
                    self.sweep();
                }
            }
            Step::Link { from, to } => {
                if let Some(node) = self.names.get(from).cloned() {
                    self.names.insert(to.clone(), node);
                }
            }
            Step::Symlink { name, to } => {
                self.names.insert(name.clone(), Node::Symlink(to.clone()));
            }
            Step::Remove(name) => {
                self.names.remove(name);
                self.sweep();
            }
            Step::Sync => {}
        }
    }

    fn change(&mut self, name: &str, how: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Node::File(id)) = self.names.get(name)
            && let Some(bytes) = self.files.get_mut(id)
        {
            how(bytes);
        }
    }

    /// Forgets files without a name.
    fn sweep(&mut self) {
        let named = |id: &u64| self.names.values().any(|node| *node == Node::File(*id));
        let gone: Vec<u64> = self.files.keys().filter(|id| !named(id)).copied().collect();
        gone.iter().for_each(|id| drop(self.files.remove(id)));
    }

    /// How a real folder differs; `None`: it does not.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn difference(&self, folder: &Path) -> Result<Option<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).during(folder.display())? {
            found.push(entry.during(folder.display())?.file_name().to_string_lossy().into_owned());
        }
        if let Some(name) = found.iter().find(|name| !self.names.contains_key(*name)) {
            return Ok(Some(format!("{name} is there and should not be")));
        }
        for (name, node) in &self.names {
            if !found.contains(name) {
                return Ok(Some(format!("{name} is not there")));
            }
            let path = folder.join(name);
            match node {
                Node::Symlink(to) => {
                    let leads = fs::read_link(&path).during(path.display())?;
                    if leads != Path::new(to) {
                        return Ok(Some(format!("{name} leads to {}", leads.display())));
                    }
                }
                Node::File(id) => {
                    let (is, wanted) = (fs::read(&path).during(path.display())?, &self.files[id]);
                    if is != *wanted {
                        return Ok(Some(format!("{name} {}", differing(&is, wanted))));
                    }
                }
            }
        }
        Ok(None)
    }
}

fn differing(is: &[u8], wanted: &[u8]) -> String {
    if is.len() != wanted.len() {
        return format!("has {} bytes, not {}", is.len(), wanted.len());
    }
    let at = is.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or_default();
    let pages = is.chunks(4096).zip(wanted.chunks(4096)).filter(|(a, b)| a != b).count();
    let zeros = if is[at / 4096 * 4096..].iter().take(4096).all(|byte| *byte == 0) { ", zeros there" } else { "" };
    format!("of {} bytes differs from byte {at}, in {pages} pages{zeros}", is.len())
}

/// For [`difference`](Folder::difference): no step, or the one that was under way.
///
/// # Errors
/// The folder is neither; how it differs from the first.
pub(crate) fn one_of(before: &Folder, under_way: Option<&Step>, folder: &Path) -> Result<()> {
    let Some(first) = before.difference(folder)? else { return Ok(()) };
    let Some(step) = under_way else { return Err(Fail::new(first)) };
    let mut after = before.clone();
    after.apply(step);
    match after.difference(folder)? {
        None => Ok(()),
        Some(second) => {
            Err(Fail::new(format!("{first}; and if the call under way ({step:?}) was done already, {second}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Step> {
        let name = |name: &str| name.to_owned();
        vec![
            Step::Create(name("a")),
            Step::Write { name: name("a"), at: 5000, len: 9000, seed: 3 },
            Step::Link { from: name("a"), to: name("b") },
            Step::Zeros { name: name("b"), at: 4096, len: 4096 },
            Step::Symlink { name: name("s"), to: name("a") },
            Step::Rename { from: name("a"), to: name("c") },
            Step::Cut { name: name("c"), len: 100 },
            Step::Remove(name("b")),
            Step::Sync,
        ]
    }

    #[test]
    fn what_differs_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let mut folder = Folder::default();
        for step in &steps()[..2] {
            folder.apply(step);
        }
        let mut bytes = vec![0; 5000];
        bytes.extend(Chance::of(3).bytes(9000));
        fs::write(path.join("a"), &bytes).unwrap();
        assert_eq!(folder.difference(path).unwrap(), None);
        bytes[13_000] ^= 1;
        fs::write(path.join("a"), &bytes).unwrap();
        assert!(folder.difference(path).unwrap().unwrap().contains("differs from byte 13000, in 1 pages"));
        assert!(one_of(&folder, None, path).is_err());
        fs::write(path.join("a"), []).unwrap();
        assert!(one_of(&folder, Some(&Step::Cut { name: "a".into(), len: 0 }), path).is_ok());
        fs::write(path.join("x"), []).unwrap();
        assert!(folder.difference(path).unwrap().unwrap().contains("should not be"));
    }

    #[test]
    fn names_share_files() {
        let mut folder = Folder::default();
        steps().iter().for_each(|step| folder.apply(step));
        assert_eq!(folder.names().collect::<Vec<_>>(), ["c", "s"]);
        assert_eq!((folder.len("c"), folder.files.len()), (100, 1));
    }
}
