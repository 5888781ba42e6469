//! A vault that is open here.
//!
//! Never knows: servers.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_format::rows::gap::SuspensionRow;
use backstay_items::exclude::Rule;
use backstay_recover::left_out::{Budget, Found, look_up};
use backstay_vault::protect::{Boundary, Capture, Changed, Following, InMaking, Made, Told};
use backstay_vault::{Vault, VaultError};

use super::{InTheMaking, Target, Trouble};

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
        Ok(Vault::lacks(self, from, usize::MAX)?)
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

    fn absent(&mut self, disk: usize, pages: Vec<Range<u64>>) -> Result<(), Trouble> {
        Following::absent(self, &[(disk, pages)]);
        Ok(())
    }

    fn look_up(
        &mut self,
        (rules, lacks): (&[Rule], &[&[Range<u64>]]),
        cancel: &AtomicBool,
    ) -> Result<Vec<Found>, Trouble> {
        let budget = Arc::new(Budget::endless());
        let mut found = Vec::new();
        for (disk, lacks) in self.image()?.into_iter().zip(lacks) {
            found.push(look_up(Arc::new(disk), (rules, lacks), (&budget, cancel)));
            if cancel.load(Ordering::Relaxed) {
                return Err(VaultError::Cancelled.into());
            }
        }
        Ok(found)
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
