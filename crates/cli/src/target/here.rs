//! A vault that is open here.
//!
//! Never knows: servers.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use backstay_env::volume::Volume as _;
use backstay_format::rows::gap::SuspensionRow;
use backstay_timeline::extent::Content;
use backstay_vault::Vault;
use backstay_vault::disk::PointDisk;
use backstay_vault::protect::{Boundary, Capture, Changed, Following, InMaking, Made, Told};

use super::{InTheMaking, Target, Trouble};

const PAGE: u64 = 4096;

impl Target for Vault {
    fn boundary(&self, machine: &str) -> Result<Option<Boundary>, Trouble> {
        Ok(Vault::boundary(self, machine)?)
    }

    fn protect(&self, capture: &Capture<'_>) -> Result<Made, Trouble> {
        Ok(Vault::protect(self, capture)?)
    }

    fn catch_up(&self, capture: &Capture<'_>) -> Result<Boundary, Trouble> {
        Ok(Vault::catch_up(self, capture)?)
    }

    fn follow<'t>(&'t self, from: &Boundary) -> Result<Box<dyn InTheMaking + 't>, Trouble> {
        Ok(Box::new(Vault::follow(self, from)?))
    }

    fn lacks(&self, from: &Boundary) -> Result<Vec<Vec<Range<u64>>>, Trouble> {
        let lacks = |disk: &PointDisk| {
            let extents = disk.extents(0..disk.size().div_ceil(PAGE))?;
            let excluded = extents.iter().filter(|e| e.content == Content::Excluded);
            Ok(excluded.map(|e| e.page.0..e.end().0).collect())
        };
        self.disks_where(from)?.iter().map(lacks).collect()
    }

    fn suspension(&self, machine: &str) -> Result<Option<SuspensionRow>, Trouble> {
        Ok(Vault::suspension(self, machine)?)
    }

    fn suspension_is_over(&self, machine: &str) {
        // Who does not hear of it finds out as this did.
        drop(self.resume(machine));
    }

    fn promise_nothing(&self, machine: &str) -> Result<(), Trouble> {
        Ok(Vault::promise_nothing(self, machine)?)
    }

    fn settle(&self, made: &Made) -> Result<(), Trouble> {
        Ok(Vault::settle(self, made.machine.id)?)
    }

    fn rest(&self) {
        self.forget_frames();
    }
}

impl InTheMaking for Following<'_> {
    fn pass(&mut self, changed: &[Changed<'_>], cancel: &AtomicBool) -> Result<(), Trouble> {
        Ok(Following::pass(self, changed, cancel)?)
    }

    fn image(&mut self) -> Result<Vec<PointDisk>, Trouble> {
        Ok(Following::image(self)?)
    }

    fn extents(&self) -> usize {
        Following::extents(self)
    }

    fn in_making(&self) -> Option<InMaking> {
        Following::in_making(self)
    }

    fn publish(self: Box<Self>, told: Told) -> Result<Made, Trouble> {
        Ok(Following::publish(*self, told)?)
    }
}
