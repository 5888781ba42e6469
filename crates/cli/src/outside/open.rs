//! A machine that was found: its monitor, a watchdog, and nothing left of earlier processes.
//!
//! Never knows: points.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstay_env::random::Random as _;
use backstay_env::real::system::SystemRandom;
use backstay_hypervisor::agent::Way;
use backstay_hypervisor::bitmaps;
use backstay_hypervisor::claim::{Claim, ClaimError};
use backstay_hypervisor::held::Place;
use backstay_hypervisor::leftovers;
use backstay_hypervisor::libvirt::{self, Domain};
use backstay_hypervisor::names::Names;
use backstay_hypervisor::qmp::{AskError, Channel};
use backstay_hypervisor::watchdog::{Charge, Watchdog};

use super::{Outside, WATCHDOG, What, ourselves};
use crate::failure::{Failure, sentence};
use crate::live::Missed;
use crate::output::note;

/// How long a guest's agent may take to let it go.
const THAWING: Duration = Duration::from_secs(30);

/// A machine that was found.
pub(super) struct Open {
    channel: Mutex<Box<dyn Channel>>,
    watchdog: Watchdog,
    /// Nobody else captures the machine meanwhile.
    claim: Claim,
    /// What the disks' devices are called by whoever manages the machine.
    pub(super) targets: BTreeMap<String, String>,
    /// A guest agent that answers, or answered once.
    pub(super) has_agent: bool,
    pub(super) place: Place,
}

impl Open {
    /// The monitor, for whoever needs it now.
    pub(super) fn channel(&self) -> MutexGuard<'_, Box<dyn Channel>> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The monitor, for several.
    pub(super) fn shared(&self) -> &Mutex<Box<dyn Channel>> {
        &self.channel
    }

    /// Monitor and watchdog together.
    pub(super) fn both(&mut self) -> (&mut dyn Channel, &mut Watchdog) {
        let channel = self.channel.get_mut().unwrap_or_else(PoisonError::into_inner);
        (channel.as_mut(), &mut self.watchdog)
    }

    /// Leaves the machine; nothing is held of it.
    pub(super) fn close(self) {
        let mut channel = self.channel.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.claim.release(channel.as_mut());
        drop(channel);
        self.watchdog.dismiss();
    }
}

impl Outside<'_> {
    /// The machine, found anew if need be. Whoever is done with it puts it back; dropped, the watchdog cleans up after it.
    pub(super) fn opened(&mut self) -> Result<Open, Missed> {
        if let Some(mut open) = self.open.take()
            && open.watchdog.is_fit()
        {
            if open.has_agent || !has_agent(&self.what.spec.way) {
                return Ok(open);
            }
            open.close();
        }
        // Without a watchdog nobody would clean up after us.
        open(&self.what)
    }

    /// Ends recording changes, and leaves nothing in the hypervisor.
    pub(crate) fn detach(mut self) -> Result<(), Failure> {
        let open = self.opened().map_err(failed)?;
        let left = bitmaps::remove_all_but(open.channel().as_mut(), &open.place.names, &[]);
        open.close();
        match left.map_err(|e| Failure::new(sentence(&e)))? {
            0 => Ok(()),
            left => {
                Err(Failure::new(format!("{left} records of changes could not be removed, on disks nobody writes to")))
            }
        }
    }
}

fn failed(missed: Missed) -> Failure {
    match missed {
        Missed::Final(failure) => failure,
        Missed::Later(_, why) | Missed::Rescan(why) => Failure::new(why),
    }
}

fn open(what: &What<'_>) -> Result<Open, Missed> {
    let found = match &what.spec.way {
        Way::Domain(domain) => libvirt::find(domain).map_err(|e| Missed::Final(Failure::refused(sentence(&e))))?,
        Way::Socket(_) => Domain::default(),
    };
    let agent = what.agent.clone().or(found.agent);
    let mut channel = what.spec.way.monitor().map_err(|e| refused(&what.spec.way, e))?;
    let asked = |e: AskError| Missed::later(sentence(&e));
    let sockets = match what.spec.folder() {
        Some(folder) => absolute(folder)?,
        None => libvirt::folder(channel.as_mut()).map_err(asked)?,
    };
    let names = names(what);
    let claim = Claim::take(channel.as_mut(), &names, &sockets).map_err(|e| unclaimed(&what.spec.way, &e))?;
    // What is there of this store and machine is of a process that is gone.
    take_over(channel.as_mut(), &names, &sockets, agent.as_ref()).map_err(asked)?;
    let charge = Charge {
        monitor: what.spec.way.clone(),
        agent: agent.clone(),
        prefix: names.own(),
        claims: names.claims(),
        folder: sockets.clone(),
    };
    let mut command = ourselves().map_err(|e| Missed::later(format!("this program cannot be found: {e}")))?;
    command.arg(WATCHDOG);
    let watchdog = Watchdog::start(command, &charge).map_err(|e| Missed::later(sentence(&e)))?;
    let place = Place { names, sockets, fleece: what.scratch.clone() };
    Ok(Open {
        channel: Mutex::new(channel),
        watchdog,
        claim,
        targets: found.targets,
        has_agent: agent.is_some(),
        place,
    })
}

/// Whether an agent answers by now that did not when the machine was found, such as while a domain starts.
fn has_agent(way: &Way) -> bool {
    match way {
        Way::Domain(domain) => libvirt::find(domain).is_ok_and(|found| found.agent.is_some()),
        Way::Socket(_) => false,
    }
}

/// Takes away what a process left that was killed in the middle of a point together with its watchdogs. The guest may be still.
fn take_over(channel: &mut dyn Channel, names: &Names, sockets: &Path, agent: Option<&Way>) -> Result<(), AskError> {
    if let Some(way) = agent
        && leftovers::are_there(channel, &names.all())?
        && let Err(error) = way.agent().and_then(|mut agent| agent.thaw(THAWING))
    {
        let why = sentence(&error);
        note!("note: a point was broken off, and whether the guest is still held by its agent is not known: {why}");
    }
    leftovers::clean(channel, &names.all(), sockets)
}

/// The hypervisor has a current folder of its own.
fn absolute(folder: &Path) -> Result<PathBuf, Missed> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.canonicalize().map_err(|e| Missed::later(format!("{}: {e}", folder.display())))
}

/// Names that nobody else gives: of the store, the vault and the machine; and of this process.
fn names(what: &What<'_>) -> Names {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&what.vault.store_id().0).update(&what.vault.id().0).update(what.machine.as_bytes());
    let (mut tag, mut session) = ([0; 4], [0; 4]);
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    session.copy_from_slice(&unique()[..4]);
    Names::new(tag, session)
}

/// A number that is given once in the world.
pub(super) fn unique() -> [u8; 16] {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    bytes
}

fn name(way: &Way) -> String {
    match way {
        Way::Socket(path) => path.display().to_string(),
        Way::Domain(name) => name.clone(),
    }
}

fn unclaimed(way: &Way, error: &ClaimError) -> Missed {
    match error {
        ClaimError::Taken => Missed::Final(Failure::refused(format!("{}: {}", name(way), sentence(error)))),
        ClaimError::Ask(_) | ClaimError::Socket { .. } => Missed::later(sentence(error)),
    }
}

fn refused(way: &Way, error: AskError) -> Missed {
    let name = name(way);
    match error {
        AskError::Late(_) => Missed::later(format!(
            "{name}: the monitor does not greet; it talks to one program at a time, so another may hold it: give the machine a \
             second -qmp socket"
        )),
        AskError::Lost(why) => Missed::Final(Failure::refused(format!(
            "{name}: nobody answers there ({why}); start the machine, or protect its image files as they are"
        ))),
        error => Missed::Final(Failure::refused(format!("{name}: {}", sentence(&error)))),
    }
}
