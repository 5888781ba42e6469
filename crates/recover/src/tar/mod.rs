//! Files and folders of a file system as a tar archive, written as they are read: nothing is known beforehand, and nothing kept.
//!
//! What was left out of the point by choice, and what no archive can hold, is not in it, and a list of that ends it. What turns out to
//! be damaged is not in it either, if that shows before its header is written; else the archive ends there.
//!
//! Never knows: points, or where the archive goes.

mod header;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;

use backstay_items::tree::{Entry, FileTime, FileTree, Metadata, NodeId, NodeKind, TreeError};

use self::header::{BLOCK, Member, header, padding};
use crate::TWICE;
use crate::kept::is_left_out;

/// Bytes read at once.
const PIECE: usize = 1 << 20;
/// Folders deeper than this are an image that lies.
const DEEPEST: usize = 1024;
/// Files with several names that are remembered, to be written once; of more each name holds the whole file.
const LINKED: usize = 100_000;
/// Names of each kind that are told.
const TOLD: usize = 1000;
/// The list of what an archive lacks.
const LIST: &[u8] = b"NOT-IN-THIS-ARCHIVE.txt";

/// What an archive lacks, and why. Of many only the first are named.
#[derive(Debug, Default)]
pub struct Lacks {
    /// Left out when the point was made, by choice.
    pub left_out: Vec<String>,
    /// What no archive holds.
    pub skipped: Vec<String>,
    /// What cannot be read any more.
    pub damaged: Vec<String>,
}

/// Why an archive ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Nobody takes it.
    #[error("the archive could not be written")]
    Write(#[source] io::Error),
    /// The rest of a file that was begun cannot be read.
    #[error("{path} could not be read to its end")]
    Cut {
        /// Which file.
        path: String,
        /// Why.
        source: TreeError,
    },
}

/// Writes a file, or a folder with all below it, under a name, as an archive. The name may be empty: what is in the folder
/// is then at the top.
///
/// # Errors
/// [`ArchiveError`]; what was written before is whole files.
pub fn write(tree: &dyn FileTree, node: NodeId, name: &OsStr, out: &mut dyn Write) -> Result<Lacks, ArchiveError> {
    let mut archive = Archive {
        tree,
        out,
        linked: HashMap::new(),
        seen: HashSet::new(),
        lacks: Lacks::default(),
        piece: vec![0; PIECE],
    };
    archive.all(node, name.as_bytes())?;
    archive.list()?;
    archive.put(&[0; 2 * BLOCK])?;
    archive.out.flush().map_err(ArchiveError::Write)?;
    Ok(archive.lacks)
}

struct Archive<'a> {
    tree: &'a dyn FileTree,
    out: &'a mut dyn Write,
    /// Names of files that have several.
    linked: HashMap<NodeId, Vec<u8>>,
    /// Folders that were written. One in two places is an image that lies: few of them could make an archive without end.
    seen: HashSet<NodeId>,
    lacks: Lacks,
    piece: Vec<u8>,
}

/// A folder whose names are being written.
struct Open {
    name: Vec<u8>,
    rest: std::vec::IntoIter<Entry>,
}

impl Archive<'_> {
    fn all(&mut self, top: NodeId, name: &[u8]) -> Result<(), ArchiveError> {
        let mut open: Vec<Open> = self.node(top, name.to_vec())?.into_iter().collect();
        while let Some(folder) = open.last_mut() {
            let Some(entry) = folder.rest.next() else {
                open.pop();
                continue;
            };
            let name = match &folder.name[..] {
                b"" => entry.name.as_bytes().to_vec(),
                folder => [folder, b"/", entry.name.as_bytes()].concat(),
            };
            if !is_safe(entry.name.as_bytes()) {
                tell(&mut self.lacks.damaged, &name, "not a file name");
            } else if open.len() >= DEEPEST {
                tell(&mut self.lacks.damaged, &name, "too deep to be true");
            } else {
                open.extend(self.node(entry.node, name)?);
            }
        }
        Ok(())
    }

    /// Writes a node; a folder's names are still to be written.
    fn node(&mut self, node: NodeId, name: Vec<u8>) -> Result<Option<Open>, ArchiveError> {
        let about = match self.tree.metadata(node) {
            Ok(about) => about,
            Err(error) => return self.lacks(&name, &error),
        };
        match about.kind {
            NodeKind::Directory => return self.folder(node, name, &about),
            NodeKind::File => self.file(node, &name, &about)?,
            NodeKind::Symlink => match self.tree.link_target(node) {
                Ok(target) => self.put(&header(&name, &Member::Symlink(target.as_bytes()), &about))?,
                Err(error) => return self.lacks(&name, &error),
            },
            NodeKind::Socket => tell(&mut self.lacks.skipped, &name, "a socket"),
            kind => self.put(&header(&name, &Member::Special(kind, about.device), &about))?,
        }
        Ok(None)
    }

    fn folder(&mut self, node: NodeId, name: Vec<u8>, about: &Metadata) -> Result<Option<Open>, ArchiveError> {
        let mut entries = match self.tree.entries(node) {
            Ok(entries) => entries,
            Err(error) => return self.lacks(&name, &error),
        };
        if !self.seen.insert(node) {
            tell(&mut self.lacks.damaged, &name, TWICE);
            return Ok(None);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if !name.is_empty() {
            self.put(&header(&[&name[..], b"/"].concat(), &Member::Folder, about))?;
        }
        Ok(Some(Open { name, rest: entries.into_iter() }))
    }

    fn file(&mut self, node: NodeId, name: &[u8], about: &Metadata) -> Result<(), ArchiveError> {
        if let Some(first) = self.linked.get(&node).filter(|_| about.links > 1) {
            let header = header(name, &Member::Link(first), about);
            return self.put(&header);
        }
        // Before its header, for what is seen to be damaged by then the archive can do without.
        let mut read = match self.read(node, 0, about.size) {
            Ok(read) => read,
            Err(error) => return self.lacks(name, &error).map(drop),
        };
        self.put(&header(name, &Member::File(about.size), about))?;
        let mut at = 0;
        loop {
            self.out.write_all(&self.piece[..read]).map_err(ArchiveError::Write)?;
            at += read as u64;
            if at >= about.size {
                break;
            }
            let cut = |source| ArchiveError::Cut { path: String::from_utf8_lossy(name).into_owned(), source };
            read = self.read(node, at, about.size).map_err(cut)?;
        }
        self.put(&[0; BLOCK][..padding(about.size)])?;
        if about.links > 1 && self.linked.len() < LINKED {
            self.linked.insert(node, name.to_vec());
        }
        Ok(())
    }

    /// Reads a piece of a file of so many bytes. One that ends before it should is damaged.
    fn read(&mut self, node: NodeId, at: u64, size: u64) -> Result<usize, TreeError> {
        let wanted = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        if wanted == 0 {
            return Ok(0);
        }
        match self.tree.read(node, at, &mut self.piece[..wanted])? {
            0 => Err(TreeError::Damaged("a file ends before its size says".to_owned())),
            read => Ok(read),
        }
    }

    fn lacks(&mut self, name: &[u8], error: &TreeError) -> Result<Option<Open>, ArchiveError> {
        match is_left_out(error) {
            true => tell(&mut self.lacks.left_out, name, "excluded when the point was made"),
            false => tell(&mut self.lacks.damaged, name, &error.to_string()),
        }
        Ok(None)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.out.write_all(bytes).map_err(ArchiveError::Write)
    }

    /// Ends the archive with a list of what it lacks, if it lacks anything.
    fn list(&mut self) -> Result<(), ArchiveError> {
        let Lacks { left_out, skipped, damaged } = &self.lacks;
        let lines: Vec<&str> = damaged.iter().chain(left_out).chain(skipped).map(String::as_str).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let text = format!("{}\n", lines.join("\n"));
        let about = Metadata {
            kind: NodeKind::File,
            size: text.len() as u64,
            permissions: 0o644,
            uid: 0,
            gid: 0,
            links: 1,
            device: (0, 0),
            modified: FileTime::default(),
            changed: FileTime::default(),
            accessed: FileTime::default(),
        };
        self.put(&header(LIST, &Member::File(about.size), &about))?;
        self.put(text.as_bytes())?;
        self.put(&[0; BLOCK][..padding(about.size)])
    }
}

fn tell(kind: &mut Vec<String>, name: &[u8], why: &str) {
    match kind.len() {
        len if len < TOLD => kind.push(format!("{}: {why}", String::from_utf8_lossy(name))),
        TOLD => kind.push("and more".to_owned()),
        _ => {}
    }
}

/// Whether a name stays in its folder.
fn is_safe(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Mirror;

    #[test]
    fn folders_that_hold_themselves_end() {
        let mut archive = Vec::new();
        let lacks = write(&Mirror, NodeId(1), OsStr::new("top"), &mut archive).unwrap();
        assert_eq!(lacks.damaged.len(), 2);
        assert!(lacks.damaged[0].starts_with("top/a: "), "{:?}", lacks.damaged);
        // A folder, a list of one block after its header, and the end.
        assert_eq!(archive.len(), 5 * BLOCK);
    }
}
