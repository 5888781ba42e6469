//! What `--exclude` leaves out of disks that are followed.
//!
//! ```text
//!   freeze; read what changed, ─▶ the image ─▶ look the choices ─▶ all that it lacks is ─▶ the point, without what
//!   but for what was                            up in the image     left out, or free       is newly left out
//!   left out before                                                  │ not all
//!        ▲                                                           ▼
//!        └────────────────────────────────────────────── that is read, too
//! ```
//!
//! Files move while they are looked up, and what is looked up while disks are written is of no instant. So the choices are looked
//! up in the *image*: the newest point with all that the passes of an attempt found laid over it, read from the store. It is of the
//! instant of the freeze, cannot change, and lacks only pages that were left out before. A point is made of it only if each
//! page that it lacks belongs to a file that is left out in that very image, or to nothing. A file that was moved out has pages
//! that it lacks; they are read, whether they changed or not, and the disks are frozen again: the next image has them.
//!
//! Metadata is never left out, but it may come to lie where a file was that is left out. Then the image lacks it, and what needs it
//! cannot be read, which shows as a doubt. Such pages were written since; so those that were passed over in this attempt
//! are read, and it is tried again. If doubts remain nothing is left out of what is doubted, as in a comparison.
//!
//! A vault that is open here looks into the image here; of points that go to a server the server does, for it has the image, and says
//! which pages are left out or lacking, and nothing else of what is in it.
//!
//! It costs a look at all files that might be left out, in the store, for each point, and an entry of the ledger more: with a
//! name such as `*.iso`, which may be anywhere, some 0.15 s for 200,000 files in 400 folders (ext4), and in proportion. What is
//! newly left out was read and stored by then; it goes when space is reclaimed.
//!
//! Never knows: how marks are taken, or file systems frozen.
//! Invariant: `skips` is inside `lacks`, and `lacks` is inside what the timeline's end says is left out, nearly always all of it.

use std::collections::BTreeSet;
use std::ops::Range;

use backstay_format::rows::Exclusion;
use backstay_items::exclude::Rule;
use backstay_recover::left_out::Found;
use backstay_timeline::pages::{outside, union};
use backstay_vault::protect::{Boundary, Changed};

use super::disks::LiveDisk;
use crate::target::{Target, Trouble};

const PAGE: u64 = 4096;

/// What is left out of a disk, in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// What the timeline lacks.
    pub(super) lacks: Vec<Range<u64>>,
    /// Of that, what is passed over if it changes.
    pub(super) skips: Vec<Range<u64>>,
    /// What was passed over since it was looked up; in any order.
    pub(super) skipped: Vec<Range<u64>>,
}

/// What follows from an image.
pub(super) enum Judged {
    /// It may become a point.
    Fit(Fit),
    /// For each disk, pages that must be read, too.
    Lacking(Vec<Vec<Range<u64>>>),
}

/// An image that may become a point.
pub(super) struct Fit {
    /// What the point will lack.
    pub(super) left_out: Vec<LeftOut>,
    /// For each disk, pages that are newly left out.
    pub(super) fresh: Vec<Vec<Range<u64>>>,
    /// For each disk, what the point tells.
    pub(super) exclusions: Vec<Vec<Exclusion>>,
    /// For people: where less is left out than might be, and choices that name nothing.
    pub(super) notes: Vec<String>,
}

impl LeftOut {
    /// What the timeline lacks of each disk where it ends.
    pub(super) fn at(target: &dyn Target, from: &Boundary) -> Result<Vec<LeftOut>, Trouble> {
        let left_out = |lacks: Vec<Range<u64>>| {
            let lacks = union(lacks);
            LeftOut { skips: lacks.clone(), lacks, skipped: Vec::new() }
        };
        match from.disks.iter().all(|disk| disk.excluded == 0) {
            true => Ok(vec![LeftOut::default(); from.disks.len()]),
            false => Ok(target.lacks(from)?.into_iter().map(left_out).collect()),
        }
    }

    /// These pages are read next, whether they change or not.
    pub(super) fn want(&mut self, pages: &[Range<u64>]) {
        self.skips = outside(&self.skips, pages);
        self.skipped = outside(&union(self.skipped.drain(..)), pages);
    }
}

/// Judges an image by what the choices come to in it. Doubts that are known already come from elsewhere than from what was
/// passed over.
pub(super) fn judge(found: Vec<Found>, (choices, known): (&[Rule], &BTreeSet<String>), left_out: &[LeftOut]) -> Judged {
    let lacking = |(found, left): (&Found, &LeftOut)| match found.doubts.iter().all(|doubt| known.contains(doubt)) {
        false if !left.skipped.is_empty() => union(left.skipped.iter().cloned()),
        _ => found.lacking.clone(),
    };
    let wanted: Vec<_> = found.iter().zip(left_out).map(lacking).collect();
    match wanted.iter().all(Vec::is_empty) {
        true => Judged::Fit(fit(found, choices, left_out)),
        false => Judged::Lacking(wanted),
    }
}

fn fit(found: Vec<Found>, choices: &[Rule], left_out: &[LeftOut]) -> Fit {
    let mut fit = Fit { left_out: Vec::new(), fresh: Vec::new(), exclusions: Vec::new(), notes: Vec::new() };
    let mut met = BTreeSet::new();
    for (found, left) in found.into_iter().zip(left_out) {
        fit.fresh.push(outside(&found.excluded, &left.lacks));
        let lacks = union(left.lacks.iter().chain(&found.excluded).cloned());
        fit.left_out.push(LeftOut { lacks, skips: found.excluded, skipped: Vec::new() });
        fit.exclusions.push(found.exclusions);
        fit.notes.extend(found.doubts);
        met.extend(found.met);
    }
    let idle = choices.iter().enumerate().filter(|(index, _)| !met.contains(index));
    fit.notes.extend(idle.map(|(_, choice)| format!("--exclude {} names no file now", choice.text)));
    fit
}

/// Pages that are taken off, for a pass of its own. None of them is read.
pub(super) fn taken_off<'d>(disks: &'d [LiveDisk], fresh: &[Vec<Range<u64>>]) -> Vec<Changed<'d>> {
    let all = disks.iter().zip(fresh).enumerate().filter(|(_, (_, pages))| !pages.is_empty());
    let one = |(index, (disk, pages)): (usize, (&'d LiveDisk, &Vec<Range<u64>>))| Changed {
        disk: index,
        volume: &disk.device,
        pages: pages.clone(),
        excluded: pages.iter().map(|r| r.start * PAGE..r.end * PAGE).collect(),
    };
    all.map(one).collect()
}
