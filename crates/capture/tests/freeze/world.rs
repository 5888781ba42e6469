//! File systems on loop devices that clean up after themselves even if the test is killed, writers, and programs.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backstay_capture::freeze::facts::gather;
use backstay_capture::freeze::group::{Broken, FreezeError, Group, Held, Limits};
use backstay_capture::freeze::mounts::plan;
use backstay_capture::freeze::watchdog::{Shelter, Watchdog};
use backstay_capture::number::DeviceNumber;
use rustix::fs::SeekFrom;

/// Runs a program that must succeed and returns what it printed.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let output = output(program, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {} {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn output<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// Unmounts; a child that another test is just starting may hold for a moment what was open there.
pub(crate) fn unmount(point: &Path) {
    wait_for("the end of a mount", || output("umount", [point]).status.success());
}

/// Waits for something that must come; a minute is for ever.
pub(crate) fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !there() {
        assert!(Instant::now() < end, "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Thaws, unmounts, detaches and removes, once its standard input ends, for whatever reason that is; or after some
/// minutes, as a test that waits for a frozen file system cannot even be killed.
const NET: &str = r#"
timeout 300 cat > /dev/null
tries=0
while mountpoint -q "$1" && [ $tries -lt 200 ]; do
    fsfreeze --unfreeze "$1"
    umount --recursive "$1" || { tries=$((tries + 1)); sleep 0.05; }
done
losetup --detach "$2"
rm -rf --one-file-system "$3"
"#;

/// A file system of its own on a loop device.
pub(crate) struct Disk {
    folder: PathBuf,
    device: PathBuf,
    net: Child,
    hold: Option<ChildStdin>,
}

impl Disk {
    /// In the system's folder for temporary files.
    pub(crate) fn new(kind: &str) -> Disk {
        Disk::inside(&std::env::temp_dir(), kind, 320 << 20)
    }

    /// In a file in `folder`.
    pub(crate) fn inside(folder: &Path, kind: &str, size: u64) -> Disk {
        let (disk, point) = Disk::attach(folder, |image| File::create(image)?.set_len(size));
        run(&format!("mkfs.{kind}"), ["-q".as_ref(), disk.device.as_os_str()]);
        run("mount", [disk.device.as_os_str(), point.as_os_str()]);
        disk
    }

    /// From a copy of another disk, which is moved.
    pub(crate) fn of_copy(copy: &Path, options: &str) -> Disk {
        let (disk, point) = Disk::attach(&std::env::temp_dir(), |image| fs::rename(copy, image));
        run("mount", ["-o".as_ref(), options.as_ref(), disk.device.as_os_str(), point.as_os_str()]);
        disk
    }

    fn attach(folder: &Path, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> (Disk, PathBuf) {
        let folder = tempfile::Builder::new().prefix("freeze-").tempdir_in(folder).expect("a folder").keep();
        let (image, point) = (folder.join("image"), folder.join("files"));
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("open to database servers");
        fill(&image).expect("an image");
        fs::create_dir(&point).expect("a folder");
        let device = PathBuf::from(run("losetup", ["--find".as_ref(), "--show".as_ref(), image.as_os_str()]).trim());
        let mut net = Command::new("sh");
        net.args(["-c", NET, "sh"]).args([&point, &device, &folder]);
        net.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut net = net.spawn().expect("sh");
        let hold = net.stdin.take();
        (Disk { folder, device, net, hold }, point)
    }

    pub(crate) fn device(&self) -> DeviceNumber {
        DeviceNumber::of(fs::metadata(&self.device).expect("stat").rdev())
    }

    pub(crate) fn node(&self) -> &Path {
        &self.device
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> PathBuf {
        self.folder.join("files")
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    /// Where to put what belongs to it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A write gets through: it is not frozen.
    pub(crate) fn is_writable(&self) -> bool {
        let point = self.point();
        let written = std::thread::spawn(move || fs::write(point.join("probe"), "x").is_ok());
        let end = Instant::now() + Duration::from_millis(500);
        while !written.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        written.is_finished() && written.join().expect("the probe")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.hold = None;
        let _ = self.net.wait();
        assert!(!self.folder.exists() || std::thread::panicking(), "{} stays", self.folder.display());
    }
}

/// The group of everything on these disks.
pub(crate) fn group(disks: &[&Disk]) -> Group {
    let devices: Vec<DeviceNumber> = disks.iter().map(|disk| disk.device()).collect();
    let plan = plan(&gather().expect("facts"), &devices);
    assert!(plan.file_systems.iter().all(|fs| fs.name() != Path::new("/")), "never the machine's own");
    Group::prepare(plan).expect("a group")
}

pub(crate) fn watchdog() -> Watchdog {
    Watchdog::start(crate::role::command("watchdog"), Shelter::Session).expect("a watchdog")
}

/// As long as can be, for tests that want no end.
pub(crate) fn long() -> Limits {
    Limits::new(Duration::from_secs(5), Duration::from_secs(20)).expect("limits")
}

/// Looks at something while the group is frozen. On a busy machine that may take longer than a freeze may; then it is
/// looked at again, as for any point.
pub(crate) fn still<T>(group: &Group, watchdog: &mut Watchdog, mut look: impl FnMut() -> T) -> (T, Held) {
    for _ in 0..20 {
        group.sync().expect("syncs");
        let frozen = match group.freeze(watchdog, long()) {
            Err(FreezeError::Late { .. }) => continue,
            other => other.expect("freezes"),
        };
        let seen = look();
        match frozen.thaw() {
            Err(Broken::Expired) => continue,
            other => return (seen, other.expect("nobody else thaws")),
        }
    }
    panic!("nothing was seen within the limit");
}

/// The bytes of a disk as they lie in its image, as a number. Fast, as something is frozen meanwhile. Holes and zeros
/// are one, since the kernel calls a zero now this, now that.
pub(crate) fn content(disk: &Disk) -> u64 {
    let file = File::open(disk.image()).expect("the image");
    let (mut hash, mut at, mut buffer) = (0, 0, vec![0; 1 << 20]);
    while let Ok(data) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        assert_eq!(data % 4096, 0, "data begins with a page");
        let read = file.read_at(&mut buffer, data).expect("reads");
        for (page, number) in buffer[..read].chunks(4096).zip(data / 4096..) {
            hash = if page.iter().any(|byte| *byte != 0) { mixed(hash ^ number, page) } else { hash };
        }
        at = data + read as u64;
    }
    hash
}

fn mixed(hash: u64, page: &[u8]) -> u64 {
    let words = page.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("a word")));
    words.fold(hash, |hash, word| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29))
}

/// A thread that writes, and counts what reached the disk.
pub(crate) struct Writer {
    count: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(disk: &Disk) -> Writer {
        let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped, point) = (count.clone(), stop.clone(), disk.point());
        let thread = std::thread::spawn(move || {
            while !stopped.load(SeqCst) {
                let number = counted.load(SeqCst);
                let name = point.join(format!("file-{}", number % 50));
                let mut file = File::create(name).expect("creates");
                file.write_all(&number.to_le_bytes().repeat(1024)).expect("writes");
                file.sync_all().expect("syncs");
                counted.fetch_add(1, SeqCst);
            }
        });
        let writer = Writer { count, stop, thread: Some(thread) };
        writer.goes_on();
        writer
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    /// Waits until it has written more.
    pub(crate) fn goes_on(&self) {
        let before = self.count();
        wait_for("a write", || self.count() > before + 3);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}
