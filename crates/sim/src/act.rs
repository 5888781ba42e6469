//! What a simulated process does with a vault, and what became of it.
//!
//! Never knows: the model, or which faults are due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use backstay_env::sim::random::Dice;
use backstay_format::rows::Consistency;
use backstay_format::units::PointNo;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, Capture, InMaking, Progress, Source, Verdict};
use backstay_vault::upkeep::Reclaimed;
use backstay_vault::{Vault, VaultError};

use crate::disk::{Ready, Shot};
use crate::follow::{Turn, follow};
use crate::model::Effect;
use crate::pauses::Moment;

/// A machine ready to be captured.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) machine: String,
    pub(crate) disks: Vec<Ready>,
    pub(crate) shot: Arc<Shot>,
    /// Nanoseconds until the next point, as it says; 0: it does not.
    pub(crate) every: u64,
}

/// Something to do.
#[derive(Clone)]
pub(crate) enum Act {
    Protect(Prepared),
    /// Stopped before it has read anything.
    Cancelled(Prepared),
    /// A disk vanishes before it was read.
    Vanishing(Prepared),
    Forget(String, Drop),
    Settle(String),
    Consolidate(String),
    Reclaim,
    Check,
    /// No points are wanted for so many nanoseconds.
    Suspend(String, u64),
    Resume(String),
    /// A point of what changed since a boundary; `shot` is what the disks hold.
    Follow {
        machine: String,
        from: Boundary,
        turns: Vec<Turn>,
        shot: Arc<Shot>,
    },
}

/// Which points of those there are to drop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Drop {
    One(u64),
    Oldest,
    AllButNewest,
    EverySecond,
    Newest,
    All,
}

/// Where following led; `None`: it was abandoned.
pub(crate) type Outcome = Result<Option<Boundary>, VaultError>;

/// What became of an act.
pub(crate) struct Done {
    pub(crate) what: String,
    pub(crate) machine: Option<String>,
    pub(crate) effect: Option<Effect>,
    pub(crate) error: Option<VaultError>,
    pub(crate) reclaimed: Option<Reclaimed>,
    /// What a check found, if that was the act.
    pub(crate) found: Vec<String>,
    /// What was to be kept and where that led, if the act was to follow.
    pub(crate) followed: Option<(Arc<Shot>, Outcome)>,
    /// The number that a point would have got.
    pub(crate) next: Option<InMaking>,
    /// Of the point that was made, if one was.
    pub(crate) moment: Option<Moment>,
    /// Images of the point in the making that were as they must be.
    pub(crate) images: u64,
    /// An image could not be read.
    pub(crate) is_image_lost: bool,
}

impl Done {
    /// Something done to a machine, without an outcome yet.
    pub(crate) fn named(what: &str, machine: &str) -> Done {
        Done::new(what.to_owned(), Some(machine.to_owned()))
    }

    fn new(what: String, machine: Option<String>) -> Done {
        Done {
            what,
            machine,
            effect: None,
            error: None,
            reclaimed: None,
            found: Vec::new(),
            followed: None,
            next: None,
            moment: None,
            images: 0,
            is_image_lost: false,
        }
    }

    fn of(act: &Act) -> Done {
        let (what, machine) = match act {
            Act::Protect(p) => ("protect".to_owned(), Some(p.machine.clone())),
            Act::Cancelled(p) => ("protect, cancelled".to_owned(), Some(p.machine.clone())),
            Act::Vanishing(p) => ("protect a vanishing disk".to_owned(), Some(p.machine.clone())),
            Act::Forget(machine, drop) => (format!("forget {drop:?}"), Some(machine.clone())),
            Act::Settle(machine) => ("settle".to_owned(), Some(machine.clone())),
            Act::Consolidate(machine) => ("consolidate".to_owned(), Some(machine.clone())),
            Act::Reclaim => ("reclaim".to_owned(), None),
            Act::Check => ("check".to_owned(), None),
            Act::Suspend(machine, _) => ("suspend".to_owned(), Some(machine.clone())),
            Act::Resume(machine) => ("resume".to_owned(), Some(machine.clone())),
            Act::Follow { machine, .. } => ("follow".to_owned(), Some(machine.clone())),
        };
        Done::new(what, machine)
    }

    /// The vault could not even be opened.
    pub(crate) fn unopened(error: VaultError) -> Done {
        Done { error: Some(error), ..Done::new("open".to_owned(), None) }
    }

    /// Others did something at the same time, and this was refused for it: no fault.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(&self.error, Some(VaultError::Overtaken | VaultError::StalePlan))
    }
}

/// Does it.
pub(crate) fn perform(vault: &Vault, act: &Act) -> Done {
    let mut done = Done::of(act);
    let outcome = match act {
        Act::Protect(prepared) => protect(vault, prepared, false, &mut done),
        Act::Cancelled(prepared) => {
            refused(protect(vault, prepared, true, &mut done), &mut done, |e| matches!(e, VaultError::Cancelled))
        }
        Act::Vanishing(prepared) => {
            prepared.disks[0].volume.vanish();
            let outcome = protect(vault, prepared, false, &mut done);
            prepared.disks[0].volume.plug_in();
            refused(outcome, &mut done, |e| matches!(e, VaultError::Source { .. }))
        }
        Act::Forget(machine, drop) => forget(vault, machine, *drop, &mut done),
        Act::Settle(machine) => on_machine(vault, machine, |id| vault.settle(id)),
        Act::Consolidate(machine) => on_machine(vault, machine, |id| vault.consolidate(id).map(|_| ())),
        Act::Reclaim => reclaim(vault, &mut done),
        Act::Check => vault.check(true, &mut |_, _| {}).map(|findings| {
            done.found = findings.defects;
            done.found.extend(findings.losses.iter().map(|loss| format!("{loss:?}")));
        }),
        Act::Suspend(machine, length) => vault.suspend(machine, "simulated", *length).map(|row| {
            done.effect = Some(Effect::Suspended(row));
        }),
        Act::Resume(machine) => vault.resume(machine).map(|row| done.effect = Some(Effect::Resumed(row))),
        Act::Follow { from, turns, shot, .. } => {
            let mut turns = turns.iter().cloned();
            let outcome = follow(vault, from, &mut || turns.next().unwrap_or(Turn::Abandon), &mut done);
            done.followed = Some((shot.clone(), outcome));
            Ok(())
        }
    };
    // Machines that have no point yet are none.
    done.error = outcome.err().filter(|e| !matches!(e, VaultError::NoMachine(_)));
    done
}

/// A capture that cannot end in a point: that it was refused is right, another outcome is not.
fn refused(
    outcome: Result<(), VaultError>,
    done: &mut Done,
    is_right: impl Fn(&VaultError) -> bool,
) -> Result<(), VaultError> {
    match outcome {
        Err(error) if is_right(&error) => {
            done.effect = None;
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => {
            done.found.push("a point was made of what could not be read".to_owned());
            Ok(())
        }
    }
}

/// The disks of a machine as a capture takes them.
pub(crate) fn sources(prepared: &Prepared) -> Vec<Source<'_>> {
    let sources = prepared.disks.iter().map(|disk| Source {
        name: disk.name.clone(),
        origin: "simulated".into(),
        volume: &*disk.volume,
        used: disk.used.clone(),
        excluded: disk.excluded.clone(),
        exclusions: Vec::new(),
    });
    sources.collect()
}

fn protect(vault: &Vault, prepared: &Prepared, cancelled: bool, done: &mut Done) -> Result<(), VaultError> {
    let verdict = || Verdict { consistency: Consistency::Still, stamps: Vec::new() };
    done.effect = Some(Effect::MaybeMade(prepared.shot.clone()));
    let made = vault.protect(&Capture {
        machine: &prepared.machine,
        sources: sources(prepared),
        note: String::new(),
        verdict: &verdict,
        cancel: &AtomicBool::new(cancelled),
        progress: &Progress::default(),
        promise: Promise { every: prepared.every, causes: Vec::new() },
    })?;
    done.moment = Some(Moment { time: made.point.row.time, every: prepared.every });
    done.effect = Some(Effect::Made(made.point.number.0, prepared.shot.clone()));
    Ok(())
}

fn forget(vault: &Vault, machine: &str, drop: Drop, done: &mut Done) -> Result<(), VaultError> {
    vault.refresh()?;
    let machine = match vault.machine(machine) {
        Err(VaultError::NoMachine(_)) => return Ok(()),
        other => other?,
    };
    let numbers: Vec<PointNo> = vault.points(machine.id)?.iter().map(|p| p.number).collect();
    let plan = vault.plan_forget(&machine, &drop.choose(&numbers))?;
    let dropped: Vec<u64> = plan.drop.iter().map(|p| p.number.0).collect();
    done.effect = Some(Effect::MaybeGone(dropped.clone()));
    vault.forget(&plan)?;
    done.effect = Some(Effect::Gone(dropped));
    Ok(())
}

impl Drop {
    pub(crate) fn roll(dice: &mut Dice) -> Drop {
        match dice.below(9) {
            0..4 => Drop::One(dice.roll()),
            4 => Drop::Oldest,
            5 => Drop::AllButNewest,
            6 => Drop::EverySecond,
            7 => Drop::Newest,
            _ => Drop::All,
        }
    }

    fn choose(self, numbers: &[PointNo]) -> BTreeSet<PointNo> {
        let count = numbers.len();
        let chosen = match self {
            Drop::One(roll) => numbers.get((roll % count.max(1) as u64) as usize).into_iter().copied().collect(),
            Drop::Oldest => numbers[..count.div_ceil(3)].to_vec(),
            Drop::AllButNewest => numbers[..count.saturating_sub(1)].to_vec(),
            Drop::EverySecond => numbers.iter().step_by(2).copied().collect(),
            Drop::Newest => numbers.last().into_iter().copied().collect::<Vec<_>>(),
            Drop::All => numbers.to_vec(),
        };
        chosen.into_iter().collect()
    }
}

fn on_machine(
    vault: &Vault,
    name: &str,
    work: impl Fn(backstay_format::units::MachineId) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    vault.refresh()?;
    match vault.machine(name) {
        Err(VaultError::NoMachine(_)) => Ok(()),
        other => work(other?.id),
    }
}

fn reclaim(vault: &Vault, done: &mut Done) -> Result<(), VaultError> {
    let plan = vault.plan_reclaim()?;
    done.reclaimed = Some(vault.reclaim(&plan, &|_| true)?);
    Ok(())
}
