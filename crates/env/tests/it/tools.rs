//! Loop devices, mounts and commands for tests. What a test makes is gone when it ends, by a panic too.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a command that must succeed, and returns what it printed.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program} cannot be run: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// A loop device.
pub(crate) struct Loop(PathBuf);

impl Loop {
    /// A device of `file`, without its partitions.
    pub(crate) fn new(file: &Path, sector_size: u32) -> Loop {
        let sector_size = sector_size.to_string();
        let options = ["--find", "--show", "--partscan", "--sector-size", &sector_size];
        let args = options.iter().map(OsStr::new).chain([file.as_os_str()]);
        Loop(PathBuf::from(run("losetup", args).trim()))
    }

    /// A device of `file`, with its partitions: announced by partx, since a kernel need not know partition tables.
    pub(crate) fn with_partitions(file: &Path) -> Loop {
        let device = Loop::new(file, 512);
        run("partx", [OsStr::new("--add"), device.0.as_os_str()]);
        device
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn partition(&self, number: u32) -> PathBuf {
        PathBuf::from(format!("{}p{number}", self.0.display()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", [OsStr::new("--detach"), self.0.as_os_str()]);
    }
}

/// A mounted file system.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(args: &[&str], source: &Path, point: &Path) -> Mount {
        std::fs::create_dir_all(point).unwrap();
        let args = args.iter().map(OsStr::new).chain([source.as_os_str(), point.as_os_str()]);
        run("mount", args);
        Mount(point.to_path_buf())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

/// Unmounts. A device that lay on it goes a moment after it was let go, and a child that another test is just starting may hold what was
/// open here for as long.
fn unmount(point: &Path) {
    let end = Instant::now() + Duration::from_secs(60);
    let busy = || Command::new("umount").arg(point).output().map(|done| !done.status.success());
    while busy().expect("umount can be run") {
        assert!(Instant::now() < end || std::thread::panicking(), "{} stays", point.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A file of zeros that takes no space.
pub(crate) fn sparse(path: &Path, size: u64) {
    std::fs::File::create(path).unwrap().set_len(size).unwrap();
}
