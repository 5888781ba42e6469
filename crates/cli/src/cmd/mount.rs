//! `backstay mount`.
//!
//! Never knows: FUSE.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backstay_env::volume::{Slice, Volume};
use backstay_items::partition::partitions;
use backstay_items::tree::FileTree;
use backstay_recover::mount::{Disk, Mount, Options, Part};
use backstay_recover::{Log, kept};
use backstay_vault::Vault;
use backstay_vault::disk::PointDisk;

use crate::args::{At, Common};
use crate::failure::{Failure, sentence};
use crate::output::{self, say};
use crate::stop::Stop;
use crate::{moment, spec};

pub(super) fn run(common: &Common, vault: &Vault, at: &At, dir: &Path, allow_other: bool) -> Result<(), Failure> {
    let found = spec::find(vault, at)?;
    let disks = spec::disks(vault, &found)?.into_iter().map(shown).collect();
    let nanos = u64::try_from(found.point.row.time.0).unwrap_or(0);
    let options = Options {
        source: format!("{}@{}", found.spec.machine, moment::rfc3339(found.point.row.time)),
        time: SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
        allow_other,
        log: Log::stderr(),
        ..Options::default()
    };
    let stop = Stop::listen()?;
    let mount = Mount::start(dir, disks, options).map_err(|e| Failure::new(sentence(&e)))?;
    match common.json {
        true => {
            output::json(&serde_json::json!({ "mounted": dir.display().to_string(), "point": found.point.number.0 }))?
        }
        false => say!("mounted on {}; Ctrl-C or umount ends it", dir.display())?,
    }
    while !stop.asked() && !mount.wait_for(Duration::from_millis(100)) {}
    let ended = mount.unmount();
    ended.map(|_| ()).map_err(|e| Failure::new(format!("{} cannot be unmounted: {e}", dir.display())))
}

fn shown(disk: Arc<PointDisk>) -> Disk {
    let volume = disk.clone();
    Disk { name: disk.info().name.clone(), volume, parts: Box::new(move || parts(&disk)) }
}

/// The partitions of a disk, or the disk itself as one part.
fn parts(disk: &Arc<PointDisk>) -> Result<Vec<Part>, String> {
    let table = partitions(&**disk).map_err(|e| sentence(&e))?;
    if table.partitions.is_empty() {
        return Ok(vec![Part { name: "files".into(), volume: None, open: opener(disk, None) }]);
    }
    let part = |p: &backstay_items::partition::Partition| {
        let slice = Slice::new(disk.clone(), p.start, p.len).map_err(|e| e.to_string())?;
        let slice: Arc<dyn Volume> = Arc::new(slice);
        Ok(Part { name: format!("p{}", p.index), volume: Some(slice), open: opener(disk, Some(p.start..p.end())) })
    };
    table.partitions.iter().filter(|p| !p.container).map(part).collect()
}

/// How the files of a disk or of a place on it are opened.
type Opener = Box<dyn Fn() -> Result<Arc<dyn FileTree>, String> + Send + Sync>;

fn opener(disk: &Arc<PointDisk>, place: Option<Range<u64>>) -> Opener {
    let disk = disk.clone();
    Box::new(move || kept::open(&disk, place.clone()).map(Arc::from).map_err(|e| sentence(&e)))
}
