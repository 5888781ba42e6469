//! Simulated disks that are written to, and what of them a capture is to keep.
//!
//! Never knows: homes, vaults.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use backstay_env::sim::random::Dice;
use backstay_env::sim::volume::SimVolume;
use backstay_env::volume::{Content, Volume as _, VolumeMut as _};

use crate::Violation;

pub(crate) const PAGE: u64 = 4096;

/// A disk of a machine.
pub(crate) struct Disk {
    pub(crate) name: String,
    pub(crate) volume: Arc<SimVolume>,
    image: Vec<u8>,
    unreadable: Vec<Range<u64>>,
    most: u64,
    /// Pages that the kernel marked as written, until whoever follows takes them.
    pub(crate) marks: BTreeSet<u64>,
    /// Pages that were written since the timeline was last known to hold all: the truth, whoever takes the marks.
    pub(crate) written: BTreeSet<u64>,
    /// It got another size since it is followed.
    pub(crate) resized: bool,
}

/// What a disk held when it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskShot {
    pub(crate) name: String,
    /// As they are to be given back; pages that could not be read are zeros here.
    pub(crate) bytes: Vec<u8>,
    /// Pages that could not be read.
    pub(crate) unreadable: BTreeSet<u64>,
}

/// What a machine's disks held when it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shot(pub(crate) Vec<DiskShot>);

/// A disk ready to be captured.
#[derive(Clone)]
pub(crate) struct Ready {
    pub(crate) name: String,
    pub(crate) volume: Arc<SimVolume>,
    pub(crate) used: Vec<Range<u64>>,
    pub(crate) excluded: Vec<Range<u64>>,
}

impl Disk {
    /// A disk of `size` bytes that is never larger than `most`.
    pub(crate) fn new(name: &str, size: u64, most: u64) -> Disk {
        Disk {
            name: name.to_owned(),
            volume: Arc::new(SimVolume::new(size)),
            image: vec![0; size as usize],
            unreadable: Vec::new(),
            most,
            marks: BTreeSet::new(),
            written: BTreeSet::new(),
            resized: false,
        }
    }

    /// A disk that holds these bytes.
    pub(crate) fn holding(name: &str, image: &[u8], most: u64) -> Result<Disk, Violation> {
        let mut disk = Disk::new(name, image.len() as u64, most);
        disk.write(0, image)?;
        Ok(disk)
    }

    fn pages(&self) -> u64 {
        (self.image.len() as u64).div_ceil(PAGE)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Violation> {
        self.volume.write_at(at, bytes).map_err(|e| Violation(format!("a simulated disk failed: {e}")))?;
        self.image[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        self.mark(&(at..at + bytes.len() as u64));
        Ok(())
    }

    fn zero(&mut self, range: Range<u64>) -> Result<(), Violation> {
        let outcome = self.volume.zero(range.start, range.end - range.start);
        outcome.map_err(|e| Violation(format!("a simulated disk failed: {e}")))?;
        self.image[range.start as usize..range.end as usize].fill(0);
        self.mark(&range);
        Ok(())
    }

    fn mark(&mut self, range: &Range<u64>) {
        let pages = range.start / PAGE..range.end.div_ceil(PAGE);
        self.marks.extend(pages.clone());
        self.written.extend(pages);
    }

    fn resize(&mut self, size: u64) {
        self.volume.resize(size);
        self.image.resize(size as usize, 0);
        self.resized = true;
    }

    /// A run of at most `most` pages, as bytes, that ends with the disk at the latest.
    fn some_pages(&self, dice: &mut Dice, most: u64) -> Range<u64> {
        let first = dice.below(self.pages());
        let last = first + 1 + dice.below(most);
        first * PAGE..(last * PAGE).min(self.image.len() as u64)
    }

    /// Changes something; `other`: bytes that are somewhere else too. Says what was done.
    pub(crate) fn scribble(&mut self, dice: &mut Dice, other: &[u8]) -> Result<String, Violation> {
        let what = dice.below(20);
        self.change(what, dice, other)
    }

    /// As [`Disk::scribble`], but its size stays, and all of it can be read.
    pub(crate) fn write_something(&mut self, dice: &mut Dice, other: &[u8]) -> Result<String, Violation> {
        let what = dice.below(17);
        self.change(what, dice, other)
    }

    fn change(&mut self, what: u64, dice: &mut Dice, other: &[u8]) -> Result<String, Violation> {
        Ok(match what {
            0..9 => {
                let range = self.some_pages(dice, 4);
                self.write_noise(dice, &range)?;
                format!("{} noise in {range:?}", self.name)
            }
            9..11 => {
                let range = self.some_pages(dice, self.pages());
                self.write_noise(dice, &range)?;
                format!("{} noise in {range:?}", self.name)
            }
            11..13 => {
                let at = dice.below(self.image.len() as u64);
                let len = (1 + dice.below(700)).min(self.image.len() as u64 - at);
                self.write_noise(dice, &(at..at + len))?;
                format!("{} {len} bytes at {at}", self.name)
            }
            13 => {
                let range = self.some_pages(dice, 16);
                self.zero(range.clone())?;
                format!("{} zeros in {range:?}", self.name)
            }
            14..17 => {
                let range = self.some_pages(dice, 40);
                // Where it lies, or elsewhere.
                let from =
                    if dice.below(2) == 0 { range.start } else { dice.below(other.len() as u64 / PAGE + 1) * PAGE };
                let bytes: Vec<u8> =
                    other.iter().skip(from as usize).copied().take((range.end - range.start) as usize).collect();
                self.write(range.start, &bytes)?;
                format!("{} {} bytes at {}, as elsewhere at {from}", self.name, bytes.len(), range.start)
            }
            17 => {
                let size = 512 * (1 + dice.below(self.most / 512));
                self.resize(size);
                format!("{} now has {size} bytes", self.name)
            }
            18 => {
                let start = dice.below(self.image.len() as u64);
                let range = start..start + 1 + dice.below(3 * PAGE);
                self.volume.make_unreadable(range.clone());
                self.unreadable.push(range.clone());
                format!("{} unreadable in {range:?}", self.name)
            }
            _ => {
                self.volume.mend();
                self.unreadable.clear();
                format!("{} mended", self.name)
            }
        })
    }

    fn write_noise(&mut self, dice: &mut Dice, range: &Range<u64>) -> Result<(), Violation> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        dice.fill(&mut bytes);
        self.write(range.start, &bytes)
    }

    /// Its bytes now.
    pub(crate) fn image(&self) -> &[u8] {
        &self.image
    }

    /// A capture of it as it is: what to capture, and what is to come back.
    pub(crate) fn ready(&self, dice: &mut Dice) -> Result<(Ready, DiskShot), Violation> {
        let size = self.image.len() as u64;
        let whole = std::iter::once(0..size).collect::<Vec<_>>();
        let used = if dice.below(6) == 0 { vec![self.some_pages(dice, self.pages())] } else { whole };
        let excluded = if dice.below(8) == 0 { vec![self.whole_pages(dice)] } else { Vec::new() };
        let excluded: Vec<Range<u64>> = excluded.into_iter().filter(|r| r.start < r.end).collect();
        let mut shot = DiskShot { name: self.name.clone(), bytes: self.image.clone(), unreadable: BTreeSet::new() };
        let cannot_be_read = self.bad_pages()?;
        for number in 0..self.pages() {
            let page = number * PAGE..((number + 1) * PAGE).min(size);
            let wanted = touch(&used, &page) && !touch(&excluded, &page);
            let bad = wanted && cannot_be_read.contains(&number);
            if bad {
                shot.unreadable.insert(number);
            }
            if bad || !wanted {
                shot.bytes[page.start as usize..page.end as usize].fill(0);
            }
        }
        let ready = Ready { name: self.name.clone(), volume: self.volume.clone(), used, excluded };
        Ok((ready, shot))
    }

    /// Pages that cannot be read; holes always can.
    pub(crate) fn bad_pages(&self) -> Result<BTreeSet<u64>, Violation> {
        let size = self.image.len() as u64;
        let holds = self.volume.spans(0, size).map_err(|e| Violation(format!("a simulated disk failed: {e}")))?;
        let is_data =
            |at: u64| holds.iter().any(|s| s.content == Content::Data && (s.offset..s.offset + s.len).contains(&at));
        let page = |number: u64| number * PAGE..((number + 1) * PAGE).min(size);
        let bad = |number: &u64| is_data(number * PAGE) && touch(&self.unreadable, &page(*number));
        Ok((0..self.pages()).filter(bad).collect())
    }

    /// A run of pages that are whole.
    fn whole_pages(&self, dice: &mut Dice) -> Range<u64> {
        let range = self.some_pages(dice, 8);
        range.start..range.end / PAGE * PAGE
    }
}

fn touch(ranges: &[Range<u64>], page: &Range<u64>) -> bool {
    ranges.iter().any(|r| r.start < page.end && page.start < r.end)
}
