//! The files of ext2, ext3 and ext4. Extended attributes are not read; encrypted and compressed content is refused.
//!
//! Never knows: which blocks are in use.

use super::directory::{Name, Reader};
use super::fs::Fs;
use super::inode::{Inode, ROOT, flags};
use super::mapping::Mapping;
use super::superblock::{compat, ro_compat};
use super::{inline, superblock};
use crate::bytes::{damaged, unsupported};
use crate::names::NameCache;
use crate::tree::{Entry, FileTree, Metadata, NodeId, NodeKind, TreeError};
use backstay_env::volume::Volume;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

/// The longest target of a symbolic link.
const MAX_TARGET: u64 = 4096;

/// Opens the file system for reading, as it is after its journal's replay.
///
/// # Errors
/// [`TreeError::Unsupported`] for features this reader does not know, or a journal that it cannot replay;
/// [`TreeError::Damaged`]; [`TreeError::Io`].
pub fn open(volume: Arc<dyn Volume>) -> Result<Box<dyn FileTree>, TreeError> {
    Ok(Box::new(Ext4 { fs: Fs::open(volume)?, names: NameCache::default() }))
}

/// The longest directory, in bytes: some ten million names.
const MAX_DIRECTORY: u64 = 1 << 30;

struct Ext4 {
    fs: Fs<Arc<dyn Volume>>,
    names: NameCache,
}

impl Ext4 {
    fn inode(&self, node: NodeId) -> Result<Inode, TreeError> {
        let number = u32::try_from(node.0).map_err(|_| TreeError::NotFound)?;
        Inode::read(&self.fs, number)
    }

    fn typed(&self, node: NodeId, kind: NodeKind, what: &'static str) -> Result<Inode, TreeError> {
        let inode = self.inode(node)?;
        if inode.kind != kind {
            return Err(TreeError::WrongKind(what));
        }
        if inode.has(flags::ENCRYPTED) {
            return Err(unsupported(format!("{what} {} is encrypted", node.0)));
        }
        if inode.has(flags::COMPRESSED) {
            return Err(unsupported(format!("{what} {} is compressed", node.0)));
        }
        Ok(inode)
    }

    /// Fills `buf` with what is at `offset`; all of it lies before the end of the file.
    fn fill(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<(), TreeError> {
        let bs = self.fs.sb.block_size;
        let map = Mapping::of(inode)?;
        let mut done = 0;
        while done < buf.len() {
            let place = offset + done as u64;
            let at = u32::try_from(place / bs).map_err(|_| damaged(format!("inode {} is too long", inode.number)))?;
            let run = map.find(&self.fs, at)?;
            let left = run.len.saturating_mul(bs).saturating_sub(place % bs);
            let n = left.min((buf.len() - done) as u64) as usize;
            let part = &mut buf[done..done + n];
            match run.block {
                Some(block) => self.fs.read_run(block, place % bs, part)?,
                None => part.fill(0),
            }
            done += n;
        }
        Ok(())
    }

    fn names_of(&self, directory: NodeId) -> Result<Vec<Name>, TreeError> {
        let inode = self.typed(directory, NodeKind::Directory, "directory")?;
        let sb = &self.fs.sb;
        let reader = Reader {
            inode: inode.number,
            incompat: sb.incompat,
            indexed: inode.has(flags::INDEXED),
            seed: sb.has_metadata_csum().then(|| inode.seed(sb)),
        };
        let mut out = Vec::new();
        if inode.has(flags::INLINE_DATA) {
            let (first, rest) = inline::pieces(&inode)?;
            // The first four bytes are the parent's number.
            reader.names(&first[4..], &mut out)?;
            reader.names(rest, &mut out)?;
            return Ok(out);
        }
        let map = Mapping::of(&inode)?;
        if inode.size > MAX_DIRECTORY {
            return Err(unsupported(format!("directory {} of {} bytes", inode.number, inode.size)));
        }
        let blocks = (inode.size / sb.block_size) as u32;
        let mut at = 0;
        while at < blocks {
            let run = map.find(&self.fs, at)?;
            let len = run.len.min(u64::from(blocks - at)) as u32;
            if let Some(block) = run.block {
                for i in 0..len {
                    let bytes = self.fs.read_block(block + u64::from(i))?;
                    reader.block(&bytes, at + i == 0, &mut out)?;
                }
            }
            at += len;
        }
        Ok(out)
    }

    fn content_of_link(&self, inode: &Inode) -> Result<Vec<u8>, TreeError> {
        if inode.size > MAX_TARGET {
            return Err(damaged(format!("link {} is too long", inode.number)));
        }
        let mut target = vec![0; inode.size as usize];
        if inode.has(flags::INLINE_DATA) {
            return inline::content(inode);
        }
        match inode.blocks().get(..target.len()) {
            Some(short) if target.len() < 60 && !inode.has(flags::EXTENTS) => {
                target.copy_from_slice(short);
            }
            _ => self.fill(inode, 0, &mut target)?,
        }
        Ok(target)
    }
}

impl FileTree for Ext4 {
    fn kind(&self) -> &'static str {
        match self.fs.sb.compat & compat::HAS_JOURNAL {
            0 if self.fs.sb.incompat & !superblock::incompat::FILETYPE == 0 => "ext2",
            _ => "ext4",
        }
    }

    fn label(&self) -> String {
        self.fs.sb.label.clone()
    }

    fn root(&self) -> NodeId {
        NodeId(u64::from(ROOT))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError> {
        Ok(self.inode(node)?.metadata())
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError> {
        let names = self.names_of(directory)?;
        let entry = |name: Name| match name.kind {
            Some(kind) => Ok(name.entry(kind)),
            None => {
                let kind = Inode::read(&self.fs, name.inode)?.kind;
                Ok(name.entry(kind))
            }
        };
        names.into_iter().map(entry).collect()
    }

    fn lookup(&self, directory: NodeId, name: &OsStr) -> Result<NodeId, TreeError> {
        let list = || self.entries(directory);
        self.names.lookup(directory, name, list)
    }

    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError> {
        let inode = self.typed(file, NodeKind::File, "file")?;
        let left = inode.size.saturating_sub(offset);
        let n = left.min(buf.len() as u64) as usize;
        if inode.has(flags::INLINE_DATA) {
            let from = offset.min(inode.size) as usize;
            buf[..n].copy_from_slice(&inline::content(&inode)?[from..from + n]);
        } else {
            self.fill(&inode, offset, &mut buf[..n])?;
        }
        Ok(n)
    }

    fn own_content(&self, file: NodeId) -> Result<Vec<Range<u64>>, TreeError> {
        let inode = self.inode(file)?;
        let sb = &self.fs.sb;
        let elsewhere = inode.has(flags::INLINE_DATA) || sb.ro_compat & ro_compat::SHARED_BLOCKS != 0;
        if inode.kind != NodeKind::File || elsewhere {
            return Ok(Vec::new());
        }
        let map = Mapping::of(&inode)?;
        let (mut at, end) = (0, inode.size.div_ceil(sb.block_size));
        let (mut taken, mut out) = (0, Vec::new());
        while at < end {
            let block = u32::try_from(at).map_err(|_| damaged(format!("inode {} is too long", inode.number)))?;
            let run = map.find(&self.fs, block)?;
            let len = run.len.min(end - at);
            if let Some(start) = run.block {
                taken += len;
                if taken > sb.blocks {
                    return Err(damaged(format!("inode {} has more blocks than there are", inode.number)));
                }
                out.push(self.fs.place(start, len)?);
            }
            at += len;
        }
        Ok(out)
    }

    fn link_target(&self, link: NodeId) -> Result<OsString, TreeError> {
        let inode = self.typed(link, NodeKind::Symlink, "symbolic link")?;
        Ok(OsString::from_vec(self.content_of_link(&inode)?))
    }
}
