//! The rest: what is read of the disks while everything is still, into memory that was there before.
//!
//! Never knows: marks, freezes, or what becomes of the bytes.
//! Invariant: between [`Residue::make_room`] and the thaw nothing is allocated.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use backstay_env::real::disk::{AlignedBuf, BlockDevice};
use backstay_env::volume::{Volume, check_range};

use crate::ring::{Read, Ring, Target};

const PAGE: u64 = 4096;
/// The longest single read, in pages: longer runs are cut.
const LONGEST: u64 = 256;
/// Memory is taken in multiples of this, in bytes.
const LEAST: usize = 4 << 20;
/// Pages that cannot be read are remembered one by one, up to so many.
const BAD: usize = 4096;
/// Reads under way at once: nobody else reads meanwhile.
const DEPTH: u32 = 128;

/// Memory for what is read at the last moment.
pub struct Residue {
    /// Bytes that may be taken at most.
    most: usize,
    /// It was too little.
    short: bool,
    memory: AlignedBuf,
    used: usize,
    runs: Vec<Run>,
    /// Runs from here on are of the second look: they cover what the first saw.
    second: Option<usize>,
    bad: Vec<(usize, u64)>,
    ring: Option<Ring>,
}

/// Pages of a disk, and where in memory they are.
struct Run {
    disk: usize,
    pages: Range<u64>,
    at: usize,
    /// Bytes that came.
    came: u32,
}

impl Residue {
    /// For so many bytes at most. Takes no memory yet.
    pub fn new(most: usize) -> Residue {
        Residue {
            most: most - most % PAGE as usize,
            short: false,
            memory: AlignedBuf::new(0),
            used: 0,
            runs: Vec::new(),
            second: None,
            bad: Vec::with_capacity(BAD),
            ring: Ring::new(DEPTH),
        }
    }

    /// Takes and touches memory for so many bytes, in at most a run for each page; twice what there was if that was too little.
    /// Forgets what was read.
    pub fn make_room(&mut self, bytes: usize) {
        self.clear();
        let wanted = if std::mem::take(&mut self.short) { bytes.max(2 * self.memory.len()) } else { bytes };
        let wanted = wanted.max(LEAST).next_multiple_of(LEAST).min(self.most);
        let fits = self.memory.len() >= wanted && self.memory.len() <= 2 * wanted;
        if !fits {
            self.memory = AlignedBuf::new(0);
            self.memory = AlignedBuf::new(wanted);
            // Touched, so that it is there.
            self.memory.fill(0);
            self.runs = Vec::with_capacity(wanted / PAGE as usize);
        }
    }

    /// Forgets what was read.
    pub fn clear(&mut self) {
        self.used = 0;
        self.runs.clear();
        self.bad.clear();
        self.second = None;
    }

    /// What follows is read after what is there already, and covers it.
    pub fn look_again(&mut self) {
        self.second = Some(self.runs.len());
    }

    /// Pages of a disk that are to be read. `false`: there is no room.
    pub fn add(&mut self, disk: usize, pages: Range<u64>) -> bool {
        let mut at = pages.start;
        while at < pages.end {
            let end = pages.end.min(at + LONGEST);
            let bytes = ((end - at) * PAGE) as usize;
            if self.used + bytes > self.memory.len() || self.runs.len() == self.runs.capacity() {
                self.short = true;
                return false;
            }
            self.runs.push(Run { disk, pages: at..end, at: self.used, came: 0 });
            self.used += bytes;
            at = end;
        }
        true
    }

    /// Bytes that may be held at most.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.used
    }

    /// Reads what was added since the last look. Pages that cannot be read are remembered as such.
    ///
    /// # Errors
    /// More pages than can be remembered cannot be read.
    pub fn read(&mut self, disks: &[&BlockDevice]) -> io::Result<()> {
        let from = self.second.unwrap_or(0);
        self.read_together(from, disks);
        for index in from..self.runs.len() {
            if self.runs[index].came < len_of(&self.runs[index], disks) {
                self.read_page_by_page(index, disks)?;
            }
        }
        Ok(())
    }

    fn read_together(&mut self, from: usize, disks: &[&BlockDevice]) {
        let Some(ring) = &mut self.ring else { return };
        let memory = self.memory.as_mut_ptr();
        let (_, runs) = self.runs.split_at_mut(from);
        let cells = std::cell::Cell::from_mut(runs).as_slice_of_cells();
        let reads = cells.iter().enumerate().map(|(index, cell)| {
            let run = cell.replace(Run { disk: 0, pages: 0..0, at: 0, came: 0 });
            let read = Read {
                fd: disks[run.disk].as_fd().as_raw_fd(),
                offset: run.pages.start * PAGE,
                to: Target::Whole(memory.wrapping_add(run.at), len_of(&run, disks)),
                tag: index as u64,
            };
            cell.set(run);
            read
        });
        let told = |tag: u64, came: Option<u32>| {
            let cell = &cells[tag as usize];
            let run = cell.replace(Run { disk: 0, pages: 0..0, at: 0, came: 0 });
            cell.set(Run { came: came.unwrap_or(0), ..run });
        };
        #[allow(unsafe_code)]
        // SAFETY: each run has bytes of `memory` of its own, which this call borrows; the disks are borrowed, too.
        unsafe {
            ring.read_all(reads, told);
        }
    }

    fn read_page_by_page(&mut self, index: usize, disks: &[&BlockDevice]) -> io::Result<()> {
        let run = &mut self.runs[index];
        let disk = disks[run.disk];
        for page in run.pages.clone() {
            let at = run.at + ((page - run.pages.start) * PAGE) as usize;
            let len = PAGE.min(disk.size() - page * PAGE) as usize;
            if let Err(error) = disk.read_at(page * PAGE, &mut self.memory[at..at + len]) {
                if self.bad.len() == self.bad.capacity() {
                    return Err(error);
                }
                self.bad.push((run.disk, page));
            }
        }
        run.came = len_of(run, disks);
        Ok(())
    }

    /// What was read of a disk of `size` bytes, in order: in the first look, and in the second, which covers it.
    pub fn looks(&self, disk: usize, size: u64) -> [Look<'_>; 2] {
        let (first, second) = self.runs.split_at(self.second.unwrap_or(self.runs.len()));
        [first, second].map(|runs| {
            let mut runs: Vec<&Run> = runs.iter().filter(|run| run.disk == disk).collect();
            runs.sort_by_key(|run| run.pages.start);
            Look { residue: self, disk, size, runs }
        })
    }
}

fn len_of(run: &Run, disks: &[&BlockDevice]) -> u32 {
    ((run.pages.end * PAGE).min(disks[run.disk].size()) - run.pages.start * PAGE) as u32
}

/// What one look read of a disk. Only that can be read of it.
pub struct Look<'a> {
    residue: &'a Residue,
    disk: usize,
    size: u64,
    runs: Vec<&'a Run>,
}

impl Look<'_> {
    /// The pages that were read, in order.
    pub fn pages(&self) -> Vec<Range<u64>> {
        let mut pages: Vec<Range<u64>> = Vec::new();
        for run in &self.runs {
            match pages.last_mut() {
                Some(last) if last.end == run.pages.start => last.end = run.pages.end,
                _ => pages.push(run.pages.clone()),
            }
        }
        pages
    }

    /// Copies from the page that `offset` is in, at most to its end; returns how much.
    fn copy(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let page = offset / PAGE;
        let index = self.runs.partition_point(|run| run.pages.end <= page);
        let run = self.runs.get(index).filter(|run| run.pages.contains(&page));
        let run = run.ok_or_else(|| io::Error::other("that page was not read"))?;
        if self.residue.bad.contains(&(self.disk, page)) {
            return Err(io::Error::other("that page could not be read"));
        }
        let at = run.at + (offset - run.pages.start * PAGE) as usize;
        let len = buf.len().min((PAGE - offset % PAGE) as usize);
        buf[..len].copy_from_slice(&self.residue.memory[at..at + len]);
        Ok(len)
    }
}

impl Volume for Look<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        let mut done = 0;
        while done < buf.len() {
            done += self.copy(offset + done as u64, &mut buf[done..])?;
        }
        Ok(())
    }
}
