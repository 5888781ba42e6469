//! `protect` of a virtual machine from outside.
//!
//! Never knows: how a hypervisor is spoken to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backstay_format::names::is_machine_name;
use backstay_hypervisor::agent::Way;
use backstay_vault::protect::{Made, Progress};
use backstay_vault::{Vault, VaultError};

use super::attended::{Attendant, LOOK};
use super::settings;
use super::suspended::Suspended;
use super::{report, settle};
use crate::args::{Common, Protect};
use crate::cause::Lapse;
use crate::failure::Failure;
use crate::live::Missed;
use crate::output::note;
use crate::outside::{Outside, Spec, What};
use crate::progress::Meter;
use crate::rate::Rate;
use crate::stop::Stop;
use crate::store;

/// The virtual machine that is meant, if it is one.
pub(super) fn spec(args: &Protect) -> Result<Option<Spec>, Failure> {
    let texts = args.sources.iter().filter_map(|source| source.to_str());
    let found = texts.filter_map(|text| Spec::parse(text).transpose()).next().transpose()?;
    match found {
        Some(_) if args.sources.len() > 1 => {
            Err(Failure::usage("a virtual machine is the only source; name some of its disks as SOURCE#DISK,..."))
        }
        None if args.how.guest_agent.is_some() || args.how.scratch.is_some() => {
            Err(Failure::usage("--guest-agent and --scratch are for virtual machines (qemu:SOCKET, libvirt:DOMAIN)"))
        }
        found => Ok(found),
    }
}

pub(super) fn run(common: &Common, args: &Protect, spec: &Spec) -> Result<(), Failure> {
    let every = settings::every(args)?;
    check(args, spec)?;
    let Some(machine) = args.machine.as_deref().or(spec.name()) else {
        return Err(Failure::usage("give the machine a name with --machine"));
    };
    if !is_machine_name(machine) {
        return Err(VaultError::BadName(machine.to_owned()).into());
    }
    let limits = settings::guest_limits(args)?;
    let vault = settings::tuned(store::open(common)?, args);
    let rate = Rate::of(&args.how);
    let (stop, cancel) = (Stop::listen()?, AtomicBool::new(false));
    let outside = Outside::new(What {
        vault: &vault,
        machine,
        note: &args.how.note,
        all_blocks: args.how.all_blocks,
        rescan: args.how.rescan,
        spec,
        agent: args.how.guest_agent.clone().map(Way::Socket),
        limits,
        scratch: args.how.scratch.clone(),
        rate: rate.as_ref(),
        cancel: &cancel,
    });
    if args.how.unfollow {
        outside.detach()?;
        return Ok(vault.promise_nothing(machine)?);
    }
    let (lapse, suspended) = (Lapse::default(), Suspended::default());
    let mut following =
        Following { vault: &vault, common, machine, stop: &stop, cancel: &cancel, outside, lapse, suspended };
    if args.how.once { following.once() } else { following.keep_on(every) }
}

/// Options that mean something else for a virtual machine, or nothing.
fn check(args: &Protect, spec: &Spec) -> Result<(), Failure> {
    let inside = [
        ("--exclude", !args.how.exclude.is_empty()),
        ("--before", args.how.before.is_some()),
        ("--after", args.how.after.is_some()),
        ("--postgres", !args.how.postgres.is_empty()),
        ("--mariadb", !args.how.mariadb.is_empty()),
    ];
    if let Some((option, _)) = inside.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{option} is not for a virtual machine captured from outside; the guest agent has hooks of its own"
        )));
    }
    if matches!(spec.way, Way::Domain(_)) && args.how.guest_agent.is_some() {
        return Err(Failure::usage("libvirt knows the guest agent of its domains; leave --guest-agent out"));
    }
    Ok(())
}

/// A virtual machine that is being protected.
struct Following<'a> {
    vault: &'a Vault,
    common: &'a Common,
    machine: &'a str,
    stop: &'a Stop,
    cancel: &'a AtomicBool,
    outside: Outside<'a>,
    lapse: Lapse,
    suspended: Suspended,
}

impl Following<'_> {
    fn once(&mut self) -> Result<(), Failure> {
        if self.suspended.look(self.common, self.vault, self.machine)? {
            return Ok(());
        }
        let begun = Instant::now();
        match self.point(None) {
            Ok(made) => self.report(&made, begun.elapsed()),
            Err(Missed::Final(failure)) => Err(failure),
            Err(Missed::Later(_, why) | Missed::Rescan(why)) => Err(Failure::new(why)),
        }
    }

    /// Makes points until asked to stop. A machine that is switched off for a while comes back.
    fn keep_on(&mut self, every: Duration) -> Result<(), Failure> {
        let mut was_there = false;
        while !self.stop.asked() {
            if self.suspended.look(self.common, self.vault, self.machine)? {
                self.lapse.rested();
                self.stop.wait(every.min(LOOK));
                continue;
            }
            let begun = Instant::now();
            match self.point(Some(every)) {
                Ok(made) => {
                    was_there = true;
                    self.lapse.made();
                    self.report(&made, begun.elapsed())?;
                }
                Err(_) if self.stop.asked() => break,
                Err(Missed::Final(failure)) if !was_there => return Err(failure),
                Err(_) if self.cancel.load(Ordering::Relaxed) => continue,
                Err(missed) => {
                    let (why, text) = missed.told();
                    self.lapse.missed((why, &text), begun.elapsed());
                    report::missed(self.common, self.machine, why, &text)?;
                }
            }
            self.stop.wait(every.saturating_sub(begun.elapsed()));
        }
        note!("stopped; the hypervisor goes on recording changes, for the next protect to go on from");
        Ok(())
    }

    fn point(&mut self, every: Option<Duration>) -> Result<Made, Missed> {
        let promise = every.map(|every| self.lapse.promise(every)).unwrap_or_default();
        let progress = Progress::default();
        let meter = Meter::new(format!("comparing the disks of {}", self.machine), self.common.json);
        let attendant = Attendant { target: self.vault, machine: self.machine, stop: self.stop, cancel: self.cancel };
        attendant.during(Some((&meter, &progress)), || self.outside.point(&progress, promise))
    }

    fn report(&self, made: &Made, took: Duration) -> Result<(), Failure> {
        report::made(self.common, made, took, None)?;
        settle(self.vault, made);
        Ok(())
    }
}
