//! A folder of pins and disks that are gone when a test ends, and ways to write to them.
//!
//! Never knows: what is tested.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backstay_capture::marks::Pass;
use backstay_capture::tracker::{Disk, TrackError, Tracker};
use backstay_env::real::disk::{AlignedBuf, BlockDevice};
use backstay_env::volume::Volume;

pub(crate) const PAGE: u64 = 4096;
pub(crate) const MIB: u64 = 1 << 20;

/// Number of a pass.
pub(crate) fn pass(number: u64) -> Pass {
    Pass(number.try_into().unwrap())
}

/// Runs a program of the administrator to its end, and answers what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let said = Command::new(program).args(arguments).env("PATH", path).output();
    let said = said.unwrap_or_else(|e| panic!("{program}: {e}"));
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{program} {arguments:?}: {}\n{errors}", said.status);
    String::from_utf8(said.stdout).unwrap()
}

/// A loop device, detached on drop.
pub(crate) struct Loop {
    pub(crate) path: PathBuf,
    /// Its number, if the device was made for us alone.
    own: Option<u32>,
}

/// Numbers of requests to `/dev/loop-control`.
const ADD: u32 = 0x4c80;
pub(crate) const REMOVE: u32 = 0x4c81;

/// Makes or removes a loop device.
pub(crate) fn control(request: u32, number: u32) {
    let script = "import fcntl, os, sys
fcntl.ioctl(os.open('/dev/loop-control', os.O_RDWR), int(sys.argv[1]), int(sys.argv[2]))
";
    let arguments = [request.to_string(), number.to_string()];
    let _ = Command::new("python3").args(["-c", script]).args(arguments).stderr(Stdio::null()).status();
}

impl Loop {
    pub(crate) fn over(file: &Path, options: &[&str]) -> Loop {
        let mut arguments = vec!["--find", "--show"];
        arguments.extend(options);
        let file = file.to_str().unwrap();
        arguments.push(file);
        Loop { path: PathBuf::from(run("losetup", &arguments).trim()), own: None }
    }
}

impl Loop {
    /// A device by a number that nobody else takes, so that it can be detached and attached again.
    pub(crate) fn own(file: &Path) -> Loop {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = 1000 + std::process::id() % 100_000 * 8 + NEXT.fetch_add(1, Ordering::Relaxed);
        control(ADD, number);
        let device = Loop { path: PathBuf::from(format!("/dev/loop{number}")), own: Some(number) };
        device.attach(file);
        device
    }

    pub(crate) fn attach(&self, file: &Path) {
        run("losetup", &[self.path.to_str().unwrap(), file.to_str().unwrap()]);
    }

    /// Takes the file away, and the device too if it is gone for good.
    pub(crate) fn detach(&self) {
        run("losetup", &["--detach", self.path.to_str().unwrap()]);
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("partx").arg("--delete").arg(&self.path).stderr(Stdio::null()).status();
        let _ = Command::new("/usr/sbin/losetup").arg("--detach").arg(&self.path).status();
        if let Some(number) = self.own {
            control(REMOVE, number);
        }
    }
}

/// A mounted file system, unmounted on drop.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    pub(crate) fn of(device: &Path, at: &Path) -> Mount {
        std::fs::create_dir_all(at).unwrap();
        run("mount", &[device.to_str().unwrap(), at.to_str().unwrap()]);
        Mount(at.to_path_buf())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A child that another test is just starting may hold for a moment what was open there.
        for _ in 0..500 {
            if Command::new("umount").arg(&self.0).output().is_ok_and(|done| done.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(std::thread::panicking(), "{} stays", self.0.display());
    }
}

/// A program that is killed on drop, if it still runs.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything a test makes, in a folder.
pub(crate) struct World {
    // Dropped in this order: the pins' mount before the folder.
    pub(crate) pins: Pins,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        World { pins: Pins(folder.path().join("pins")), folder }
    }

    pub(crate) fn tracker(&self) -> Tracker {
        open(&self.pins.0, Tracker::open)
    }

    /// A disk of so many bytes in a file.
    pub(crate) fn disk(&self, name: &str, bytes: u64, options: &[&str]) -> Loop {
        let file = self.folder.path().join(name);
        File::create(&file).unwrap().set_len(bytes).unwrap();
        Loop::over(&file, options)
    }
}

/// Opens a tracker, patiently: a program that another test is just starting may still have what this one let go.
pub(crate) fn open(pins: &Path, how: impl Fn(&Path) -> Result<Tracker, TrackError>) -> Tracker {
    for _ in 0..100 {
        match how(pins) {
            Err(TrackError::InUse(_)) => std::thread::sleep(Duration::from_millis(20)),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays in use", pins.display())
}

/// A folder of pins, emptied and unmounted on drop.
pub(crate) struct Pins(pub(crate) PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = Tracker::detach_at(&self.0);
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if mounts.contains(self.0.to_str().unwrap_or("?")) {
            let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        }
    }
}

/// Joins runs that touch.
pub(crate) fn joined(runs: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = Vec::new();
    for run in runs {
        match all.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => all.push(run),
        }
    }
    all
}

/// Forgets all marks, so that what is marked next stands out.
pub(crate) fn clear(disk: &Disk) {
    disk.collect(pass(u64::MAX)).unwrap().for_each(drop);
    disk.committed(pass(u64::MAX)).unwrap();
}

/// The whole disk, read past the page cache.
pub(crate) fn whole(device: &Path) -> Vec<u8> {
    let device = BlockDevice::open(device).unwrap();
    let mut all = AlignedBuf::new(device.size() as usize);
    device.read_at(0, &mut all).unwrap();
    all.to_vec()
}

/// A copy of a disk that follows it by its marks.
pub(crate) struct Copy {
    device: BlockDevice,
    buffer: AlignedBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Copy {
    /// Of the whole disk, which must be tracked already.
    pub(crate) fn of(path: &Path) -> Copy {
        Copy { device: BlockDevice::open(path).unwrap(), buffer: AlignedBuf::new(MIB as usize), bytes: whole(path) }
    }

    /// Reads what changed. Answers how many pages.
    pub(crate) fn follow(&mut self, disk: &Disk, pass: Pass) -> u64 {
        let mut pages = 0;
        for run in disk.collect(pass).unwrap() {
            pages += run.end - run.start;
            let mut at = run.start * PAGE;
            while at < (run.end * PAGE).min(self.device.size()) {
                let len = MIB.min((run.end * PAGE).min(self.device.size()) - at) as usize;
                self.device.read_at(at, &mut self.buffer[..len]).unwrap();
                self.bytes[at as usize..][..len].copy_from_slice(&self.buffer[..len]);
                at += len as u64;
            }
        }
        pages
    }

    /// Pages that differ from the disk.
    pub(crate) fn stale(&self, path: &Path) -> Vec<u64> {
        let is = whole(path);
        let pages = is.chunks(PAGE as usize).zip(self.bytes.chunks(PAGE as usize)).enumerate();
        pages.filter(|(_, (is, copy))| is != copy).map(|(page, _)| page as u64).collect()
    }
}
