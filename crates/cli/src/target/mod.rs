//! Where points go: into a vault that is open here, or to a server.
//!
//! Never knows: where the disks come from, or when points are due.

mod here;
mod server;
mod trouble;

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use backstay_format::rows::gap::SuspensionRow;
use backstay_items::exclude::Rule;
use backstay_recover::left_out::Found;
use backstay_vault::protect::{Boundary, Capture, Changed, InMaking, Made, Told};

pub(crate) use self::server::Server;
pub(crate) use self::trouble::Trouble;

/// Where points go. Used from one thread at a time, but for [`Target::suspension`].
pub(crate) trait Target: Sync {
    /// Where a machine's timeline ends, if it has points.
    fn boundary(&self, machine: &str) -> Result<Option<Boundary>, Trouble>;

    /// Makes a point by comparing disks with the timeline.
    fn protect(&self, capture: &Capture<'_>) -> Result<Made, Trouble>;

    /// As [`Target::protect`], without a point.
    fn catch_up(&self, capture: &Capture<'_>) -> Result<Boundary, Trouble>;

    /// Begins a point of what changed since a boundary.
    fn follow<'t>(&'t self, from: &Boundary) -> Result<Box<dyn InTheMaking + 't>, Trouble>;

    /// For each disk of a boundary, pages that the timeline lacks by choice; not all, should they be in very many pieces.
    fn lacks(&self, from: &Boundary) -> Result<Vec<Vec<Range<u64>>>, Trouble>;

    /// The suspension of a machine, if it is suspended. May be asked while something else is under way; it is an error then if that
    /// cannot be answered.
    fn suspension(&self, machine: &str) -> Result<Option<SuspensionRow>, Trouble>;

    /// A suspension has lasted as long as it was meant to.
    fn suspension_is_over(&self, machine: &str);

    /// No further points are promised.
    fn promise_nothing(&self, machine: &str) -> Result<(), Trouble>;

    /// Upkeep after a point.
    fn settle(&self, made: &Made) -> Result<(), Trouble>;

    /// Gives memory back that only comparing whole disks needs.
    fn rest(&self);
}

/// A point in the making. Dropped, it is none.
pub(crate) trait InTheMaking {
    /// Reads pages and stores them.
    fn pass(&mut self, changed: &[Changed<'_>], cancel: &AtomicBool) -> Result<(), Trouble>;

    /// Pages of a disk that nothing uses any more: they are absent from now on.
    fn absent(&mut self, disk: usize, pages: Vec<Range<u64>>) -> Result<(), Trouble>;

    /// What rules come to on each disk as it is by what passes found so far, if it lacks these pages by choice.
    fn look_up(&mut self, looked: (&[Rule], &[&[Range<u64>]]), cancel: &AtomicBool) -> Result<Vec<Found>, Trouble>;

    /// How many extents passes found.
    fn extents(&self) -> usize;

    /// What a point published now is known by.
    fn in_making(&self) -> Option<InMaking>;

    /// Makes the point: it is safe on `Ok`.
    fn publish(self: Box<Self>, told: Told) -> Result<Made, Trouble>;
}
