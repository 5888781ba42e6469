//! What a timeline lacks by choice.
//!
//! Never knows: who chose, or why.

use std::ops::Range;

use backstay_format::units::pages_in;
use backstay_timeline::extent::{Content, Extent};
use backstay_timeline::pages::{outside, union};

use crate::disk::PointDisk;
use crate::protect::Boundary;
use crate::{Vault, VaultError};

/// Pages of which the extents are looked at together: a map may be larger than what is looked for in it.
const WINDOW: u64 = 1 << 18;

impl Vault {
    /// For each disk of a boundary the pages that the timeline lacks by choice there, in order. Of a disk on which they are in more than
    /// `most` pieces, all behind these counts as lacking.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn lacks(&self, from: &Boundary, most: usize) -> Result<Vec<Vec<Range<u64>>>, VaultError> {
        match from.disks.iter().all(|disk| disk.excluded == 0) {
            true => Ok(vec![Vec::new(); from.disks.len()]),
            false => self.disks_where(from)?.iter().map(|disk| of_disk(disk, most)).collect(),
        }
    }
}

fn of_disk(disk: &PointDisk, most: usize) -> Result<Vec<Range<u64>>, VaultError> {
    let end = pages_in(disk.info().size);
    let mut lacks: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < end && disk.info().excluded > 0 {
        let next = end.min(at + WINDOW);
        for pages in excluded(&disk.extents(at..next)?) {
            let full = lacks.len() >= most;
            match lacks.last_mut() {
                Some(last) if last.end == pages.start => last.end = pages.end,
                _ if full => {
                    lacks.push(pages.start..end);
                    return Ok(lacks);
                }
                _ => lacks.push(pages),
            }
        }
        at = next;
    }
    Ok(lacks)
}

fn excluded(extents: &[Extent]) -> impl Iterator<Item = Range<u64>> {
    extents.iter().filter(|e| e.content == Content::Excluded).map(|e| e.page.0..e.end().0)
}

/// What is lacking once extents of one disk, in order, are laid over what lacked these pages.
pub(crate) fn under(lacks: &[Range<u64>], over: &[Extent]) -> Vec<Range<u64>> {
    let covered = union(over.iter().map(|e| e.page.0..e.end().0));
    union(outside(lacks, &covered).into_iter().chain(excluded(over)))
}

#[cfg(test)]
mod tests {
    use backstay_format::units::{DiskNo, PageNo};

    use super::*;

    #[test]
    fn what_is_kept_is_not_lacking_and_what_is_left_out_is() {
        let extent = |from: u64, pages: u64, content| Extent { disk: DiskNo(1), page: PageNo(from), pages, content };
        let over = [extent(2, 4, Content::Zero), extent(6, 2, Content::Excluded), extent(20, 1, Content::Excluded)];
        assert_eq!(under(&[0..4, 5..7, 10..12], &over), [0..2, 6..8, 10..12, 20..21]);
        assert_eq!(under(&[], &[]), []);
    }
}
