//! Files that are made, written, renamed and removed without end, each call noted with its times: the ledger of what a
//! point must hold, whether it was synced or not, for a freeze writes out what was only in memory.
//!
//! Never knows: how points are made.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::FallocateFlags;

use super::model::{Folder, Step, one_of};
use super::{Load, Mounted, Witness};
use crate::chance::Chance;
use crate::fail::{During, Fail, Result};
use crate::tools::{Stop, now};

/// Names that are used.
const NAMES: u64 = 48;
/// Bytes of the longest file.
const LONGEST: u64 = 384 << 10;

/// A call and its times.
struct Call {
    step: Step,
    begun: i64,
    ended: i64,
}

/// What a worker did, in order.
type Ledger = Arc<Mutex<Vec<Call>>>;

/// Workers in folders of their own.
pub(crate) struct Tree {
    stop: Stop,
    threads: Vec<JoinHandle<Result<()>>>,
}

/// What the workers noted.
struct Ledgers {
    volume: usize,
    ledgers: Vec<Ledger>,
}

/// Starts workers on a file system.
///
/// # Errors
/// A folder cannot be made.
pub(crate) fn start(
    volume: usize,
    mounted: &Path,
    workers: usize,
    chance: &mut Chance,
) -> Result<(Box<dyn Load>, Box<dyn Witness>)> {
    let (stop, mut threads, mut ledgers) = (Stop::default(), Vec::new(), Vec::new());
    for worker in 0..workers {
        let folder = mounted.join(place(worker));
        fs::create_dir_all(&folder).during(folder.display())?;
        let (ledger, stop, chance) = (Ledger::default(), stop.clone(), chance.split());
        ledgers.push(ledger.clone());
        let mut worker = Worker { folder, ledger, chance, is: Folder::default() };
        threads.push(std::thread::spawn(move || worker.work(&stop)));
    }
    File::open(mounted).and_then(|folder| folder.sync_all()).during(mounted.display())?;
    Ok((Box::new(Tree { stop, threads }), Box::new(Ledgers { volume, ledgers })))
}

fn place(worker: usize) -> String {
    format!("tree{worker}")
}

impl Load for Tree {
    fn check(&mut self) -> Result<()> {
        match self.threads.iter().any(JoinHandle::is_finished) {
            true => self.stop(),
            false => Ok(()),
        }
    }

    fn stop(&mut self) -> Result<()> {
        self.stop.ask();
        let ended = self.threads.drain(..).map(|thread| thread.join());
        let results = ended.map(|end| end.unwrap_or_else(|_| Err(Fail::new("a worker of a file tree died"))));
        results.collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

struct Worker {
    folder: PathBuf,
    ledger: Ledger,
    chance: Chance,
    is: Folder,
}

impl Worker {
    fn work(&mut self, stop: &Stop) -> Result<()> {
        while !stop.asked() {
            for _ in 0..self.chance.below(8) {
                let step = self.choose();
                self.call(step)?;
            }
            if self.chance.once_in(6) {
                self.call(Step::Sync)?;
            }
            std::thread::sleep(self.chance.millis(1, 40));
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        format!("f{}", self.chance.below(NAMES))
    }

    /// Some file that is there; if none is, one that is to be made.
    fn choose(&mut self) -> Step {
        let files: Vec<String> = self.is.files().into_iter().cloned().collect();
        let new = self.name();
        if files.len() < 4 || self.chance.once_in(8) && !self.is.has(&new) {
            let (free, mut chance) = (|name: &String| !self.is.has(name), self.chance.split());
            let names = std::iter::repeat_with(|| format!("f{}", chance.below(2 * NAMES)));
            return Step::Create(
                Some(new).filter(free).unwrap_or_else(|| names.take(1000).find(free).unwrap_or_default()),
            );
        }
        let name = self.chance.pick(&files).clone();
        let has = self.is.len(&name);
        match self.chance.below(16) {
            0 => Step::Cut { name, len: self.chance.below(LONGEST / 2) },
            1 | 2 => Step::Zeros { name, at: self.chance.below(has + 1), len: 1 + self.chance.below(65_536) },
            3 | 4 if !self.is.same(&name, &new) && name != new => Step::Rename { from: name, to: new },
            5 if !self.is.has(&new) => Step::Link { from: name, to: new },
            6 if !self.is.has(&new) => Step::Symlink { name: new, to: name },
            7 | 8 => {
                let names: Vec<String> = self.is.names().cloned().collect();
                Step::Remove(self.chance.pick(&names).clone())
            }
            9 | 10 => self.write(name, has.min(LONGEST)),
            _ => {
                let at = self.chance.below(has + 1);
                self.write(name, at)
            }
        }
    }

    fn write(&mut self, name: String, at: u64) -> Step {
        let most = if self.chance.once_in(10) { 200_000 } else { 9000 };
        Step::Write { name, at, len: 1 + self.chance.below(most), seed: self.chance.next() }
    }

    /// Makes the call and notes it. Until it is noted it may be in a point or not.
    fn call(&mut self, step: Step) -> Result<()> {
        let begun = now();
        let step = match self.make(&step) {
            // Full: some file systems take a part, and say so.
            Err(error) if error.raw_os_error() == Some(28) => return Err(Fail::new("the file system is full")),
            done => done.during(format!("{step:?} in {}", self.folder.display()))?,
        };
        let call = Call { begun, ended: now(), step };
        self.is.apply(&call.step);
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        Ok(())
    }

    /// The step as it came out.
    fn make(&mut self, step: &Step) -> std::io::Result<Step> {
        let path = |name: &String| self.folder.join(name);
        let open = |name: &String| File::options().write(true).open(path(name));
        match step {
            Step::Create(name) => drop(File::create_new(path(name))?),
            Step::Write { name, at, len, seed } => {
                let bytes = Chance::of(*seed).bytes(*len as usize);
                let len = open(name)?.write_at(&bytes, *at)? as u64;
                return Ok(Step::Write { name: name.clone(), at: *at, len, seed: *seed });
            }
            Step::Cut { name, len } => open(name)?.set_len(*len)?,
            Step::Zeros { name, at, len } => {
                let how = if at % 2 == 0 { FallocateFlags::PUNCH_HOLE } else { FallocateFlags::ZERO_RANGE };
                rustix::fs::fallocate(open(name)?, how | FallocateFlags::KEEP_SIZE, *at, *len)?;
            }
            Step::Rename { from, to } => fs::rename(path(from), path(to))?,
            Step::Link { from, to } => fs::hard_link(path(from), path(to))?,
            Step::Symlink { name, to } => std::os::unix::fs::symlink(to, path(name))?,
            Step::Remove(name) => fs::remove_file(path(name))?,
            Step::Sync => {
                let names: Vec<String> = self.is.files().into_iter().cloned().collect();
                if let Some(name) = names.first() {
                    open(name)?.sync_all()?;
                }
                File::open(&self.folder)?.sync_all()?;
            }
        }
        Ok(step.clone())
    }
}

impl Witness for Ledgers {
    fn name(&self) -> &'static str {
        "file tree"
    }

    fn judge(&mut self, at: i64, mounted: &Mounted) -> Result<bool> {
        let top = mounted.folder(self.volume)?;
        for (worker, ledger) in self.ledgers.iter().enumerate() {
            let calls = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let done = calls.partition_point(|call| call.ended < at);
            let mut folder = Folder::default();
            calls[..done].iter().for_each(|call| folder.apply(&call.step));
            let under_way = calls.get(done).filter(|call| call.begun < at).map(|call| &call.step);
            let place = top.join(place(worker));
            let told = || format!("file tree {} after {done} calls", place.display());
            one_of(&folder, under_way, &place).during(told())?;
        }
        Ok(true)
    }
}
