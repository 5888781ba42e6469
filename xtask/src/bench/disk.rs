//! The rounds on the disk image: every contender in turn, on the same data, each in a fresh folder.
//!
//! Never knows: what a good figure is.

use std::fs;
use std::path::Path;

use super::data::{Data, copy_sparse};
use super::measure::{Sample, settle, stored, timed};
use super::peers::{Contender, Place};
use crate::fail::{During, Fail, Result};
use crate::run;

/// How far a round goes. Each step needs the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The first protect.
    First,
    /// Also the protect after the change.
    Change,
    /// Also the restores.
    Restore,
}

/// What one contender showed in one round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// The first protect.
    pub(super) first: Sample,
    /// Bytes stored after it.
    pub(super) stored: u64,
    /// The protect after the change.
    pub(super) change: Option<Sample>,
    /// Bytes stored more after that.
    pub(super) growth: Option<u64>,
    /// The whole restore of the newest state.
    pub(super) restore: Option<Sample>,
    /// From a copy of the changed disk back to the first state, in place.
    pub(super) delta: Option<Sample>,
}

impl Outcome {
    /// The largest memory of all the steps.
    pub(super) fn peak(&self) -> u64 {
        let rest = [self.change, self.restore, self.delta];
        rest.iter().flatten().map(|sample| sample.peak).fold(self.first.peak, u64::max)
    }
}

/// All rounds of one contender.
pub(super) struct Rounds {
    /// As in the tables.
    pub(super) name: &'static str,
    /// What it said to `--version`.
    pub(super) version: String,
    /// Shows what compression costs; no peer.
    pub(super) yardstick: bool,
    /// One entry for each round.
    pub(super) outcomes: Vec<Outcome>,
}

/// Runs all the rounds. Who begins changes from round to round.
/// # Errors
/// A contender fails, or does not give back what it was given.
pub(super) fn rounds(
    contenders: &[Box<dyn Contender>],
    data: &Data,
    depth: Depth,
    rounds: usize,
) -> Result<Vec<Rounds>> {
    let mut all = Vec::new();
    for contender in contenders {
        let said = run::text(&mut contender.version())?;
        let version = said.lines().next().unwrap_or_default().trim().to_owned();
        all.push(Rounds { name: contender.name(), version, yardstick: contender.is_yardstick(), outcomes: Vec::new() });
    }
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let which = (round + turn) % contenders.len();
            let outcome = one(contenders[which].as_ref(), data, depth)?;
            println!("round {}: {:<12} {}", round + 1, contenders[which].name(), line(&outcome));
            all[which].outcomes.push(outcome);
        }
    }
    Ok(all)
}

fn line(outcome: &Outcome) -> String {
    let seconds = |name: &str, sample: Option<Sample>| match sample {
        Some(sample) => format!("  {name} {:.2} s", sample.wall.as_secs_f64()),
        None => String::new(),
    };
    format!(
        "first {:.2} s{}{}{}  stored {} MiB  peak {} MiB",
        outcome.first.wall.as_secs_f64(),
        seconds("change", outcome.change),
        seconds("restore", outcome.restore),
        seconds("delta", outcome.delta),
        outcome.stored >> 20,
        outcome.peak() >> 20,
    )
}

fn one(contender: &dyn Contender, data: &Data, depth: Depth) -> Result<Outcome> {
    let dir = run::keep("bench").join("round");
    remove(&dir)?;
    let place = Place::below(&dir);
    fs::create_dir_all(&place.home).during(place.home.display())?;
    let outcome = steps(contender, data, depth, &place)?;
    remove(&dir)?;
    Ok(outcome)
}

fn steps(contender: &dyn Contender, data: &Data, depth: Depth, place: &Place) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    put_image(&data.before, place)?;
    if let Some(mut init) = contender.init(place) {
        run::output(&mut init)?;
    }
    settle(&place.image)?;
    outcome.first = timed(&contender.protect(place))?;
    outcome.stored = stored(&place.store)?;
    let mut newest = &data.before;
    if depth >= Depth::Change && !contender.is_yardstick() {
        put_image(&data.after, place)?;
        settle(&place.image)?;
        outcome.change = Some(timed(&contender.protect(place))?);
        outcome.growth = Some(stored(&place.store)?.saturating_sub(outcome.stored));
        newest = &data.after;
    }
    if depth >= Depth::Restore {
        settle(&place.image)?;
        outcome.restore = Some(timed(&contender.restore(place))?);
        same(&contender.restored(place), newest)?;
        outcome.delta = delta(contender, data, place)?;
    }
    Ok(outcome)
}

/// The target is the protected disk itself, as it was left after the change and protected once more: it goes back to its
/// first state in place. That it is a file of its own first, so that the data for the next rounds stays whole, is not timed.
fn delta(contender: &dyn Contender, data: &Data, place: &Place) -> Result<Option<Sample>> {
    let Some(command) = contender.delta(place)? else {
        return Ok(None);
    };
    remove(&place.image)?;
    copy_sparse(&data.after, &place.image)?;
    settle(&place.image)?;
    run::output(&mut contender.protect(place))?;
    let sample = timed(&command)?;
    same(&place.image, &data.before)?;
    Ok(Some(sample))
}

/// Puts a state of the disk under the name that is protected, in no time and without a second copy in the cache.
fn put_image(state: &Path, place: &Place) -> Result<()> {
    remove(&place.image)?;
    fs::hard_link(state, &place.image).during(place.image.display())
}

fn same(found: &Path, wanted: &Path) -> Result<()> {
    run::output(run::program("cmp").args([found, wanted]))
        .map(drop)
        .map_err(|cause| Fail::new(format!("the restored image is not the one protected: {cause}")))
}

fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path).during(path.display()),
        Ok(_) => fs::remove_file(path).during(path.display()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(cause).during(path.display()),
    }
}
