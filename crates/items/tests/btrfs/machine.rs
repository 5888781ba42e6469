//! Images, mounts and commands that clean up after themselves.

use backstay_env::volume::{Volume, check_range};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// Runs a command; panics with its output when it fails.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let mut command = Command::new(program);
    command.args(args);
    let out = command.output().unwrap_or_else(|e| panic!("{program}: {e} (is its package installed?)"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?} failed: {text}{errors}");
    text
}

/// Runs a shell script in a directory.
pub(crate) fn shell(dir: &Path, script: &str) -> String {
    let script = format!("set -e; cd '{}'; {script}", dir.display());
    run("bash", &["-c", &script])
}

/// An image file in a directory of its own.
pub(crate) struct Image {
    _dir: TempDir,
    pub(crate) path: PathBuf,
}

impl Image {
    /// A file system made by mkfs.btrfs with `options`.
    pub(crate) fn make(mib: u64, options: &str) -> Image {
        let image = Image::empty(mib << 20);
        let path = image.path.display();
        let line = format!("mkfs.btrfs -q -f {options} '{path}'");
        run("bash", &["-c", &line]);
        image
    }

    pub(crate) fn empty(len: u64) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        File::create(&path).unwrap().set_len(len).unwrap();
        Image { _dir: dir, path }
    }

    pub(crate) fn mount(&self, options: &str) -> Mount {
        Mount::new(&self.path, options)
    }

    pub(crate) fn copy_of(file: &Path) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let paths: [&OsStr; 3] = ["--sparse=always".as_ref(), file.as_ref(), path.as_ref()];
        run("cp", &paths);
        Image { _dir: dir, path }
    }

    pub(crate) fn volume(&self) -> Arc<dyn Volume> {
        Arc::new(FileVolume::open(&self.path))
    }

    pub(crate) fn file(&self) -> File {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).open(&self.path).unwrap()
    }

    /// `btrfs check` must find nothing.
    pub(crate) fn check(&self) {
        run("btrfs", &["check".as_ref(), "--readonly".as_ref(), self.path.as_os_str()]);
    }

    pub(crate) fn dump(&self, args: &[&str]) -> String {
        let mut all: Vec<&OsStr> = vec!["inspect-internal".as_ref()];
        all.extend(args.iter().map(OsStr::new));
        all.push(self.path.as_ref());
        run("btrfs", &all)
    }
}

/// An image inside a mounted file system that can clone files: copies of it are of one instant, whatever is at work.
pub(crate) struct Nest {
    inner: PathBuf,
    outer: Mount,
    _image: Image,
}

impl Nest {
    pub(crate) fn make(mib: u64, options: &str) -> Nest {
        let image = Image::make(2048, "");
        let outer = image.mount("noatime");
        let inner = outer.path().join("inner");
        File::create(&inner).unwrap().set_len(mib << 20).unwrap();
        let line = format!("mkfs.btrfs -q -f {options} '{}'", inner.display());
        run("bash", &["-c", &line]);
        Nest { inner, outer, _image: image }
    }

    pub(crate) fn mount(&self, options: &str) -> Mount {
        Mount::new(&self.inner, options)
    }

    /// Fixes the instant; [`Nest::take`] gets it out.
    pub(crate) fn clone_as(&self, name: &str) {
        let to = File::create(self.outer.path().join(name)).unwrap();
        rustix::fs::ioctl_ficlone(&to, File::open(&self.inner).unwrap()).unwrap();
    }

    pub(crate) fn take(&self, name: &str) -> Image {
        Image::copy_of(&self.outer.path().join(name))
    }

    /// A copy as of now.
    pub(crate) fn copy(&self) -> Image {
        self.clone_as("clone");
        self.take("clone")
    }
}

/// A mounted image; unmounted when dropped.
pub(crate) struct Mount {
    dir: TempDir,
}

impl Mount {
    pub(crate) fn new(image: &Path, options: &str) -> Mount {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("loop,{options}");
        let args: [&OsStr; 6] =
            ["-t".as_ref(), "btrfs".as_ref(), "-o".as_ref(), options.as_ref(), image.as_ref(), dir.path().as_ref()];
        run("mount", &args);
        Mount { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that another test is just starting may hold a file of ours open until it runs its program.
        for _ in 0..100 {
            let done = Command::new("umount").arg("-q").arg(self.dir.path()).status();
            if done.is_ok_and(|s| s.success()) {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        let path = self.dir.path();
        let lazy = Command::new("umount").arg("-l").arg(path).status();
        let outcome = format!("{} was busy; unmounted lazily: {lazy:?}", path.display());
        match std::thread::panicking() {
            true => eprintln!("{outcome}"),
            false => panic!("{outcome}"),
        }
    }
}

/// A file as a volume.
pub(crate) struct FileVolume {
    file: File,
    size: u64,
}

impl FileVolume {
    pub(crate) fn open(path: &Path) -> FileVolume {
        let file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        FileVolume { file, size }
    }
}

impl Volume for FileVolume {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        self.file.read_exact_at(buf, offset)
    }
}

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}
