//! File systems that lie, as tar archives: whatever names, kinds, sizes and times they tell, another reader of archives reads them to
//! the end, and no name leads out of the folder that was asked for.
#![no_main]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;

use arbitrary::Arbitrary;
use backstay_items::tree::{Entry, FileTime, FileTree, Metadata, NodeId, NodeKind, TreeError};
use backstay_recover::tar::{self, ArchiveError};

const KINDS: [NodeKind; 7] = [
    NodeKind::File,
    NodeKind::Directory,
    NodeKind::Symlink,
    NodeKind::CharDevice,
    NodeKind::BlockDevice,
    NodeKind::Fifo,
    NodeKind::Socket,
];

/// A node as it is told of.
#[derive(Arbitrary, Debug)]
struct Node {
    kind: u8,
    /// What it is said to hold, and what can be read of it.
    size: u64,
    there: u16,
    permissions: u16,
    owner: (u32, u32),
    links: u8,
    device: (u32, u32),
    modified: (i64, u32),
    /// Of a folder: names, how often each is repeated, and what they name.
    names: Vec<(Vec<u8>, u8, u8)>,
}

#[derive(Arbitrary, Debug)]
struct Liar {
    nodes: Vec<Node>,
}

impl Liar {
    fn node(&self, node: NodeId) -> Result<&Node, TreeError> {
        self.nodes.get(node.0 as usize).ok_or(TreeError::NotFound)
    }
}

impl FileTree for Liar {
    fn kind(&self) -> &'static str {
        "lies"
    }

    fn label(&self) -> String {
        String::new()
    }

    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError> {
        let node = self.node(node)?;
        let kind = KINDS[usize::from(node.kind) % KINDS.len()];
        let at = |(seconds, nanos): (i64, u32)| FileTime { seconds, nanos: nanos % 1_000_000_000 };
        Ok(Metadata {
            kind,
            size: node.size,
            permissions: node.permissions,
            uid: node.owner.0,
            gid: node.owner.1,
            links: node.links.into(),
            device: node.device,
            modified: at(node.modified),
            changed: at(node.modified),
            accessed: at(node.modified),
        })
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError> {
        let entry = |(name, times, node): &(Vec<u8>, u8, u8)| Entry {
            name: OsString::from_vec(name.repeat(usize::from(*times))),
            node: NodeId((*node).into()),
            kind: NodeKind::File,
        };
        Ok(self.node(directory)?.names.iter().map(entry).collect())
    }

    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError> {
        let there = u64::from(self.node(file)?.there).saturating_sub(offset);
        let read = buf.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        buf[..read].fill(b'x');
        Ok(read)
    }

    fn link_target(&self, link: NodeId) -> Result<OsString, TreeError> {
        let first = self.node(link)?.names.first().ok_or(TreeError::NotFound)?;
        Ok(OsString::from_vec(first.0.repeat(usize::from(first.1))))
    }
}

libfuzzer_sys::fuzz_target!(|liar: Liar| {
    let mut archive = Vec::new();
    let whole = match tar::write(&liar, NodeId(0), OsStr::new("top"), &mut archive) {
        Ok(_) => true,
        Err(ArchiveError::Cut { .. }) => false,
        Err(error) => panic!("nobody refuses to take it: {error}"),
    };
    let mut reader = ::tar::Archive::new(&archive[..]);
    for entry in reader.entries().expect("it begins as an archive") {
        let Ok(mut entry) = entry else {
            assert!(!whole, "an archive that was written to its end is read to its end");
            return;
        };
        let name = entry.path_bytes().into_owned();
        let inside = name.strip_prefix(b"top").is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
        assert!(inside || name == b"NOT-IN-THIS-ARCHIVE.txt", "{name:?}");
        assert!(name.split(|byte| *byte == b'/').all(|part| part != b".."), "{name:?}");
        let read = std::io::copy(&mut entry, &mut std::io::sink());
        assert!(read.is_ok_and(|read| read == entry.size()) || !whole);
    }
});
