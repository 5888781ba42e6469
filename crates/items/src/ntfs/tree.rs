//! The files of NTFS: the unnamed stream of each, read-only. Other streams and access lists are not shown.
//!
//! Never knows: which clusters are in use.

use super::index::{self, IndexName};
use super::record::kind;
use super::reparse::{self, Reparse};
use super::runs::Run;
use super::stream::{Place, Stream};
use super::volume::{File, Ntfs};
use crate::bytes::{damaged, le16, le32, le64, unsupported};
use crate::names::NameCache;
use crate::tree::{Entry, FileTime, FileTree, Metadata, NodeId, NodeKind, TreeError};
use backstay_env::volume::Volume;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

const VOLUME: u64 = 3;
const ROOT: u64 = 5;
/// Records below this one are the volume's own files.
const FIRST_USER: u64 = 24;
const INDEX: &str = "$I30";
/// The longest index of a directory, in bytes: some ten million names.
const MAX_INDEX: u64 = 1 << 30;
const MAX_REPARSE: u64 = 64 * 1024;
/// Files opened last, kept with their run lists.
const KEPT: usize = 16;

const SYSTEM: u32 = 0x4;
const REPARSE_POINT: u32 = 0x400;
const DIRECTORY: u32 = 0x1000_0000;

/// Opens the file system for reading. Its log is not replayed: on a volume that was not left in order, changes of
/// the last seconds that are only in the log are not seen.
///
/// # Errors
/// [`TreeError::Damaged`]; [`TreeError::Io`].
pub fn open(volume: Arc<dyn Volume>) -> Result<Box<dyn FileTree>, TreeError> {
    let ntfs = Ntfs::open(volume)?;
    Ok(Box::new(Tree { ntfs, names: NameCache::default(), opened: Mutex::default() }))
}

struct Tree {
    ntfs: Ntfs<Arc<dyn Volume>>,
    names: NameCache,
    opened: Mutex<Vec<(NodeId, Arc<Opened>)>>,
}

/// What is known of a file once its records were read.
struct Opened {
    file: File,
    kind: NodeKind,
    content: Option<Stream>,
    target: Option<OsString>,
    /// Who keeps the content elsewhere.
    foreign: Option<u32>,
}

impl Tree {
    fn opened(&self, node: NodeId) -> Result<Arc<Opened>, TreeError> {
        if let Some(opened) = self.held(node) {
            return Ok(opened);
        }
        let opened = Arc::new(self.read_file(node)?);
        let mut held = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == KEPT {
            held.remove(0);
        }
        held.push((node, opened.clone()));
        Ok(opened)
    }

    fn held(&self, node: NodeId) -> Option<Arc<Opened>> {
        let held = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().find(|(at, _)| *at == node);
        found.map(|(_, opened)| opened.clone())
    }

    fn read_file(&self, node: NodeId) -> Result<Opened, TreeError> {
        if node.0 < FIRST_USER && node.0 != ROOT {
            return Err(TreeError::NotFound);
        }
        let file = self.ntfs.file(node.0)?;
        let content = self.ntfs.stream(&file, kind::DATA, "")?;
        let attributes = file.value(kind::STANDARD_INFORMATION);
        let attributes = attributes.map_or(0, |v| le32(v, 0x20));
        let mut opened = Opened {
            kind: match file.base().is_directory() {
                true => NodeKind::Directory,
                false => NodeKind::File,
            },
            target: None,
            foreign: None,
            content,
            file,
        };
        self.read_reparse(&mut opened)?;
        if attributes & SYSTEM != 0 && opened.kind == NodeKind::File {
            self.read_interix(&mut opened)?;
        }
        if opened.target.is_some() {
            opened.kind = NodeKind::Symlink;
        }
        Ok(opened)
    }

    fn read_reparse(&self, opened: &mut Opened) -> Result<(), TreeError> {
        let point = self.ntfs.stream(&opened.file, kind::REPARSE_POINT, "")?;
        let Some(point) = point else {
            return Ok(());
        };
        let value = point.read_all(&self.ntfs.volume, &self.ntfs.boot, MAX_REPARSE)?;
        match reparse::parse(&value) {
            Some(Reparse::Link(target)) => opened.target = Some(target),
            Some(Reparse::Foreign(tag)) => opened.foreign = Some(tag),
            None => return Err(damaged("a reparse point is cut short")),
        }
        Ok(())
    }

    fn read_interix(&self, opened: &mut Opened) -> Result<(), TreeError> {
        let content = opened.content.as_ref();
        let short = content.filter(|c| !c.encrypted && (10..=MAX_REPARSE).contains(&c.size));
        if let Some(content) = short {
            let bytes = content.read_all(&self.ntfs.volume, &self.ntfs.boot, MAX_REPARSE)?;
            opened.target = reparse::interix(&bytes);
        }
        Ok(())
    }

    fn index(&self, directory: NodeId) -> Result<Vec<IndexName>, TreeError> {
        let opened = self.opened(directory)?;
        if opened.kind != NodeKind::Directory {
            return Err(TreeError::WrongKind("directory"));
        }
        let (ntfs, file) = (&self.ntfs, &opened.file);
        let root = ntfs.stream(file, kind::INDEX_ROOT, INDEX)?;
        let root = root.ok_or_else(|| damaged(format!("directory {} has no index", directory.0)))?;
        let value = root.read_all(&ntfs.volume, &ntfs.boot, 4096)?;
        let mut out = Vec::new();
        if index::root(&value, &mut out)? {
            let size = le32(&value, 8) as usize;
            if size != ntfs.boot.index_size {
                return Err(damaged("an index has blocks of another size"));
            }
            self.index_blocks(file, &mut out)?;
        }
        Ok(out)
    }

    fn index_blocks(&self, file: &File, out: &mut Vec<IndexName>) -> Result<(), TreeError> {
        let ntfs = &self.ntfs;
        let missing = || damaged("an index has lost its blocks");
        let blocks = ntfs.stream(file, kind::INDEX_ALLOCATION, INDEX)?;
        let blocks = blocks.ok_or_else(missing)?;
        let bitmap = ntfs.stream(file, kind::BITMAP, INDEX)?;
        let bitmap = bitmap.ok_or_else(missing)?;
        if blocks.size > MAX_INDEX {
            return Err(unsupported(format!("a directory of {} bytes", blocks.size)));
        }
        let bitmap = bitmap.read_all(&ntfs.volume, &ntfs.boot, MAX_INDEX / 512)?;
        let size = ntfs.boot.index_size;
        let mut bytes = vec![0; size];
        for run in crate::bits::runs_of_ones(&bitmap, blocks.size / size as u64) {
            for at in run {
                blocks.read(&ntfs.volume, &ntfs.boot, at * size as u64, &mut bytes)?;
                index::block(&mut bytes, out)?;
            }
        }
        Ok(())
    }

    fn entry(&self, name: IndexName) -> Result<Entry, TreeError> {
        let node = NodeId(name.record);
        let text = reparse::text(&name.name);
        let bytes = text.as_bytes();
        if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') || bytes.contains(&0) {
            return Err(damaged("a name is empty or holds a slash or a zero"));
        }
        let kind = match name.attributes {
            a if a & REPARSE_POINT != 0 => self.opened(node)?.kind,
            a if a & DIRECTORY != 0 => NodeKind::Directory,
            a if a & SYSTEM != 0 => self.opened(node)?.kind,
            _ => NodeKind::File,
        };
        Ok(Entry { name: text, node, kind })
    }
}

impl FileTree for Tree {
    fn kind(&self) -> &'static str {
        "ntfs"
    }

    fn label(&self) -> String {
        let file = self.ntfs.file(VOLUME);
        let name = file.as_ref().ok().and_then(|f| f.value(kind::VOLUME_NAME));
        let letters = name.unwrap_or_default().chunks_exact(2);
        String::from_utf16_lossy(&letters.map(|c| le16(c, 0)).collect::<Vec<_>>())
    }

    fn root(&self) -> NodeId {
        NodeId(ROOT)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError> {
        let opened = self.opened(node)?;
        let information = opened.file.value(kind::STANDARD_INFORMATION);
        let time = |at| information.map_or(FileTime::default(), |v| time(le64(v, at)));
        let names = opened.file.attributes().filter(|a| a.kind() == kind::FILE_NAME);
        let dos = |v: Option<&[u8]>| v.and_then(|v| v.get(0x41)) == Some(&2);
        let links = names.filter(|a| !dos(a.value())).count();
        let size = match (&opened.target, &opened.content) {
            (Some(target), _) => target.len() as u64,
            (None, Some(content)) if opened.kind == NodeKind::File => content.size,
            _ => 0,
        };
        Ok(Metadata {
            kind: opened.kind,
            size,
            permissions: if opened.kind == NodeKind::Directory { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            links: links.max(1) as u32,
            device: (0, 0),
            modified: time(8),
            changed: time(16),
            accessed: time(24),
        })
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError> {
        let names = self.index(directory)?;
        let own = |n: &IndexName| directory.0 == ROOT && n.record < FIRST_USER;
        let shown = names.into_iter().filter(|n| !n.is_dos && !own(n));
        shown.map(|name| self.entry(name)).collect()
    }

    fn lookup(&self, directory: NodeId, name: &OsStr) -> Result<NodeId, TreeError> {
        let list = || self.entries(directory);
        self.names.lookup(directory, name, list)
    }

    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError> {
        let opened = self.opened(file)?;
        if opened.kind != NodeKind::File {
            return Err(TreeError::WrongKind("file"));
        }
        if let Some(tag) = opened.foreign {
            let what = format!("the file's content is kept by another program (tag {tag:#x})");
            return Err(unsupported(what));
        }
        match &opened.content {
            Some(content) => {
                let bulk = self.ntfs.volume.bulk();
                content.read(bulk, &self.ntfs.boot, offset, buf)
            }
            None => Ok(0),
        }
    }

    fn own_content(&self, file: NodeId) -> Result<Vec<Range<u64>>, TreeError> {
        let opened = self.opened(file)?;
        match &opened.content {
            Some(Stream { place: Place::Runs(runs), .. }) if opened.kind == NodeKind::File => {
                let size = self.ntfs.boot.cluster_size;
                let place = |run: &Run| run.lcn.map(|lcn| lcn * size..(lcn + run.len) * size);
                Ok(runs.iter().filter_map(place).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn link_target(&self, link: NodeId) -> Result<OsString, TreeError> {
        let opened = self.opened(link)?;
        let target = opened.target.clone();
        target.ok_or(TreeError::WrongKind("symbolic link"))
    }
}

/// Tenths of microseconds since 1601.
fn time(stored: u64) -> FileTime {
    const TO_1970: i64 = 11_644_473_600;
    FileTime { seconds: (stored / 10_000_000) as i64 - TO_1970, nanos: (stored % 10_000_000) as u32 * 100 }
}
