//! What rules come to in an image of a disk: which pages are left out, and which the image lacks though they are not.
//!
//! Guarantee: a page that the image lacks is in the answer unless it belongs to a file that is left out in that very image, or to
//! nothing. Where the image is doubted, or looking takes more than it may, less is left out.
//! Never knows: who chose, or what becomes of the answer.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backstay_env::volume::{Span, Volume};
use backstay_format::rows::Exclusion;
use backstay_format::units::PAGE_SIZE;
use backstay_items::disk::allocated;
use backstay_items::exclude::{Resolved, Rule, resolve};
use backstay_timeline::pages::{inside, outside, union};
use backstay_vault::disk::PointDisk;

use crate::kept;

const PAGE: u64 = PAGE_SIZE as u64;

/// What an image says of a disk, in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Of files that are left out, and of nothing else.
    pub excluded: Vec<Range<u64>>,
    /// Lacked by the image, in use, and not left out.
    pub lacking: Vec<Range<u64>>,
    /// For the point to tell.
    pub exclusions: Vec<Exclusion>,
    /// Rules that name something, by their places in the list.
    pub met: Vec<usize>,
    /// Where less is left out than might be, for people.
    pub doubts: Vec<String>,
}

/// How much may be looked at, by all who share it.
pub struct Budget {
    bytes: AtomicU64,
    until: Option<Instant>,
}

impl Budget {
    /// So many bytes, for so long from now on.
    pub fn new(bytes: u64, patience: Duration) -> Budget {
        Budget { bytes: AtomicU64::new(bytes), until: Some(Instant::now() + patience) }
    }

    /// All there is.
    pub fn endless() -> Budget {
        Budget { bytes: AtomicU64::new(u64::MAX), until: None }
    }

    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() > until)
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let left = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        let spent = left.is_err() || self.is_late();
        if spent { Err(io::Error::other("there is more to look at than may be")) } else { Ok(()) }
    }
}

/// Looks rules up in an image that lacks some pages by choice. If `stop` is set from outside it ends early, with an answer that is of no
/// use.
pub fn look_up(
    disk: Arc<PointDisk>,
    (rules, lacks): (&[Rule], &[Range<u64>]),
    (budget, stop): (&Arc<Budget>, &AtomicBool),
) -> Found {
    let name = disk.info().name.clone();
    look_up_in((&name, kept::without_left_out(disk)), (rules, lacks), (budget, stop))
}

fn look_up_in(
    (name, volume): (&str, Arc<dyn Volume>),
    (rules, lacks): (&[Rule], &[Range<u64>]),
    (budget, stop): (&Arc<Budget>, &AtomicBool),
) -> Found {
    let volume: Arc<dyn Volume> = Arc::new(Within { volume, budget: budget.clone() });
    let on_it = allocated(&*volume);
    let mut resolved =
        resolve(rules, (name, &volume), &on_it.parts, &|| stop.load(Ordering::Relaxed) || budget.is_late());
    if budget.is_late() {
        resolved = Resolved::default();
        resolved.found.doubts.push("looking took too long".to_owned());
    }
    let doubts = resolved.found.doubts.iter();
    let doubts = doubts.map(|why| format!("--exclude leaves out less than it might on {name}, {why}")).collect();
    let excluded = union(resolved.found.ranges.iter().map(|r| r.start.div_ceil(PAGE)..r.end / PAGE));
    let used = union(on_it.used.iter().map(|r| r.start / PAGE..r.end.div_ceil(PAGE)));
    let lacking = outside(&inside(lacks, &used), &excluded);
    Found { excluded, lacking, exclusions: resolved.exclusions, met: resolved.met, doubts }
}

/// A volume of which no more is read than may be.
struct Within {
    volume: Arc<dyn Volume>,
    budget: Arc<Budget>,
}

impl Volume for Within {
    fn size(&self) -> u64 {
        self.volume.size()
    }

    fn sector_size(&self) -> u32 {
        self.volume.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        // A page is opened for each read, however short.
        self.budget.take((buf.len() as u64).max(PAGE / 8))?;
        self.volume.read_at(offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        self.volume.spans(offset, len)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::process::Command;

    use super::*;

    /// Where looking takes more than it may, nothing is left out, and what is lacking must be read.
    #[test]
    fn who_looks_for_too_long_leaves_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let (image, tree) = (dir.path().join("image"), dir.path().join("tree"));
        fs::create_dir_all(tree.join("cache")).unwrap();
        fs::write(tree.join("cache/big"), vec![7; 1 << 20]).unwrap();
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-b", "4096", "-d"]).args([&tree, &image]).status().unwrap();
        assert!(made.success());
        let rules = ["/cache".parse::<Rule>().unwrap()];
        let look = |lacks: &[Range<u64>], budget| {
            let volume = Arc::new(fs::read(&image).unwrap());
            look_up_in(("sda", volume), (&rules, lacks), (&Arc::new(budget), &AtomicBool::new(false)))
        };
        let all = look(&[], Budget::endless());
        assert_eq!(all.excluded.iter().map(|r| r.end - r.start).sum::<u64>(), 256);
        assert_eq!((&all.exclusions[0].rule[..], all.exclusions[0].bytes), ("/cache", 1 << 20));
        assert!(all.doubts.is_empty() && look(&all.excluded, Budget::endless()).lacking.is_empty());
        for budget in [Budget::new(u64::MAX, Duration::ZERO), Budget::new(64 << 10, Duration::from_secs(3600))] {
            let some = look(&all.excluded, budget);
            assert!(some.excluded.is_empty() && some.exclusions.is_empty() && !some.doubts.is_empty(), "{some:?}");
            assert_eq!(some.lacking, all.excluded);
        }
    }
}
