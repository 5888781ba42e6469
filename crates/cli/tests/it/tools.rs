//! Judges and helpers: programs, loop devices, mounts and numbers. What a test makes is gone when it ends, by a panic too.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs a program that may fail.
pub(crate) fn output<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(program);
    command.args(args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command.output().unwrap_or_else(|e| panic!("{program} cannot be run: {e}"))
}

/// Runs a program that must succeed, and returns what it printed.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let out = output(program, args);
    let (text, errors) = (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{program}: {}\n{text}{errors}", out.status);
    text
}

/// As [`run`], with something to read from standard input.
pub(crate) fn run_with_input<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>, input: &str) {
    let mut command = Command::new(program);
    command.args(args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{program} cannot be run: {e}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

/// A loop device.
pub(crate) struct Loop(PathBuf);

impl Loop {
    /// A device of `file`.
    pub(crate) fn new(file: &Path, sector_size: u32) -> Loop {
        let size = sector_size.to_string();
        Loop(run("losetup", ["--find", "--show", "--sector-size", &size, text(file)]).trim().into())
    }

    /// A device of `file`, and those of the partitions in it.
    pub(crate) fn with_partitions(file: &Path) -> Loop {
        let device = Loop(run("losetup", ["--find", "--show", "--partscan", text(file)]).trim().into());
        // The kernel of the test machines reads no partition tables itself.
        run("partx", ["--update", device.path()]);
        device
    }

    /// The device of a partition.
    pub(crate) fn partition(&self, number: u32) -> String {
        format!("{}p{number}", self.path())
    }

    pub(crate) fn path(&self) -> &str {
        text(&self.0)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let out = output("losetup", ["--detach", text(&self.0)]);
        assert!(out.status.success() || std::thread::panicking(), "a loop device is left over");
    }
}

/// A mounted file system.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts with these arguments of `mount` before source and folder; the folder is made.
    pub(crate) fn new(args: &[&str], source: &str, folder: &Path) -> Mount {
        std::fs::create_dir_all(folder).unwrap();
        let words: Vec<&str> = args.iter().copied().chain([source, text(folder)]).collect();
        let mut failed = String::new();
        let mounted = patiently(|| {
            let out = output("mount", words.iter().copied());
            failed =
                if out.status.success() { String::new() } else { String::from_utf8_lossy(&out.stderr).into_owned() };
            // btrfs knows the same file system elsewhere until a moment after its last unmount.
            !failed.contains("File exists")
        });
        assert!(mounted && failed.is_empty(), "mount {words:?}: {failed}");
        Mount(folder.to_owned())
    }

    /// Mounts an NTFS image, in user space.
    pub(crate) fn ntfs(image: &Path, folder: &Path) -> Mount {
        std::fs::create_dir_all(folder).unwrap();
        run("ntfs-3g", [text(image), text(folder)]);
        Mount(folder.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that serves files may hold them a moment after their last close.
        let gone = patiently(|| output("umount", [text(&self.0)]).status.success());
        assert!(gone || std::thread::panicking(), "a mount is left over");
    }
}

/// Waits for something that comes about by itself; `false` when it did not for a long time.
pub(crate) fn patiently(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Whether something is mounted on a folder.
pub(crate) fn is_mounted(folder: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(text(folder)))
}

/// A file of zeros that takes no space.
pub(crate) fn sparse(path: &Path, size: u64) {
    File::create(path).unwrap().set_len(size).unwrap();
}

/// Writes into the middle of a file.
pub(crate) fn poke(path: &Path, offset: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Copies a file into the middle of another.
pub(crate) fn implant(from: &Path, to: &Path, offset: u64) {
    poke(to, offset, &std::fs::read(from).unwrap());
}

/// Copies a file, keeping holes.
pub(crate) fn copy(from: &Path, to: &Path) {
    run("cp", ["--sparse=always", text(from), text(to)]);
}

/// Fails unless two files, or a file and the start of a device, hold the same bytes.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let out = output("cmp", [one, other]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

/// Fails unless two folders hold the same files with the same content.
pub(crate) fn assert_same_tree(one: &Path, other: &Path) {
    run("diff", ["--recursive", "--no-dereference", text(one), text(other)]);
}

/// A hash of a file's content, for equality only.
pub(crate) fn sum(path: &Path) -> u64 {
    use std::hash::Hasher as _;
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    let (mut file, mut buffer) = (File::open(path).unwrap(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hasher.finish(),
            read => hasher.write(&buffer[..read]),
        }
    }
}

/// Numbers from a seed, for content and choices that can be had again.
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

/// An image with noise here and there and holes between.
pub(crate) fn noisy_image(path: &Path, size: u64, seed: u64) {
    sparse(path, size);
    let mut numbers = Numbers(seed);
    for _ in 0..8 {
        let len = (size / 24) as usize;
        let at = numbers.below(size - len as u64);
        poke(path, at, &numbers.bytes(len));
    }
}
