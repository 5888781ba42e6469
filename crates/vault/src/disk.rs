//! A disk of a machine at a point, as a volume.
//!
//! Never knows: who reads it.

use std::io;
use std::sync::Arc;

use backstay_env::volume::{Content as Reads, Span, Volume, check_range};
use backstay_format::rows::DiskAt;
use backstay_format::units::{PAGE_SIZE, PageNo, pages_in};
use backstay_store::ingest::ChunkAt;
use backstay_store::packs::Packs;
use backstay_timeline::extent::{Content, Extent, overlay};

use crate::map::{Known, Map};
use crate::protect::Boundary;
use crate::rows::{Machine, Point};
use crate::{Vault, VaultError};

/// A disk at a point. Never changes. Every byte it gives out was checked.
pub struct PointDisk {
    packs: Arc<Packs>,
    map: Arc<Map>,
    /// What lies over the map.
    over: Arc<Vec<Extent>>,
    at: DiskAt,
}

impl Vault {
    /// The disks of a machine at a point. Where a part of the map is lost that newer parts do not make good, pages cannot be
    /// read; all others can.
    ///
    /// # Errors
    /// [`VaultError`], also when nothing at all is known of the point.
    pub fn disks(&self, machine: &Machine, point: &Point) -> Result<Vec<PointDisk>, VaultError> {
        let map = Arc::new(self.map_as_far_as_known(machine.id, point.number)?);
        Ok(point.row.disks.iter().map(|at| PointDisk::new(self, &map, at)).collect())
    }

    /// The disks of a machine at a number that need not be a point's, such as where its timeline ends.
    ///
    /// # Errors
    /// As [`Vault::map`].
    pub fn disks_where(&self, at: &Boundary) -> Result<Vec<PointDisk>, VaultError> {
        let map = Arc::new(self.map(at.machine.id, at.number)?);
        Ok(at.disks.iter().map(|at| PointDisk::new(self, &map, at)).collect())
    }

    /// One disk by name, or the only one.
    ///
    /// # Errors
    /// [`VaultError::NoDisk`].
    pub fn disk(&self, machine: &Machine, point: &Point, name: Option<&str>) -> Result<PointDisk, VaultError> {
        let mut disks = self.disks(machine, point)?;
        let index = match name {
            None if disks.len() == 1 => Some(0),
            None => None,
            Some(name) => disks.iter().position(|d| d.at.name == name),
        };
        let missing = || VaultError::NoDisk { machine: machine.row.name.clone(), disk: name.unwrap_or("?").to_owned() };
        index.map(|i| disks.swap_remove(i)).ok_or_else(missing)
    }
}

impl PointDisk {
    fn new(vault: &Vault, map: &Arc<Map>, at: &DiskAt) -> PointDisk {
        PointDisk { packs: vault.packs.clone(), map: map.clone(), over: Arc::default(), at: at.clone() }
    }

    /// With these extents, in order, over it.
    pub(crate) fn under(self, over: Arc<Vec<Extent>>) -> PointDisk {
        PointDisk { over, ..self }
    }

    fn known(&self, pages: std::ops::Range<u64>) -> Result<Known, VaultError> {
        let mut known = self.map.known(self.at.disk, pages.clone())?;
        let first = self.over.partition_point(|e| (e.disk, e.end().0) <= (self.at.disk, pages.start));
        let over = self.over[first..].iter().take_while(|e| e.disk == self.at.disk && e.page.0 < pages.end);
        let over: Vec<Extent> = over.filter_map(|e| e.clip(&pages)).collect();
        if !over.is_empty() {
            known.extents = overlay(&over, &known.extents);
        }
        Ok(known)
    }

    /// What is known of it.
    pub fn info(&self) -> &DiskAt {
        &self.at
    }

    /// Where the content of a range of pages is.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn extents(&self, pages: std::ops::Range<u64>) -> Result<Vec<Extent>, VaultError> {
        let known = self.known(pages)?;
        match known.unknown.is_empty() {
            true => Ok(known.extents),
            false => Err(VaultError::Unknown(known.why.unwrap_or_default())),
        }
    }

    fn read_pages(&self, first: u64, pages: u64, buf: &mut [u8], skip: usize) -> io::Result<()> {
        buf.fill(0);
        let window = skip..skip + buf.len();
        for extent in self.extents(first..first + pages).map_err(to_io)? {
            let Content::Data { pack, chunk, inside, tag } = extent.content else {
                if extent.content == Content::Unreadable {
                    return Err(io::Error::other(format!("the source could not read {}", range(&extent))));
                }
                continue;
            };
            let chunk = self.packs.chunk(ChunkAt { pack, chunk }, tag).map_err(|e| to_io(e.into()))?;
            let from = inside as usize * PAGE_SIZE;
            let bytes = chunk.get(from..from + extent.pages as usize * PAGE_SIZE);
            let bytes = bytes.ok_or_else(|| io::Error::other("the map asks for more than a chunk has"))?;
            let start = ((extent.page.0 - first) as usize) * PAGE_SIZE;
            copy_inside(bytes, start, &window, buf);
        }
        Ok(())
    }
}

/// Copies the part of `bytes`, which lie at `start`, that is inside `window` to its place in `buf`.
fn copy_inside(bytes: &[u8], start: usize, window: &std::ops::Range<usize>, buf: &mut [u8]) {
    let (from, to) = (start.max(window.start), (start + bytes.len()).min(window.end));
    if from < to {
        buf[from - window.start..to - window.start].copy_from_slice(&bytes[from - start..to - start]);
    }
}

fn range(extent: &Extent) -> String {
    format!("bytes {} to {}", extent.page.offset(), PageNo(extent.end().0).offset() - 1)
}

/// Errors of a vault as a volume reports them; damage stays recognisable as such.
fn to_io(error: VaultError) -> io::Error {
    let kind = if error.is_damage() { io::ErrorKind::InvalidData } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

impl Volume for PointDisk {
    fn size(&self) -> u64 {
        self.at.size
    }

    fn sector_size(&self) -> u32 {
        self.at.sector
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.at.size, offset, buf.len() as u64)?;
        if buf.is_empty() {
            return Ok(());
        }
        let first = offset / PAGE_SIZE as u64;
        let last = pages_in(offset + buf.len() as u64);
        self.read_pages(first, last - first, buf, (offset % PAGE_SIZE as u64) as usize)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        check_range(self.at.size, offset, len)?;
        let end = offset + len;
        let pages = offset / PAGE_SIZE as u64..pages_in(end);
        let mut spans: Vec<Span> = Vec::new();
        let mut push = |from: u64, to: u64, content: Reads| {
            let (from, to) = (from.max(offset), to.min(end));
            match spans.last_mut() {
                _ if from >= to => {}
                Some(last) if last.content == content => last.len += to - from,
                _ => spans.push(Span { offset: from, len: to - from, content }),
            }
        };
        let known = self.known(pages.clone()).map_err(to_io)?;
        let is_data = |e: &&Extent| matches!(e.content, Content::Data { .. } | Content::Unreadable);
        let data = known.extents.iter().filter(is_data).map(|e| e.page.0..e.end().0);
        // What nobody knows is to be read, and named then.
        let mut to_read: Vec<_> = data.chain(known.unknown).collect();
        to_read.sort_by_key(|pages| pages.start);
        let mut at = pages.start;
        for range in to_read {
            push(PageNo(at).offset(), PageNo(range.start).offset(), Reads::Hole);
            push(PageNo(range.start).offset(), PageNo(range.end).offset(), Reads::Data);
            at = range.end;
        }
        push(PageNo(at).offset(), PageNo(pages.end).offset(), Reads::Hole);
        Ok(spans)
    }
}
