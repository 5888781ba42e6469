//! The files of FAT. A node's number is the place of its entry, for FAT has no other.
//!
//! Never knows: which clusters are free.

use super::directory::{ENTRY, Short, names};
use super::geometry::{Geometry, Next};
use crate::bytes::{damaged, read_vec};
use crate::cache::CachedVolume;
use crate::names::NameCache;
use crate::tree::{Entry, FileTime, FileTree, Metadata, NodeId, NodeKind, TreeError};
use backstay_env::volume::Volume;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// FAT allows 65,536 entries.
const MAX_DIRECTORY: u64 = 65_536 * ENTRY as u64;
const ROOT: NodeId = NodeId(0);
const KEPT: usize = 8;

/// Opens the file system for reading.
///
/// # Errors
/// [`TreeError::Damaged`]; [`TreeError::Io`].
pub fn open(volume: Arc<dyn Volume>) -> Result<Box<dyn FileTree>, TreeError> {
    let volume = CachedVolume::new(volume);
    let geometry = Geometry::parse(&read_vec(&volume, 0, 512)?, volume.size())?;
    Ok(Box::new(Vfat { volume, geometry, names: NameCache::default(), chains: Mutex::default() }))
}

/// Where a file is: byte ranges of the volume, one behind the other.
type Chain = Arc<Vec<Range<u64>>>;

struct Vfat {
    volume: CachedVolume<Arc<dyn Volume>>,
    geometry: Geometry,
    names: NameCache,
    chains: Mutex<Vec<((u32, u64), Chain)>>,
}

impl Vfat {
    fn short(&self, node: NodeId) -> Result<Short, TreeError> {
        let at = node.0.checked_mul(ENTRY as u64);
        let at = at.filter(|&at| at >= self.geometry.root_region.start);
        let bytes = read_vec(&self.volume, at.ok_or(TreeError::NotFound)?, ENTRY)?;
        let short = Short::new(*bytes.first_chunk().ok_or(TreeError::NotFound)?);
        match short.is_file() {
            true => Ok(short),
            false => Err(TreeError::NotFound),
        }
    }

    /// The chain from `first`, followed for at most `limit` bytes; a longer one is cut there.
    fn chain(&self, first: u32, limit: u64) -> Result<Chain, TreeError> {
        let limit = limit.min(self.geometry.clusters * self.geometry.cluster_size);
        if let Some(chain) = self.held((first, limit)) {
            return Ok(chain);
        }
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let (mut cluster, mut len) = (first, 0);
        while len < limit {
            if !self.geometry.is_cluster(cluster) {
                return Err(damaged(format!("a chain leads to cluster {cluster}")));
            }
            let start = self.geometry.place(u64::from(cluster));
            let end = start + self.geometry.cluster_size;
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
            len += self.geometry.cluster_size;
            match self.geometry.next(&self.volume, cluster)? {
                Next::Cluster(next) => cluster = next,
                Next::End => break,
                Next::Free => return Err(damaged("a chain leads to a free cluster")),
            }
        }
        let chain = Arc::new(ranges);
        let mut held = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == KEPT {
            held.remove(0);
        }
        held.push(((first, limit), chain.clone()));
        Ok(chain)
    }

    fn held(&self, key: (u32, u64)) -> Option<Chain> {
        let held = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().find(|(at, _)| *at == key);
        found.map(|(_, chain)| chain.clone())
    }

    /// The ranges of a directory's entries.
    fn directory(&self, node: NodeId) -> Result<Chain, TreeError> {
        let root = &self.geometry.root_region;
        let cluster = match node {
            ROOT if !root.is_empty() => return Ok(Arc::new([root.clone()].into())),
            ROOT => self.geometry.root_cluster,
            node => {
                let short = self.short(node)?;
                if !short.is_directory() {
                    return Err(TreeError::WrongKind("directory"));
                }
                short.cluster()
            }
        };
        self.chain(cluster, MAX_DIRECTORY)
    }
}

/// Fills `buf` from `offset` of what the ranges hold.
fn fill(volume: &dyn Volume, ranges: &[Range<u64>], mut offset: u64, mut buf: &mut [u8]) -> Result<(), TreeError> {
    for range in ranges {
        let len = range.end - range.start;
        if offset >= len || buf.is_empty() {
            offset = offset.saturating_sub(len);
            continue;
        }
        let n = (len - offset).min(buf.len() as u64) as usize;
        let (part, rest) = buf.split_at_mut(n);
        let read = volume.read_at(range.start + offset, part);
        read.map_err(TreeError::Io)?;
        (offset, buf) = (0, rest);
    }
    match buf.is_empty() {
        true => Ok(()),
        false => Err(damaged("a file is longer than its clusters")),
    }
}

fn kind(short: &Short) -> NodeKind {
    match short.is_directory() {
        true => NodeKind::Directory,
        false => NodeKind::File,
    }
}

impl FileTree for Vfat {
    fn kind(&self) -> &'static str {
        "vfat"
    }

    fn label(&self) -> String {
        match self.geometry.label.as_str() {
            "NO NAME" => String::new(),
            label => label.to_owned(),
        }
    }

    fn root(&self) -> NodeId {
        ROOT
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError> {
        let short = match node {
            ROOT => None,
            node => Some(self.short(node)?),
        };
        let kind = short.as_ref().map_or(NodeKind::Directory, kind);
        let time = |of: fn(&Short) -> FileTime| short.as_ref().map_or(FileTime::default(), of);
        let file = kind == NodeKind::File;
        Ok(Metadata {
            kind,
            size: short.filter(|_| file).map_or(0, |s| s.size()),
            permissions: if file { 0o644 } else { 0o755 },
            uid: 0,
            gid: 0,
            links: 1,
            device: (0, 0),
            modified: time(Short::modified),
            changed: time(Short::created),
            accessed: time(Short::accessed),
        })
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError> {
        let ranges = self.directory(directory)?;
        let len: u64 = ranges.iter().map(|r| r.end - r.start).sum();
        let mut bytes = vec![0; len.min(MAX_DIRECTORY) as usize];
        fill(&self.volume, &ranges, 0, &mut bytes)?;
        let place = |mut at: u64| {
            let hit = ranges.iter().find_map(|r| match r.end - r.start {
                len if at < len => Some(r.start + at),
                len => {
                    at -= len;
                    None
                }
            });
            hit.unwrap_or_default()
        };
        let entry = |found: super::directory::Name| {
            let name = found.name;
            if matches!(&name[..], "" | "." | "..") || name.contains(['/', '\0']) {
                return Err(damaged("a name is empty or holds a slash or a zero"));
            }
            Ok(Entry {
                name: OsString::from(name),
                node: NodeId(place(found.at as u64) / ENTRY as u64),
                kind: kind(&found.entry),
            })
        };
        names(&bytes).into_iter().map(entry).collect()
    }

    fn lookup(&self, directory: NodeId, name: &OsStr) -> Result<NodeId, TreeError> {
        let list = || self.entries(directory);
        self.names.lookup(directory, name, list)
    }

    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError> {
        let short = self.short(file)?;
        if short.is_directory() {
            return Err(TreeError::WrongKind("file"));
        }
        let n = short.size().saturating_sub(offset).min(buf.len() as u64) as usize;
        if n > 0 {
            let chain = self.chain(short.cluster(), short.size())?;
            fill(self.volume.bulk(), &chain, offset, &mut buf[..n])?;
        }
        Ok(n)
    }

    fn own_content(&self, file: NodeId) -> Result<Vec<Range<u64>>, TreeError> {
        let short = self.short(file)?;
        match short.size() {
            size if size > 0 && !short.is_directory() => Ok(self.chain(short.cluster(), size)?.to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    fn link_target(&self, _link: NodeId) -> Result<OsString, TreeError> {
        Err(TreeError::WrongKind("symbolic link"))
    }
}
