//! Held disks are read into the vault: what changed, or all that is in use.
//!
//! Never knows: how disks are held.

use std::sync::atomic::AtomicBool;

use backstay_env::volume::Volume;
use backstay_format::rows::Consistency;
use backstay_hypervisor::held::{Held, Wanted};
use backstay_items::disk::allocated;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Changed, Following, Progress, Source, Verdict};
use backstay_vault::{Vault, VaultError};

use super::What;
use super::trust::Base;
use crate::live::Missed;
use crate::rate::Limited;

const PAGE: u64 = 4096;
/// Extents of a point in the making that are held in memory at most; if there are more, everything is compared.
const EXTENTS: usize = 1 << 20;

/// Reads what a point needs.
///
/// # Errors
/// [`Missed`].
pub(super) fn read<'v>(
    what: &What<'v>,
    held: &Held,
    wanted: &[Wanted],
    base: Option<&Base>,
    progress: &Progress,
) -> Result<Following<'v>, Missed> {
    let volumes: Vec<Limited<'_>> =
        held.volumes.iter().map(|volume| Limited { volume, rate: what.rate, cancel: what.cancel }).collect();
    if let Some(base) = base
        && let Some(following) = changes(what, held, &volumes, base)?
    {
        return Ok(following);
    }
    everything(what, &volumes, wanted, progress)
}

/// What changed; nothing if that is too much.
fn changes<'v>(
    what: &What<'v>,
    held: &Held,
    volumes: &[Limited<'_>],
    base: &Base,
) -> Result<Option<Following<'v>>, Missed> {
    let mut following = what.vault.follow(&base.from).map_err(Missed::of_vault)?;
    for (disk, (volume, held)) in volumes.iter().zip(&held.volumes).enumerate() {
        let mut dirty = held.dirty();
        loop {
            let pages = dirty.piece(PAGE).map_err(|e| Missed::later(format!("the record of changes: {e}")))?;
            if pages.is_empty() {
                break;
            }
            let changed = Changed { disk, volume, pages, excluded: Vec::new() };
            following.pass(&[changed], what.cancel).map_err(Missed::of_vault)?;
            if following.extents() > EXTENTS {
                return Ok(None);
            }
        }
    }
    Ok(Some(following))
}

/// All that is in use, compared with the newest point if there is one.
fn everything<'v>(
    what: &What<'v>,
    volumes: &[Limited<'_>],
    wanted: &[Wanted],
    progress: &Progress,
) -> Result<Following<'v>, Missed> {
    let each = volumes.iter().zip(wanted);
    let sources = each.map(|(volume, wanted)| source(volume, wanted, what.all_blocks)).collect();
    let from = catch_up(what.vault, what.machine, sources, (progress, what.cancel)).map_err(Missed::of_vault)?;
    let mut following = what.vault.follow(&from).map_err(Missed::of_vault)?;
    following.after(progress.counters());
    Ok(following)
}

fn source<'s>(volume: &'s Limited<'_>, wanted: &Wanted, all_blocks: bool) -> Source<'s> {
    let used = match all_blocks {
        true => vec![0..volume.size()],
        // The disk holds still, so that its books are those of one instant.
        false => allocated(volume).used.iter().collect(),
    };
    Source {
        name: wanted.disk.name.clone(),
        origin: wanted.disk.origin.clone(),
        volume,
        used,
        excluded: Vec::new(),
        exclusions: Vec::new(),
    }
}

fn catch_up(
    vault: &Vault,
    machine: &str,
    sources: Vec<Source<'_>>,
    (progress, cancel): (&Progress, &AtomicBool),
) -> Result<backstay_vault::protect::Boundary, VaultError> {
    vault.catch_up(&Capture {
        machine,
        sources,
        note: String::new(),
        verdict: &|| Verdict { consistency: Consistency::Fuzzy, stamps: Vec::new() },
        cancel,
        progress,
        promise: Promise::default(),
    })
}
