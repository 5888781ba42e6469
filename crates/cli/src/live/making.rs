//! One point of disks that are followed: what changed is read, and published; the marks are cleared.
//!
//! Never knows: when points are due.

use std::ops::Range;

use backstay_capture::marks::Pass;
use backstay_capture::point::{self, Guarded, Keep as _, Stillness};
use backstay_format::rows::Exclusion;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, Made, Told};

use super::begin::start_watchdog;
use super::disks::trusted;
use super::keeper::{EXTENTS, Keeper};
use super::left_out::{Fit, Judged, LeftOut, judge, taken_off};
use super::memory::Memory;
use super::missed::Missed;
use super::told::{told, without_swap};
use super::unused::pass_over_unused;
use super::{Live, LivePoint, State};
use crate::output::note;
use crate::target::{InTheMaking, Trouble};

/// How often disks are frozen for one point, should files move out of what is left out meanwhile.
const ROUNDS: u32 = 4;

/// What attempts read. Their marks are pending.
struct Read<'v> {
    following: Box<dyn InTheMaking + 'v>,
    still: Stillness,
    /// What the timeline will lack with it.
    left_out: Vec<LeftOut>,
}

impl<'a> Live<'a> {
    pub(super) fn try_point(&mut self, promise: Promise) -> Result<LivePoint, Missed> {
        if !self.watchdog.is_fit() {
            self.watchdog = start_watchdog().map_err(Missed::later)?;
        }
        self.settle_doubt()?;
        let pass = Pass(self.next_pass);
        self.next_pass = self.next_pass.saturating_add(1);
        let outcome = self.read_all(pass).and_then(|(read, exclusions)| {
            let (still, left_out) = (read.still, read.left_out);
            let told = Told { exclusions, ..told(self.note, &still, promise) };
            self.about_to(&*read.following);
            let in_making = read.following.in_making();
            let made = read.following.publish(told).map_err(|trouble| {
                if let Some(state) = &mut self.state {
                    state.doubt = in_making;
                }
                Missed::of(trouble)
            })?;
            Ok((LivePoint { made, still }, left_out))
        });
        let Some(state) = &mut self.state else { return Err(Missed::nothing()) };
        match outcome {
            Ok((point, left_out)) => {
                state.go_on_from(&point.made, pass, left_out);
                drop(self.place.write(&state.memory));
                Ok(point)
            }
            Err(missed) => {
                for disk in &state.disks {
                    // One that comes back twice costs a read.
                    drop(disk.marks.merge_back(pass));
                }
                Err(missed)
            }
        }
    }

    /// Finds out whether a point was made whose end nobody heard of: then the next one goes on from it. Its marks were put back, so
    /// some pages are read once more.
    fn settle_doubt(&mut self) -> Result<(), Missed> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let Some(doubt) = state.doubt else { return Ok(()) };
        let newest = self.target.boundary(self.machine).map_err(Missed::of)?;
        state.doubt = None;
        if let Some(newest) = newest.filter(|newest| newest.is(&doubt)) {
            state.go_on_at(newest);
            drop(self.place.write(&state.memory));
        }
        Ok(())
    }

    /// Reads what changed, and what was left out and no longer is. Says what is left out of each disk.
    fn read_all(&mut self, pass: Pass) -> Result<(Read<'a>, Vec<Vec<Exclusion>>), Missed> {
        let Some(state) = &mut self.state else { return Err(Missed::nothing()) };
        let left_out = match state.left_out.take() {
            Some(left_out) => left_out,
            None => LeftOut::at(self.target, &state.from).map_err(Missed::of)?,
        };
        // Until there is a point, the timeline lacks what it lacked.
        state.left_out = Some(left_out.clone());
        let nothing = vec![Vec::new(); state.disks.len()];
        let following = self.target.follow(&state.from).map_err(Missed::of)?;
        let mut read = self.read_changes((following, pass), (left_out, &nothing))?;
        if self.choices.is_empty() && read.left_out.iter().all(|disk| disk.lacks.is_empty()) {
            return Ok((read, vec![Vec::new(); nothing.len()]));
        }
        for _ in 0..ROUNDS {
            let lacks: Vec<_> = read.left_out.iter().map(|disk| &disk.lacks[..]).collect();
            let found = read.following.look_up((self.choices, &lacks), self.cancel).map_err(Missed::of)?;
            match judge(found, (self.choices, &self.told), &read.left_out) {
                Judged::Fit(fit) => return self.without(read, fit),
                Judged::Lacking(wanted) => {
                    let Read { following, left_out, .. } = read;
                    read = self.read_changes((following, pass), (left_out, &wanted))?;
                }
            }
        }
        Err(Missed::later("files moved out of what is left out faster than they could be read"))
    }

    /// Reads what changed, and what is wanted besides.
    fn read_changes(
        &mut self,
        (following, pass): (Box<dyn InTheMaking + 'a>, Pass),
        (mut left_out, wanted): (Vec<LeftOut>, &[Vec<Range<u64>>]),
    ) -> Result<Read<'a>, Missed> {
        let Some(state) = &mut self.state else { return Err(Missed::nothing()) };
        let without: Vec<_> = state.disks.iter().map(|disk| disk.without.clone()).collect();
        left_out.iter_mut().zip(wanted).for_each(|(disk, pages)| disk.want(pages));
        let (rate, cancel) = (self.rate, self.cancel);
        let mut keeper = Keeper { following, without: &without, left_out: &mut left_out, rate, cancel };
        if !self.all_blocks {
            pass_over_unused((&state.disks, pass), &mut keeper, (&mut self.watchdog, self.settings.limits))?;
        }
        for (index, (disk, pages)) in state.disks.iter().zip(wanted).enumerate() {
            keeper.pass(index, &disk.device, pages.clone()).map_err(Missed::of)?;
        }
        let disks: Vec<point::Disk<'_>> = state
            .disks
            .iter()
            .map(|disk| point::Disk { number: disk.number(), device: &disk.device, marks: &disk.marks })
            .collect();
        let guarded =
            Guarded { watchdog: &mut self.watchdog, residue: &mut self.residue, memory: &mut self.memory_lock };
        let still = point::attempt(&disks, pass, guarded, (&mut keeper, &mut self.applications), self.settings);
        let following = keeper.following;
        let still = without_swap(still.map_err(Missed::of_attempt)?, &without);
        match trusted(&self.tracker, &state.disks) {
            Ok(()) if following.extents() as u64 <= EXTENTS => Ok(Read { following, still, left_out }),
            Ok(()) => Err(Missed::of(Trouble::TooMuch)),
            Err(why) => Err(Missed::Rescan(why)),
        }
    }

    /// Takes off what is newly left out.
    fn without(&mut self, mut read: Read<'a>, fit: Fit) -> Result<(Read<'a>, Vec<Vec<Exclusion>>), Missed> {
        let Fit { left_out, fresh, exclusions, notes } = fit;
        for note in notes {
            if self.told.insert(note.clone()) {
                note!("note: {note}");
            }
        }
        let Some(state) = &self.state else { return Err(Missed::nothing()) };
        let off = taken_off(&state.disks, &fresh);
        if !off.is_empty() {
            read.following.pass(&off, self.cancel).map_err(Missed::of)?;
        }
        Ok((Read { left_out, ..read }, exclusions))
    }

    /// Remembers that the timeline is about to end at another number. Unwritten, a restart of this program costs a rescan.
    fn about_to(&self, following: &dyn InTheMaking) {
        if let (Some(state), Some(next)) = (&self.state, following.in_making()) {
            drop(self.place.write(&state.memory.about_to(next)));
        }
    }
}

impl State {
    /// The point is published: its marks are cleared, and what changes from now on is relative to it.
    fn go_on_from(&mut self, made: &Made, pass: Pass, left_out: Vec<LeftOut>) {
        for disk in &self.disks {
            if let Err(error) = disk.committed(pass) {
                note!("note: {}: marks could not be cleared, their pages will be read again: {error}", disk.name);
            }
        }
        self.go_on_at(made.boundary());
        self.left_out = Some(left_out);
    }

    /// What changes from now on is relative to this.
    fn go_on_at(&mut self, boundary: Boundary) {
        let ordered = self.disks.iter().filter_map(|disk| boundary.disks.iter().find(|at| at.name == disk.name));
        self.from = Boundary { disks: ordered.cloned().collect(), ..boundary };
        let stamps = self.disks.iter().map(|disk| (disk.name.as_str(), disk.marks.stamp()));
        self.memory = Memory::new(self.from.machine.id.0, self.from.number, stamps);
        self.left_out = None;
    }
}
