//! Restores into a folder of the server: the one that its settings name, and nowhere else.
//!
//! Never knows: who may start one.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use backstay_env::real::disk::{self, Disk, FileVolume};
use backstay_env::volume::Volume as _;
use backstay_format::units::PointNo;
use backstay_recover::restore::{Mode, Options, Progress, copy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::Server;

/// Ranges that are named of what could not be restored.
const TOLD: usize = 100;

/// A disk of a point, and the file that it is to be written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Restore {
    pub(crate) machine: String,
    pub(crate) point: u64,
    /// The disk; may be left out if there is one.
    pub(crate) disk: Option<String>,
    /// The name of a file in the server's folder for restores. One that is there already is only written with `delta`.
    pub(crate) to: String,
    /// Write only what differs from what the file holds.
    #[serde(default)]
    pub(crate) delta: bool,
}

/// Why a restore cannot begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum No {
    /// The settings name no folder.
    Folder,
    /// The name is no file's name.
    Name,
    /// There is such a file, or none to compare with.
    There(bool),
}

/// The file that a restore is to be written to.
pub(crate) fn place(folder: Option<&Path>, asked: &Restore) -> Result<PathBuf, No> {
    let folder = folder.ok_or(No::Folder)?;
    let name = &asked.to;
    let is_name = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && !name.contains('/')
        && !name.chars().any(char::is_control);
    if !is_name {
        return Err(No::Name);
    }
    let path = folder.join(name);
    match path.symlink_metadata() {
        Ok(about) if asked.delta && about.is_file() => Ok(path),
        Ok(_) => Err(No::There(true)),
        Err(_) if asked.delta => Err(No::There(false)),
        Err(_) => Ok(path),
    }
}

/// Writes the disk. A new file that was not finished is removed; one that was there is finished by the same again.
///
/// # Errors
/// Why, in words.
pub(crate) fn run(
    server: &Server,
    asked: &Restore,
    progress: &(dyn Fn(u64, u64) + Sync),
    stop: &AtomicBool,
) -> Result<Value, String> {
    let words = |error: &dyn std::error::Error| crate::words(error);
    let path = place(server.restores.as_deref(), asked).map_err(|_| format!("{} cannot be written now", asked.to))?;
    let machine = server.vault.machine(&asked.machine).map_err(|e| words(&e))?;
    let point = server.vault.point(&machine, PointNo(asked.point)).map_err(|e| words(&e))?;
    let source = server.vault.disk(&machine, &point, asked.disk.as_deref()).map_err(|e| words(&e))?;
    // A new file, or none: what somebody else made meanwhile is not ours to remove.
    let (target, mode) = target(&path, (asked.delta, source.size())).map_err(|e| words(&*e))?;
    let shown = |so_far: Progress| progress(so_far.done, so_far.total);
    let report = copy(&source, &target, Options::new(mode), &shown, stop);
    let unfinished = report.as_ref().map_or(true, |report| report.cancelled);
    if unfinished && !asked.delta {
        // Nobody takes it for a disk; whoever wants it starts again.
        let _ = std::fs::remove_file(&path);
    }
    let report = report.map_err(|e| words(&e))?;
    let ranges = report.unreadable.iter().take(TOLD);
    let ranges = ranges.map(|lost| json!({ "from": lost.range.start, "to": lost.range.end, "why": lost.why }));
    Ok(json!({
        "file": path.display().to_string(), "written_bytes": report.counts.written,
        "zeroed_bytes": report.counts.zeroed, "compared_bytes": report.counts.compared,
        "unreadable": ranges.collect::<Vec<_>>(), "complete": report.is_complete(),
    }))
}

/// The file to write to: a new one, or the one that is there with the disk's size.
fn target(path: &Path, (delta, size): (bool, u64)) -> Result<(FileVolume, Mode), Box<dyn std::error::Error>> {
    if !delta {
        return Ok((FileVolume::create(path, size)?, Mode::OntoZeros));
    }
    match disk::open_for_writing(path)? {
        Disk::File(file) if file.size() == size => Ok((file, Mode::Delta)),
        Disk::File(file) => Ok((file.resize(size)?, Mode::Delta)),
        Disk::Device(_) => Err("it is a device".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_but_new_files_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |to: &str, delta| {
            let asked = Restore { machine: "web".into(), point: 1, disk: None, to: to.into(), delta };
            place(Some(folder.path()), &asked).map(drop)
        };
        for wrong in ["", ".", "..", "../x", "/etc/passwd", "a/b", ".hidden", "a\nb", "a\0b"] {
            assert_eq!(at(wrong, false), Err(No::Name), "{wrong:?}");
        }
        assert_eq!((at("web.img", false), at("web.img", true)), (Ok(()), Err(No::There(false))));
        std::fs::write(folder.path().join("web.img"), "x").unwrap();
        assert_eq!((at("web.img", false), at("web.img", true)), (Err(No::There(true)), Ok(())));
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        assert_eq!((at("link", false), at("link", true)), (Err(No::There(true)), Err(No::There(true))));
        let asked = Restore { machine: "web".into(), point: 1, disk: None, to: "x".into(), delta: false };
        assert_eq!(place(None, &asked), Err(No::Folder));
    }
}
