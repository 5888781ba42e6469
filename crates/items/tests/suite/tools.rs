//! Running the judges: programs, images, loop devices and mounts, each cleaned up when dropped.

use backstay_env::volume::{Volume, check_range};
use backstay_items::allocation::Ranges;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

/// Runs a program that must succeed; answers what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let out = output(program, args);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {}\n{text}{errors}", out.status);
    text
}

/// Runs a program that may fail.
pub(crate) fn output(program: &str, args: &[&str]) -> Output {
    let out =
        Command::new(program).args(args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").output();
    out.unwrap_or_else(|e| panic!("{program} could not be run: {e}"))
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

/// An image file in a folder of its own.
pub(crate) struct Image {
    folder: tempfile::TempDir,
    name: String,
}

impl Image {
    /// A sparse file of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        let image = Image { folder: tempfile::tempdir().expect("a temporary folder"), name: "disk.img".into() };
        let file = File::create(image.path()).expect("an image file");
        file.set_len(size).expect("room for the image");
        image
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// A copy of the image as it is now.
    pub(crate) fn copy(&self) -> Image {
        let copy = Image { folder: tempfile::tempdir().expect("a temporary folder"), name: self.name.clone() };
        let (from, to) = (self.path(), copy.path());
        run("cp", &["--sparse=always", text(&from), text(&to)]);
        copy
    }

    pub(crate) fn volume(&self) -> Arc<dyn Volume> {
        let file = File::open(self.path()).expect("the image");
        let size = file.metadata().expect("its size").len();
        Arc::new(FileVolume { file, size })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("the image")
    }

    /// Overwrites every byte outside `used`: whoever reads one of them will notice.
    pub(crate) fn scribble_outside(&self, used: &Ranges) {
        let file = File::options().write(true).open(self.path()).expect("image");
        let size = file.metadata().expect("its size").len();
        let garbage = vec![0xA5; 1 << 20];
        let mut at = 0;
        for range in used.iter().chain(std::iter::once(size..size)) {
            while at < range.start {
                let n = (range.start - at).min(garbage.len() as u64);
                file.write_all_at(&garbage[..n as usize], at).expect("room");
                at += n;
            }
            at = range.end;
        }
    }

    /// Mounts the image with the kernel, by a loop device.
    pub(crate) fn mount(&self, options: &str) -> Mount {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, options) = (self.path(), format!("loop,{options}"));
        run("mount", &["-o", &options, text(&path), text(folder.path())]);
        Mount { folder, daemon: None }
    }
}

impl Image {
    /// Mounts the image with ntfs-3g, in user space.
    pub(crate) fn mount_ntfs(&self, options: &str) -> Mount {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, options) = (self.path(), format!("{options},no_detach"));
        let args = ["-o", &options, text(&path), text(folder.path())];
        let daemon = Command::new("ntfs-3g").args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mount = Mount { daemon: Some(daemon.expect("ntfs-3g")), folder };
        let is_mounted = || {
            let out = output("mountpoint", &["-q", text(mount.path())]);
            out.status.success()
        };
        assert!(patiently(is_mounted), "ntfs-3g did not mount");
        mount
    }
}

/// A mounted file system.
pub(crate) struct Mount {
    folder: tempfile::TempDir,
    /// The process that serves it.
    daemon: Option<Child>,
}

/// Waits for something that comes about by itself; `false` when it did not for a long time.
fn patiently(done: impl Fn() -> bool) -> bool {
    let step = std::time::Duration::from_millis(20);
    let mut waits = (0..1500).map(|_| std::thread::sleep(step));
    done() || waits.any(|()| done())
}

impl Mount {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that serves files may hold them a moment after their last close.
        let gone = || output("umount", &[text(self.folder.path())]).status.success();
        let gone = patiently(gone);
        if let Some(daemon) = &mut self.daemon {
            // It writes what it holds before it ends.
            let ended = daemon.wait().is_ok_and(|status| status.success());
            assert!(ended || std::thread::panicking(), "ntfs-3g failed");
        }
        assert!(gone || std::thread::panicking(), "umount failed");
    }
}

struct FileVolume {
    file: File,
    size: u64,
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

/// Numbers from a seed, for content and damage that can be had again.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(len).collect()
    }
}
