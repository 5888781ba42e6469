//! The kernel's programs: loading, attaching and pinning a set of them, and asking how it fares.
//!
//! Never knows: disks, or what the programs mark.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{BtfTracePoint, ProgramInfo};
use aya::{Btf, EbpfLoader};
use rustix::io::Errno;

use super::folder::Folder;
use super::refusal::Refusal;
use super::{TrackError, failed};
use crate::marks::pinned::plain;

/// The programs, compiled. `cargo xtask bpf` makes it from `bpf/track.bpf.c`.
pub(crate) const OBJECT: &[u8] = include_bytes!("../../bpf/track.bpf.o");

/// The map of disks, as the object calls it and as it is pinned.
pub(crate) const DISKS: &str = "disks";

/// Every program, and where in the kernel it is called.
pub(crate) const PROGRAMS: [(&str, &str); 4] = [
    ("complete_a", "block_rq_complete"),
    ("complete_b", "block_rq_complete"),
    ("complete_c", "block_rq_complete"),
    ("issue", "block_rq_issue"),
];

/// How many of [`PROGRAMS`], from the first, are copies of the one that all hangs on.
pub(crate) const COPIES: usize = 3;

/// How often each copy was skipped by the kernel.
pub(crate) type Misses = [u64; COPIES];

/// Loads the programs, attaches them as `set` and pins them and their map of disks.
///
/// # Errors
/// The [`Refusal`]s that are about the kernel. Then some may be attached: [`remove`] the set.
pub(crate) fn attach(folder: &Folder, set: u64, object: &[u8]) -> Result<[u32; PROGRAMS.len()], TrackError> {
    let btf = Btf::from_sys_fs().map_err(|_| Refusal::NoBtf)?;
    let disks = folder.pin(DISKS);
    let mut loader = EbpfLoader::new();
    let mut loaded = loader.btf(Some(&btf)).map_pin_path(DISKS, &disks).load(object).map_err(refused)?;
    let mut ids = [0; PROGRAMS.len()];
    for (id, (name, place)) in ids.iter_mut().zip(PROGRAMS) {
        let program = loaded.program_mut(name).ok_or_else(|| refused(io::Error::other("a program is not there")))?;
        let program: &mut BtfTracePoint = program.try_into().map_err(refused)?;
        program.load(place, &btf).map_err(refused)?;
        *id = attach_one(program, &folder.pin(&pin_of("link", set, name)), &folder.pin(&pin_of("program", set, name)))?;
    }
    misses(folder, set)?;
    Ok(ids)
}

fn attach_one(program: &mut BtfTracePoint, link: &Path, pin: &Path) -> Result<u32, TrackError> {
    let pinning = || failed("pinning a program");
    program.pin(pin).map_err(plain).map_err(pinning())?;
    let attached = program.attach().and_then(|id| program.take_link(id)).map_err(refused)?;
    FdLink::from(attached).pin(link).map_err(plain).map_err(pinning())?;
    Ok(program.info().map_err(refused)?.id())
}

/// The number of the program that a pinned link of a set attaches. `None`: no such link.
///
/// # Errors
/// What the kernel says.
pub(crate) fn attached(folder: &Folder, set: u64, name: &str) -> io::Result<Option<u32>> {
    match PinnedLink::from_pin(folder.pin(&pin_of("link", set, name))).map_err(plain) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        link => Ok(Some(FdLink::from(link?).info().map_err(plain)?.program_id())),
    }
}

/// How often the kernel skipped each copy of a set's completion program since it was loaded.
///
/// # Errors
/// `NotFound` when a program is no longer pinned; [`Refusal::NoCounts`].
pub(crate) fn misses(folder: &Folder, set: u64) -> Result<Misses, TrackError> {
    let mut misses = [0; COPIES];
    for (count, (name, _)) in misses.iter_mut().zip(PROGRAMS) {
        let asked = misses_of(folder, &pin_of("program", set, name));
        *count = asked.map_err(failed("asking for missed events"))?.ok_or(Refusal::NoCounts)?;
    }
    Ok(misses)
}

fn misses_of(folder: &Folder, pin: &str) -> io::Result<Option<u64>> {
    let program = ProgramInfo::from_pin(folder.pin(pin)).and_then(|info| info.fd()).map_err(plain)?;
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd()))?;
    let count = about.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
    Ok(count.and_then(|count| count.trim().parse().ok()))
}

/// Detaches and forgets every set but one.
///
/// # Errors
/// What the system says.
pub(crate) fn remove_others(folder: &Folder, kept: Option<u64>) -> io::Result<()> {
    for kind in ["link-", "program-"] {
        for name in folder.names(kind)? {
            let set = name.split_once('-').and_then(|(set, _)| set.parse().ok());
            if kept.is_none() || set != kept {
                folder.unpin(&format!("{kind}{name}"))?;
            }
        }
    }
    Ok(())
}

fn pin_of(kind: &str, set: u64, name: &str) -> String {
    format!("{kind}-{set}-{name}")
}

/// Why the kernel did not take something.
fn refused(error: impl std::error::Error + Send + Sync + 'static) -> TrackError {
    let source = plain(error);
    match Errno::from_io_error(&source) {
        Some(Errno::PERM) => Refusal::NotPermitted.into(),
        _ => Refusal::Programs { source }.into(),
    }
}
