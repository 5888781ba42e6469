//! Judges a point by programs that nobody here wrote, and by what the loads can swear to.
//!
//! Never knows: how the point was made.

use std::path::{Path, PathBuf};

use crate::fail::{During, Fail, Result};
use crate::load::{Mounted, Witness};
use crate::product::{Point, Product};
use crate::tools::run;
use crate::world::disk::{Loop, Mount, sparse};
use crate::world::plan::{Plan, Use};

/// Every so many points, the whole disk is written anew; in between only what differs from the one before.
const WHOLE: u64 = 5;

/// Judges points one after the other, on the same files.
pub(crate) struct Judge<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) product: &'a Product,
    /// Names of the disks in the machine.
    pub(crate) disks: Vec<String>,
    /// Where points are restored to.
    pub(crate) folder: PathBuf,
}

/// The restored disks of a point. Dropped in this order.
struct Restored {
    mounts: Vec<Mount>,
    disks: Vec<Loop>,
}

impl Judge<'_> {
    /// Where a disk is restored to.
    pub(crate) fn image(&self, disk: usize) -> PathBuf {
        self.folder.join(format!("restored{disk}"))
    }

    /// Restores all disks of a point.
    ///
    /// # Errors
    /// The program fails.
    pub(crate) fn restore(&self, point: &Point, whole: bool) -> Result<()> {
        for (number, name) in self.disks.iter().enumerate() {
            let image = self.image(number);
            if whole || !image.exists() {
                drop(std::fs::remove_file(&image)); // there may be none
                sparse(&image, self.plan.disks[number])?;
                self.product.restore(point, name, &image, &[])?;
            } else {
                self.product.restore(point, name, &image, &["--delta"])?;
            }
        }
        Ok(())
    }

    /// Restores a point and asks everybody. Counts who agreed.
    ///
    /// # Errors
    /// The first who did not.
    pub(crate) fn point(
        &self,
        point: &Point,
        witnesses: &mut [Box<dyn Witness>],
        mut agreed: impl FnMut(&'static str),
    ) -> Result<()> {
        let whole = point.number % WHOLE == 1 || !self.image(0).exists();
        self.restore(point, whole)?;
        agreed(if whole { "restored whole" } else { "restored by differences" });
        let restored = self.look(&mut agreed)?;
        let folders = restored.mounts.iter().map(|mount| mount.folder().to_owned()).collect();
        let mounted = Mounted::new(folders, self.folder.clone(), self.loose(&restored));
        for witness in witnesses {
            if witness.judge(point.at, &mounted).during(witness.name())? {
                agreed(witness.name());
            }
        }
        Ok(())
    }

    /// The file systems' own checkers; then they are mounted.
    fn look(&self, agreed: &mut impl FnMut(&'static str)) -> Result<Restored> {
        let mut restored = Restored { mounts: Vec::new(), disks: Vec::new() };
        for number in 0..self.disks.len() {
            let disk = Loop::attach(&self.image(number), self.plan.sector, false)?;
            if !self.plan.parts.is_empty() {
                disk.show_partitions()?;
            }
            restored.disks.push(disk);
        }
        for (number, place) in self.plan.volumes.iter().enumerate() {
            let device = restored.disks[place.disk].part(place.part);
            let folder = self.folder.join(format!("look{number}"));
            let mount = || Mount::new(&device, &folder, place.kind.options());
            if place.kind.replays_by_mount() {
                mount().during("replaying the log")?.unmount()?;
            }
            place.kind.judge(&device).during(format!("{} of file system {number}", place.kind.name()))?;
            agreed(place.kind.name());
            restored.mounts.push(mount()?);
        }
        Ok(restored)
    }

    fn loose(&self, restored: &Restored) -> Option<PathBuf> {
        let part = self.plan.uses.iter().find_map(|used| match used {
            Use::Scratch(part) => Some(*part),
            _ => None,
        })?;
        restored.disks.first().map(|disk| disk.part(part))
    }

    /// Whether a point and the disks, to which nobody writes any more, are the same, byte for byte. Swap is not kept.
    ///
    /// # Errors
    /// They are not.
    pub(crate) fn same(&self, point: &Point, disks: &[Loop]) -> Result<()> {
        self.restore(point, true)?;
        for (number, disk) in disks.iter().enumerate() {
            run("blockdev", ["--flushbufs", crate::tools::text(disk.path())])?;
            let swapped = self.swapped();
            let differs = differing(disk.path(), &self.image(number), |page| !swapped.contains(&page))?;
            if let Some((page, count)) = differs {
                let told =
                    format!("{count} pages of disk {number} differ from the point, the first at {}", page * 4096);
                return Err(Fail::new(told));
            }
        }
        Ok(())
    }

    /// Whether a point and the disks as they were amid its freeze are the same, byte for byte, wherever file systems were held still.
    ///
    /// # Errors
    /// They are not.
    pub(crate) fn same_as(&self, point: &Point, copies: &[PathBuf]) -> Result<()> {
        self.restore(point, true)?;
        for (number, copy) in copies.iter().enumerate() {
            let places = self.plan.volumes.iter().filter(|place| place.disk == number);
            let held: Vec<_> = places.map(|place| self.pages_of(place.part)).collect();
            let is_held = |page| held.iter().any(|pages| pages.contains(&page));
            if let Some((page, count)) = differing(copy, &self.image(number), is_held)? {
                let at = page * 4096;
                let told = format!("{count} pages of disk {number} were not so in the freeze, the first at {at}");
                return Err(Fail::new(told));
            }
        }
        Ok(())
    }

    /// Pages of a partition of a disk; 0 is the whole disk.
    fn pages_of(&self, part: u32) -> std::ops::Range<u64> {
        let Some(at) = self.plan.parts.iter().position(|known| known.number == part) else { return 0..u64::MAX };
        let before: u64 = self.plan.parts[..at].iter().map(|part| part.mib).sum();
        // Partitions begin at the first MiB, one after the other.
        (1 + before) << 8..(1 + before + self.plan.parts[at].mib) << 8
    }

    /// Pages of the first disk that are swapped to.
    fn swapped(&self) -> std::ops::Range<u64> {
        let swap = self.plan.parts.iter().find(|part| part.code == crate::world::plan::SWAP);
        let pages = swap.map_or(0..0, |part| self.pages_of(part.number));
        // The first page of swap is kept.
        (pages.start + 1).min(pages.end)..pages.end
    }
}

/// The first of the pages that count that differs, and how many do.
fn differing(one: &Path, other: &Path, counts: impl Fn(u64) -> bool) -> Result<Option<(u64, u64)>> {
    use std::io::Read as _;
    let open = |path: &Path| std::fs::File::open(path).during(path.display());
    let (mut one, mut other) = (open(one)?, open(other)?);
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let (mut found, mut page) = (None, 0);
    loop {
        let read = one.read(&mut a).during("reading a disk")?;
        if read == 0 {
            return Ok(found);
        }
        other.read_exact(&mut b[..read]).during("reading a restored disk")?;
        for (one, other) in a[..read].chunks(4096).zip(b[..read].chunks(4096)) {
            if one != other && counts(page) {
                found = found.map_or(Some((page, 1)), |(first, count)| Some((first, count + 1)));
            }
            page += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_differs_is_found_where_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // Longer than what is read at once.
        let mut bytes = vec![1_u8; 3 << 20];
        std::fs::write(path("one"), &bytes).unwrap();
        bytes[5 * 4096 + 7] ^= 1;
        bytes[600 * 4096 + 4095] ^= 1;
        std::fs::write(path("other"), &bytes).unwrap();
        let found = |counts: &dyn Fn(u64) -> bool| differing(&path("one"), &path("other"), counts).unwrap();
        assert_eq!(found(&|_| true), Some((5, 2)));
        assert_eq!(found(&|page| page > 5), Some((600, 1)));
        assert_eq!(found(&|page| page != 5 && page != 600), None);
    }
}
