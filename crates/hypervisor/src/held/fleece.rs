//! The file that blocks are saved to before the guest overwrites them.
//!
//! It has a name only until the hypervisor has it open, so nothing of it outlives the hypervisor.
//! Never knows: which blocks.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{HoldError, Place, fleece_folder};
use crate::disks::Disk;
use crate::leftovers::{self, FLEECE};
use crate::names::Part;
use crate::qmp::{AskError, Channel};

/// Holding ends before less space than this is left: a machine whose writes cannot be saved would have to wait.
const RESERVE: u64 = 512 << 20;
/// How long the making of an empty format may take.
const MAKING: Duration = Duration::from_secs(20);

/// Such a file, open in the hypervisor.
pub(super) struct Fleece {
    folder: PathBuf,
    /// Keeps the file system in sight, wherever it is mounted later.
    file: File,
}

impl Fleece {
    pub(super) fn make(
        channel: &mut dyn Channel,
        place: &Place,
        number: usize,
        disk: &Disk,
    ) -> Result<Fleece, HoldError> {
        let folder = fleece_folder(place, disk);
        leftovers::remove_files(&folder, &format!("{}f{number}", place.names.own()));
        let (name, top) = (place.names.part(Part::File, number), place.names.part(Part::Fleece, number));
        let path = folder.join(format!("{name}{FLEECE}"));
        let io = |source| HoldError::Fleece { folder: folder.clone(), source };
        let fleece = Fleece { file: create(&path, disk.file.as_deref()).map_err(io)?, folder: folder.clone() };
        let made = match fleece.has_room() {
            true => fleece.open(channel, (&name, &top, &path), disk, &place.names.part(Part::Create, number)),
            false => Err(HoldError::NoSpace(folder.clone())),
        };
        // From here on it lives as long as it is open.
        fs::remove_file(&path).map_err(io)?;
        made?;
        Ok(fleece)
    }

    fn open(
        &self,
        channel: &mut dyn Channel,
        (name, top, path): (&str, &str, &Path),
        disk: &Disk,
        job: &str,
    ) -> Result<(), HoldError> {
        channel.ask("blockdev-add", json!({ "driver": "file", "node-name": name, "filename": path }))?;
        let options = json!({ "driver": "qcow2", "file": name, "size": disk.size });
        channel.ask("blockdev-create", json!({ "job-id": job, "options": options }))?;
        finish(channel, job)?;
        let over = json!({ "driver": "qcow2", "node-name": top, "file": name, "backing": disk.node });
        channel.ask("blockdev-add", over)?;
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether blocks can go on being saved.
    pub(super) fn has_room(&self) -> bool {
        let about = rustix::fs::fstatvfs(&self.file);
        about.is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= RESERVE)
    }
}

/// Makes the file for whoever the image belongs to, as which the hypervisor may be running.
fn create(path: &Path, image: Option<&Path>) -> io::Result<File> {
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(about) = image.and_then(|image| fs::metadata(image).ok()) {
        // Without the right to give it away we are that user ourselves, or the hypervisor will say no.
        drop(std::os::unix::fs::fchown(&file, Some(about.uid()), Some(about.gid())));
    }
    Ok(file)
}

/// Waits for a job, and dismisses it.
fn finish(channel: &mut dyn Channel, job: &str) -> Result<(), AskError> {
    let end = Instant::now() + MAKING;
    while Instant::now() < end {
        let jobs = channel.ask("query-jobs", json!({}))?;
        let found = jobs.as_array().and_then(|jobs| jobs.iter().find(|one| one["id"] == job));
        let Some(found) = found else { return Ok(()) };
        if found["status"] == "concluded" {
            channel.ask("job-dismiss", json!({ "id": job }))?;
            let Some(text) = found["error"].as_str() else { return Ok(()) };
            let text = text.chars().filter(|c| !c.is_control()).take(400).collect();
            return Err(AskError::Refused { command: "blockdev-create".into(), class: String::new(), text });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(AskError::Late("blockdev-create".into()))
}
