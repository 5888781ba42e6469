//! Sources of a capture: opened, named, asked what is in use, and watched for writers.
//!
//! Never knows: how they are captured.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_env::real::disk::{self, Disk, Identity};
use backstay_env::volume::{Volume, VolumeMut as _};
use backstay_format::rows::Consistency;
use backstay_items::disk::{DiskAllocation, allocated};
use backstay_items::exclude::{Resolved, Rule, resolve};
use backstay_vault::protect::{Source, Verdict};

use crate::failure::Failure;

/// A file changed this recently may change again without its times telling: file times come from a clock that ticks at least
/// a hundred times a second on Linux. A file system that keeps its times less exactly (FAT: two seconds) has none of them
/// fall between two whole seconds.
const RACY: i128 = 100_000_000;
const RACY_COARSE: i128 = 4_000_000_000;

/// A source, opened.
pub(crate) struct OpenSource {
    path: PathBuf,
    name: String,
    disk: Arc<Disk>,
    before: Option<Identity>,
    /// Any later change of the file will show in its times.
    settled: bool,
    mounted: bool,
}

/// Opens sources, each under a name of its own.
pub(crate) fn open_all(paths: &[PathBuf], store: Option<&Path>) -> Result<Vec<OpenSource>, Failure> {
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for path in paths {
        if let Some(store) = store.filter(|s| s.exists())
            && disk::holds_path(path, store).map_err(Failure::from)?
        {
            let what = "holds the store itself: a copy of it in itself would never end; keep the store on another disk";
            return Err(Failure::refused(format!("{} {what}", path.display())));
        }
        let source = OpenSource::open(path)?;
        if !names.insert(source.name.clone()) {
            return Err(Failure::usage(format!(
                "two sources would be disk {}; give one of the files another name",
                source.name
            )));
        }
        sources.push(source);
    }
    Ok(sources)
}

impl OpenSource {
    fn open(path: &Path) -> Result<Self, Failure> {
        let disk = disk::open(path)?;
        let mounted = disk::is_mounted(path)?;
        let (before, settled) = identity_before(&disk);
        Ok(OpenSource { path: path.to_owned(), name: name_of(path), disk: Arc::new(disk), before, settled, mounted })
    }

    /// The name of its disk.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As the vault wants it, and what the choices came to. `all`: everything counts as used.
    pub(crate) fn source(&self, all: bool, choices: &[Rule], stop: &AtomicBool) -> (Source<'_>, Resolved) {
        let whole = || std::iter::once(0..self.disk.size()).collect::<Vec<Range<u64>>>();
        let on_it = match all && choices.is_empty() {
            true => DiskAllocation::default(), // nobody asks
            false => allocated(&*self.disk),
        };
        let volume: Arc<dyn Volume> = self.disk.clone();
        let resolved = resolve(choices, (&self.name, &volume), &on_it.parts, &|| stop.load(Ordering::Relaxed));
        let source = Source {
            name: self.name.clone(),
            origin: self.path.display().to_string(),
            volume: &*self.disk,
            used: if all { whole() } else { on_it.used.iter().collect() },
            excluded: resolved.found.ranges.iter().collect(),
            exclusions: resolved.exclusions.clone(),
        };
        (source, resolved)
    }

    fn verdict(&self) -> (Consistency, Vec<u8>) {
        let after = self.disk.identity().ok();
        let mounted = self.mounted || disk::is_mounted(&self.path).unwrap_or(true);
        let still = !mounted && after.is_some() && after == self.before;
        if !still {
            return (Consistency::Fuzzy, Vec::new());
        }
        let stamp = after.as_ref().filter(|_| self.settled).and_then(stamp);
        (Consistency::Still, stamp.unwrap_or_default())
    }
}

/// What the points say of all sources.
pub(crate) fn verdict(sources: &[OpenSource]) -> Verdict {
    let each: Vec<_> = sources.iter().map(OpenSource::verdict).collect();
    let still = each.iter().all(|(c, _)| *c == Consistency::Still);
    let consistency = if still { Consistency::Still } else { Consistency::Fuzzy };
    Verdict { consistency, stamps: each.into_iter().map(|(_, s)| s).collect() }
}

/// What a source looks like before it is read, and whether each later change of it will show in that.
///
/// A program that has mapped the file changes its times only when it first writes to a page that is clean. So all pages are made
/// clean first, by flushing the file; and nothing may have been written since, which the times tell if they are old enough.
fn identity_before(disk: &Disk) -> (Option<Identity>, bool) {
    let flushing = jiff::Timestamp::now().as_nanosecond();
    let clean = matches!(disk, Disk::File(_)) && disk.flush().is_ok();
    let before = disk.identity().ok();
    let settled = before.as_ref().is_some_and(|identity| clean && is_older(identity, flushing));
    (before, settled)
}

/// Whether a file was last changed clearly before a moment, in nanoseconds since 1970.
fn is_older(identity: &Identity, moment: i128) -> bool {
    let Identity::File { modified, changed, .. } = identity else { return false };
    let coarse = [modified, changed].iter().all(|t| **t % 1_000_000_000 == 0);
    moment - modified.max(changed) > if coarse { RACY_COARSE } else { RACY }
}

/// What an image file looks like, as bytes to be compared.
pub(crate) fn stamp(identity: &Identity) -> Option<Vec<u8>> {
    let Identity::File { device, inode, size, modified, changed } = identity else { return None };
    let mut out = Vec::with_capacity(56);
    [device, inode, size].iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    [modified, changed].iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    Some(out)
}

/// The name of a source's disk: the file's, without an ending that only says that it is an image.
pub(crate) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = name.strip_suffix(".img").or_else(|| name.strip_suffix(".raw")).unwrap_or(&name);
    let plain: String = name.chars().map(|c| if c == ':' || c.is_control() { '_' } else { c }).collect();
    let mut end = plain.len().min(64);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    if end == 0 { "disk".to_owned() } else { plain[..end].to_owned() }
}
