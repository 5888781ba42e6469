//! One point of a virtual machine.
//!
//! Never knows: when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use backstay_format::rows::Consistency;
use backstay_format::units::Timestamp;
use backstay_hypervisor::bitmaps;
use backstay_hypervisor::disks::{self, Disk};
use backstay_hypervisor::held::{Held, HoldError, Wanted, attend};
use backstay_hypervisor::leftovers;
use backstay_hypervisor::qmp::AskError;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Made, Progress, Told};

use super::open::{Open, unique};
use super::read::read;
use super::trust::{Base, base};
use super::{Outside, What};
use crate::failure::{Failure, sentence};
use crate::live::Missed;
use crate::output::note;

/// The instant of a point.
struct Instant {
    at: Timestamp,
    /// How the guest was then, for people.
    guest: String,
    /// For how long its agent held it still, in nanoseconds.
    held: u64,
}

/// Says that reading has ended, also by a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Outside<'_> {
    /// Makes a point.
    ///
    /// # Errors
    /// [`Missed`]; what changes goes on being recorded from the newest point on, if it was.
    pub(crate) fn point(&mut self, progress: &Progress, promise: Promise) -> Result<Made, Missed> {
        let mut open = self.opened()?;
        let disks = self.disks(&open)?;
        let base = self.base(&open, &disks)?;
        let wanted = wanted(&open, disks, base.as_ref());
        let made = self.hold(&mut open, &wanted, base.as_ref(), (progress, promise));
        if let Ok(left) = settle(&open, &wanted, made.is_ok()) {
            if left > 0 {
                self.tell(format!("{left} old records of changes could not be removed"));
            }
            self.open = Some(open);
        }
        made
    }

    /// The machine's disks.
    fn disks(&mut self, open: &Open) -> Result<Vec<Disk>, Missed> {
        let found =
            disks::find(open.channel().as_mut(), &self.what.spec.disks, &open.targets).map_err(|e| asked(&e))?;
        let unmet = !self.what.spec.disks.is_empty() && !found.skipped.is_empty();
        if unmet || found.disks.is_empty() {
            let why = if found.skipped.is_empty() { "there is none".to_owned() } else { found.skipped.join(", ") };
            return Err(Missed::Final(Failure::refused(format!(
                "{} has no disk to protect: {why}; name disks as SOURCE#DISK,...",
                self.what.machine
            ))));
        }
        if let Some(bad) = found.disks.iter().find(|disk| !backstay_format::names::is_machine_name(&disk.name)) {
            return Err(Missed::Final(Failure::refused(format!("{:?} cannot be the name of a disk", bad.name))));
        }
        for skipped in found.skipped {
            self.tell(format!("{skipped} and is left out"));
        }
        Ok(found.disks)
    }

    /// What the point goes on from, if anything. What tells no changes any more is removed.
    fn base(&mut self, open: &Open, disks: &[Disk]) -> Result<Option<Base>, Missed> {
        let mut channel = open.channel();
        let names = &open.place.names;
        let found = match self.what.rescan {
            true => Err(None),
            false => base(self.what.vault, self.what.machine, (channel.as_mut(), names), disks)?,
        };
        let base = found.map_err(|why| {
            if let Some(why) = why {
                note!("note: changes may have been missed: {why}; the disks are compared with the last point");
            }
        });
        let base = base.ok();
        let kept = base.iter().flat_map(|base| disks.iter().zip(&base.bitmaps));
        let kept: Vec<_> = kept.map(|(disk, name)| (disk.node.clone(), name.clone())).collect();
        bitmaps::remove_all_but(channel.as_mut(), names, &kept).map_err(|e| asked(&e))?;
        Ok(base)
    }

    /// Holds the disks, reads them and publishes the point. Whatever becomes of it, bitmaps are as the instant left them.
    fn hold(
        &self,
        open: &mut Open,
        wanted: &[Wanted],
        base: Option<&Base>,
        (progress, promise): (&Progress, Promise),
    ) -> Result<Made, Missed> {
        let (held, instant) = take(&self.what, open, wanted).map_err(|e| Missed::later(sentence(&e)))?;
        let over = AtomicBool::new(false);
        let (following, trouble) = std::thread::scope(|scope| {
            let attendant = scope.spawn(|| attend(&held, open.shared(), &over));
            let reading = Ended(&over);
            let following = read(&self.what, &held, wanted, base, progress);
            drop(reading);
            attendant.thread().unpark();
            (following, attendant.join().unwrap_or_default())
        });
        if let Some(why) = trouble {
            return Err(Missed::later(why));
        }
        let mut following = following?;
        // After the last read: what was read when nothing was held any more would be newer.
        let holds = held.check(open.channel().as_mut()).map_err(|e| asked(&e))?;
        holds.map_err(Missed::later)?;
        following.stamp(wanted.iter().map(|wanted| wanted.next.clone().into_bytes()).collect());
        let note = [self.what.note, &instant.guest];
        let told = Told {
            time: instant.at,
            consistency: Consistency::Still,
            held: instant.held,
            note: note.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; "),
            exclusions: Vec::new(),
            promise,
        };
        following.publish(told).map_err(Missed::of_vault)
    }
}

/// What is wanted of each disk.
fn wanted(open: &Open, disks: Vec<Disk>, base: Option<&Base>) -> Vec<Wanted> {
    let of_disk = |(number, disk): (usize, Disk)| {
        let since = base.map(|base| base.bitmaps[number].clone());
        Wanted { disk, since, next: open.place.names.bitmap(unique()) }
    };
    disks.into_iter().enumerate().map(of_disk).collect()
}

/// Holds the disks, with the guest still at that instant if its agent can be asked.
fn take(what: &What<'_>, open: &mut Open, wanted: &[Wanted]) -> Result<(Held, Instant), HoldError> {
    let has_agent = open.has_agent;
    let place = open.place.clone();
    let (channel, watchdog) = open.both();
    let mut instant = Instant { at: Timestamp(0), guest: "crash-consistent: no guest agent was asked".into(), held: 0 };
    let held = Held::take(channel, &place, wanted, &mut |work| {
        let begun = std::time::Instant::now();
        let frozen = has_agent.then(|| watchdog.freeze(what.limits.0, what.limits.1));
        instant.at = now();
        let done = work();
        match frozen {
            None => {}
            Some(Err(why)) => instant.guest = format!("crash-consistent: {why}"),
            Some(Ok(frozen)) => {
                let count = frozen.count;
                let thawed = frozen.thaw();
                instant.held = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                instant.guest = match thawed {
                    Ok(()) => format!("held still by the guest agent: {count} file systems"),
                    Err(why) => format!("crash-consistent: {why}"),
                };
            }
        }
        done
    })?;
    Ok((held, instant))
}

/// Lets go of everything; then the bitmaps of the newest point go on, whichever that is now. How many old ones could not be removed.
fn settle(open: &Open, wanted: &[Wanted], published: bool) -> Result<usize, AskError> {
    let mut channel = open.channel();
    let names = &open.place.names;
    leftovers::clean(channel.as_mut(), &names.own(), &open.place.sockets)?;
    if !published {
        Held::undo(channel.as_mut(), names, wanted)?;
        return Ok(0);
    }
    let kept: Vec<_> = wanted.iter().map(|wanted| (wanted.disk.node.clone(), wanted.next.clone())).collect();
    bitmaps::remove_all_but(channel.as_mut(), names, &kept)
}

fn asked(error: &AskError) -> Missed {
    Missed::later(sentence(error))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
