//! For tests: an image that lies about its folders.
//!
//! Never knows: what is made of it.

use backstay_items::tree::{Entry, FileTime, FileTree, Metadata, NodeId, NodeKind, TreeError};

/// A folder in which each of two names is the folder itself.
pub(crate) struct Mirror;

impl FileTree for Mirror {
    fn kind(&self) -> &'static str {
        "mirror"
    }

    fn label(&self) -> String {
        String::new()
    }

    fn root(&self) -> NodeId {
        NodeId(1)
    }

    fn metadata(&self, _: NodeId) -> Result<Metadata, TreeError> {
        let time = FileTime::default();
        Ok(Metadata {
            kind: NodeKind::Directory,
            size: 0,
            permissions: 0o755,
            uid: 0,
            gid: 0,
            links: 2,
            device: (0, 0),
            modified: time,
            changed: time,
            accessed: time,
        })
    }

    fn entries(&self, node: NodeId) -> Result<Vec<Entry>, TreeError> {
        let entry = |name: &str| Entry { name: name.into(), node, kind: NodeKind::Directory };
        Ok(vec![entry("a"), entry("b")])
    }

    fn read(&self, _: NodeId, _: u64, _: &mut [u8]) -> Result<usize, TreeError> {
        Err(TreeError::WrongKind("file"))
    }

    fn link_target(&self, _: NodeId) -> Result<std::ffi::OsString, TreeError> {
        Err(TreeError::WrongKind("symbolic link"))
    }
}
