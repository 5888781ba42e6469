//! Reading a disk at a point.
//!
//! Never knows: ledgers. Invariant: every byte given to a sink hashed to its
//! chunk's id; a page that is neither given nor named in the result is zeros.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::PAGE;
use crate::bytes::Id;
use crate::overlay::{Fill, Overlay, lay_run};
use crate::reader::Reader;
use crate::rows::SpanKey;
use crate::runs::{EITHER, Run, load};

/// Where a disk's bytes go.
pub trait Sink {
    /// Takes bytes of the disk. Calls come with rising offsets and do not
    /// overlap; what is left out is zeros or cannot be vouched for.
    ///
    /// # Errors
    /// Whatever stops the sink; reading then ends.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Called once, after the last byte: the disk has `size` bytes.
    ///
    /// # Errors
    /// As for `put`.
    fn finish(&mut self, size: u64) -> io::Result<()>;
}

/// A new file; what is not put stays a hole.
#[derive(Debug)]
pub struct FileSink(File);

impl FileSink {
    /// Makes the file, or empties the one of that name.
    ///
    /// # Errors
    /// As `File::create`.
    pub fn create(path: &Path) -> io::Result<Self> {
        File::create(path).map(Self)
    }
}

impl Sink for FileSink {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn finish(&mut self, size: u64) -> io::Result<()> {
        self.0.set_len(size)?;
        self.0.sync_all()
    }
}

/// A stream: what is not put is written as zeros.
#[derive(Debug)]
pub struct SeqSink<W> {
    to: W,
    at: u64,
}

impl<W: Write> SeqSink<W> {
    /// Writes to `to`, from its current place.
    pub fn new(to: W) -> Self {
        Self { to, at: 0 }
    }

    fn zeros(&mut self, until: u64) -> io::Result<()> {
        let zeros = [0; 1 << 16];
        while self.at < until {
            let length = (until - self.at).min(zeros.len() as u64);
            self.to.write_all(&zeros[..length as usize])?;
            self.at += length;
        }
        Ok(())
    }
}

impl<W: Write> Sink for SeqSink<W> {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.zeros(offset)?;
        self.to.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn finish(&mut self, size: u64) -> io::Result<()> {
        self.zeros(size)?;
        self.to.flush()
    }
}

/// Bytes of a disk that cannot be vouched for; the sink got nothing there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unvouched {
    /// From the start of the disk.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Why.
    pub reason: String,
}

/// Why nothing of a disk can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The vault has no such point.
    #[error("machine {machine} has no point {number}")]
    NoPoint {
        /// The machine.
        machine: Id,
        /// The number asked for.
        number: u64,
    },
    /// The point has no such disk.
    #[error("point {number} has no disk {disk}")]
    NoDisk {
        /// The point.
        number: u64,
        /// The disk asked for.
        disk: u64,
    },
    /// The sink failed.
    #[error("the disk's bytes cannot be written")]
    Sink(#[source] io::Error),
}

/// The way from a point back to the beginning: runs, the newest first, and
/// why it ends before the beginning, if it does.
pub(crate) struct Way {
    pub(crate) runs: Vec<Run>,
    pub(crate) broken: Option<String>,
}

impl Reader {
    /// Gives a disk's bytes at a point to `sink`. Whatever can be read is
    /// given, whatever the damage elsewhere; the rest is named in the result,
    /// in order of offsets.
    ///
    /// # Errors
    /// If there is no such disk, or the sink fails.
    pub fn read_disk(
        &self,
        machine: Id,
        number: u64,
        disk: u64,
        sink: &mut dyn Sink,
    ) -> Result<Vec<Unvouched>, ReadError> {
        let point = self.point(machine, number).ok_or(ReadError::NoPoint { machine, number })?;
        let size = point.disks.iter().find(|other| other.number == disk).map(|disk| disk.size);
        let size = size.ok_or(ReadError::NoDisk { number, disk })?;
        let overlay = self.overlay(machine, number, disk, size.div_ceil(PAGE));
        let mut unvouched = Vec::new();
        for (start, end, fill) in overlay.pieces() {
            let offset = start * PAGE; // below size
            let length = (end.saturating_mul(PAGE)).min(size) - offset;
            let reason = match fill {
                Fill::Zero | Fill::Absent | Fill::Excluded => continue,
                Fill::Unreadable => "the source could not read it".to_owned(),
                Fill::Unknown(why) => why.to_string(),
                Fill::Data(at) => match self.packs.pages(at) {
                    Ok(bytes) => {
                        sink.put(offset, &bytes[..length as usize]).map_err(ReadError::Sink)?;
                        continue;
                    }
                    Err(e) => e.to_string(),
                },
            };
            name(&mut unvouched, Unvouched { offset, length, reason });
        }
        sink.finish(size).map_err(ReadError::Sink)?;
        Ok(unvouched)
    }

    fn overlay(&self, machine: Id, number: u64, disk: u64, pages: u64) -> Overlay {
        let way = self.way(machine, number);
        let mut overlay = Overlay::default();
        for run in &way.runs {
            lay_run(&mut overlay, run, disk, pages);
        }
        if let Some(why) = way.broken
            && pages > 0
        {
            overlay.lay(0, pages, &Fill::Unknown(why.as_str().into()));
        }
        overlay
    }

    /// A way whose runs can all be read, if there is one; else one that loses
    /// little.
    pub(crate) fn way(&self, machine: Id, number: u64) -> Way {
        match self.intact_way(machine, number) {
            Some(runs) => Way { runs, broken: None },
            None => self.damaged_way(machine, number),
        }
    }

    fn intact_way(&self, machine: Id, number: u64) -> Option<Vec<Run>> {
        // Each step: where it stands, which spans are still to be tried from
        // there (the last is the best), and the run that was taken.
        let mut steps = vec![(self.choices(machine, number), None::<Run>)];
        let mut dead = BTreeSet::new();
        let mut at = vec![number];
        while let Some((choices, taken)) = steps.last_mut() {
            let Some(key) = choices.pop() else {
                steps.pop();
                dead.extend(at.pop());
                continue;
            };
            if dead.contains(&key.from) {
                continue;
            }
            let Some(run) = self.intact_run(&key) else {
                continue;
            };
            *taken = Some(run);
            if key.from == 0 {
                return Some(steps.into_iter().filter_map(|(_, run)| run).collect());
            }
            steps.push((self.choices(machine, key.from), None));
            at.push(key.from);
        }
        None
    }

    /// The spans that end at a number, the one that begins earliest last.
    fn choices(&self, machine: Id, to: u64) -> Vec<SpanKey> {
        let mut keys = self.catalog.ending(machine, to);
        keys.reverse();
        keys
    }

    fn intact_run(&self, key: &SpanKey) -> Option<Run> {
        let span = self.catalog.spans.get(key)?;
        load(&self.packs, span, EITHER).ok().filter(|run| run.lost.is_empty())
    }

    fn damaged_way(&self, machine: Id, number: u64) -> Way {
        let mut runs = Vec::new();
        let mut at = number;
        while at > 0 {
            match self.least_damaged(machine, at) {
                Ok((from, run)) => {
                    runs.push(run);
                    at = from;
                }
                Err(why) => {
                    return Way { runs, broken: Some(why) };
                }
            }
        }
        Way { runs, broken: None }
    }

    /// The best run that ends at `to`: a whole one that begins early, else
    /// the shortest of those of which something can be read.
    fn least_damaged(&self, machine: Id, to: u64) -> Result<(u64, Run), String> {
        let mut best = None;
        let mut why = format!("no span leads to {to}");
        for key in self.catalog.ending(machine, to) {
            let Some(span) = self.catalog.spans.get(&key) else {
                continue;
            };
            match load(&self.packs, span, EITHER) {
                Ok(run) if run.lost.is_empty() => return Ok((key.from, run)),
                Ok(run) => best = Some((key.from, run)),
                Err(e) => why = format!("{key} cannot be read: {e}"),
            }
        }
        best.ok_or(why)
    }
}

/// Adds a range, joined to the one before if it goes on for the same reason.
fn name(ranges: &mut Vec<Unvouched>, range: Unvouched) {
    match ranges.last_mut() {
        Some(last) if last.offset + last.length == range.offset && last.reason == range.reason => {
            last.length += range.length;
        }
        _ => ranges.push(range),
    }
}
