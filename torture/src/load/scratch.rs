//! Partitions that are written past the file systems that stay: one file system made after the other, and swap.
//!
//! Never knows: how points are made.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{Load, Mounted, Witness};
use crate::chance::Chance;
use crate::fail::{During, Fail, Result};
use crate::tools::{Stop, now, run, text};
use crate::world::disk::{Mount, size_of};
use crate::world::kind::Kind;

/// A time for which a file system was mounted; `None` for its end: it still is.
struct Lived {
    kind: Kind,
    from: i64,
    to: Option<i64>,
}

/// Something that works in a thread.
struct Worker {
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Worker {
    fn start(work: impl FnOnce(&Stop) -> Result<()> + Send + 'static) -> Box<dyn Load> {
        let stop = Stop::default();
        let asked = stop.clone();
        Box::new(Worker { stop, thread: Some(std::thread::spawn(move || work(&asked))) })
    }
}

impl Load for Worker {
    fn check(&mut self) -> Result<()> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) { self.stop() } else { Ok(()) }
    }

    fn stop(&mut self) -> Result<()> {
        self.stop.ask();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(ended) => ended.unwrap_or_else(|_| Err(Fail::new("a thread of a load died"))),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

type Lives = Arc<Mutex<Vec<Lived>>>;

struct Checkers(Lives);

/// Makes, mounts, fills and unmounts one file system after the other, on a partition that changes its size now and then.
pub(crate) fn scratch(
    (disk, part): (PathBuf, u32),
    at: PathBuf,
    mut chance: Chance,
) -> (Box<dyn Load>, Box<dyn Witness>) {
    let lives = Lives::default();
    let noted = lives.clone();
    let load = Worker::start(move |stop| {
        let device = PathBuf::from(format!("{}p{part}", disk.display()));
        while !stop.asked() {
            if chance.once_in(4) {
                resize(&disk, part, 320 + chance.below(320))?;
            }
            let kind = *chance.pick(Kind::ALL);
            kind.make(&device, size_of(&device)?)?;
            let mount = Mount::new(&device, &at, "rw")?;
            note(&noted, |lives| lives.push(Lived { kind, from: now(), to: None }));
            fill(mount.folder(), &mut chance, stop)?;
            note(&noted, |lives| {
                if let Some(last) = lives.last_mut() {
                    last.to = Some(now());
                }
            });
            mount.unmount()?;
            match chance.below(3) {
                0 => run("blkdiscard", ["-f", text(&device)]).map(drop)?,
                1 => run("wipefs", ["-aq", text(&device)]).map(drop)?,
                _ => {}
            }
        }
        Ok(())
    });
    (load, Box::new(Checkers(lives)))
}

/// Makes a partition anew with another size, as far as the disk goes. Others of the disk are in use.
fn resize(disk: &Path, part: u32, mib: u64) -> Result<()> {
    let (gone, new) = (format!("--delete={part}"), format!("--new={part}:0:+{mib}M"));
    run("sgdisk", [&gone, &new, text(disk)])?;
    run("partx", ["--update", text(disk)]).map(drop)
}

fn note(lives: &Lives, how: impl FnOnce(&mut Vec<Lived>)) {
    how(&mut lives.lock().unwrap_or_else(PoisonError::into_inner));
}

fn fill(folder: &Path, chance: &mut Chance, stop: &Stop) -> Result<()> {
    for round in 0..20 + chance.below(200) {
        if stop.asked() {
            break;
        }
        let len = chance.below(200_000) as usize;
        fs::write(folder.join(format!("{}", round % 17)), chance.bytes(len)).during("writing to a new file system")?;
        std::thread::sleep(chance.millis(5, 60));
    }
    Ok(())
}

impl Witness for Checkers {
    fn name(&self) -> &'static str {
        "file systems that came and went"
    }

    fn judge(&mut self, at: i64, mounted: &Mounted) -> Result<bool> {
        let Some(device) = &mounted.loose else { return Err(Fail::new("the partition is not there")) };
        let lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = |lived: &&Lived| lived.from < at && lived.to.is_none_or(|to| at < to);
        let Some(Lived { kind, .. }) = lives.iter().find(alive) else { return Ok(false) };
        if kind.replays_by_mount() {
            Mount::new(device, &mounted.scratch.join("loose"), kind.options())?.unmount()?;
        }
        kind.judge(device).during(format!("{} on the partition", kind.name()))?;
        Ok(true)
    }
}

/// Writes to a partition behind its first page, as swapping does.
pub(crate) fn swap(device: PathBuf, mut chance: Chance) -> Box<dyn Load> {
    Worker::start(move |stop| {
        let file = File::options().write(true).open(&device).during(device.display())?;
        let pages = size_of(&device)? / 4096 - 1;
        while !stop.asked() {
            for _ in 0..32 {
                file.write_all_at(&chance.bytes(4096), (1 + chance.below(pages)) * 4096).during("writing to swap")?;
            }
            file.sync_all().during("writing to swap")?;
            std::thread::sleep(chance.millis(5, 50));
        }
        Ok(())
    })
}
